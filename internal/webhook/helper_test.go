package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// quiet is a log for receivers that are expected to complain.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func openStore(t testing.TB, path, master string, now func() time.Time) *bolt.Store {
	t.Helper()
	key, err := seal.ParseMasterKey(master)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(bolt.Options{Path: path, Keyring: ring, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const testMaster = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// house is endpoints, outbox and carrier on a real store.
type house struct {
	t       testing.TB
	store   *bolt.Store
	bus     event.Bus
	outbox  *outbox.Outbox
	service *Service
	log     bytes.Buffer
	stop    func()
}

type houseOptions struct {
	webhook Options
	outbox  outbox.Options
	carrier CarrierOptions
}

func newHouse(t testing.TB, opts houseOptions) *house {
	t.Helper()
	h := buildHouse(t, opts)
	h.run()
	return h
}

// buildHouse makes a house whose outbox does not run yet.
func buildHouse(t testing.TB, opts houseOptions) *house {
	t.Helper()
	h := &house{t: t, store: openStore(t, t.TempDir(), testMaster, nil)}
	guard := mustGuard(t, "127.0.0.0/8", "::1")
	logger := slog.New(slog.NewTextHandler(&lockedWriter{w: &h.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts.outbox.Limits = Limits
	opts.outbox.Log = logger
	opts.outbox.OnChange = func(tx store.Tx, e *store.Endpoint, c outbox.Change) error {
		return h.service.EndpointChanged(tx, e, c)
	}
	if opts.outbox.Random == nil {
		opts.outbox.Random = func() float64 { return 0.5 }
	}
	h.outbox = outbox.New(h.store, NewCarrier(guard, opts.carrier), opts.outbox)
	opts.webhook.Bus, opts.webhook.Log = &h.bus, logger
	h.service = New(h.store, h.outbox, guard, opts.webhook)
	h.stop = func() {
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { h.stop() })
	return h
}

// run starts the outbox. stop ends it and closes the store.
func (h *house) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.outbox.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Logf("outbox: %v", err)
		}
		if err := h.store.Close(); err != nil {
			h.t.Error(err)
		}
	})
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (h *house) update(fn func(tx store.Tx) error) {
	h.t.Helper()
	if err := h.store.Update(context.Background(), fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) account(id string) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		return tx.PutAccount(&store.Account{ID: id, Provider: "p", Address: id + "@example.org", State: store.AccountReady})
	})
}

// journal appends events of an account and owes what follows, as the journal
// does.
func (h *house) journal(events ...event.Event) (appended []event.Event) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		appended = nil
		for _, e := range events {
			e.Time = time.Now().UTC()
			if err := tx.AppendEvent(&e); err != nil {
				return err
			}
			appended = append(appended, e)
		}
		return h.service.Owe(tx, appended)
	})
	return appended
}

func (h *house) create(in Create) (*Endpoint, string) {
	h.t.Helper()
	e, secret, err := h.service.CreateEndpoint(context.Background(), in)
	if err != nil {
		h.t.Fatal(err)
	}
	return e, secret
}

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// request is what a receiver got.
type request struct {
	header http.Header
	body   []byte
	at     time.Time
}

// receiver is an endpoint's other side.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []request
	arrive chan request
	answer func(n int, w http.ResponseWriter, r request)
}

// receive starts a receiver; answer, which may be nil, is given the number of
// the request, from 1.
func receive(t testing.TB, answer func(n int, w http.ResponseWriter, r request)) *receiver {
	t.Helper()
	s := &receiver{arrive: make(chan request, 10_000), answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		q := request{r.Header, body, time.Now()}
		s.mu.Lock()
		s.got = append(s.got, q)
		n := len(s.got)
		s.mu.Unlock()
		if s.answer != nil {
			s.answer(n, w, q)
		}
		s.arrive <- q
	}))
	t.Cleanup(s.Server.Close)
	return s
}

// next waits for a request.
func (s *receiver) next(t testing.TB) request {
	t.Helper()
	select {
	case r := <-s.arrive:
		return r
	case <-time.After(time.Minute):
		t.Fatal("no request came")
		return request{}
	}
}

func (s *receiver) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.got) }

// verify checks a request with the public library.
func verify(r request, secret string) error {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	return wh.Verify(r.body, r.header)
}
