package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/internal/webhook"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// word stands in everything of the account that is erased, and nowhere else.
const word = "quicksilver"

// erasable is a gateway with an account of which everything is kept.
type erasable struct {
	t        *testing.T
	cfg      *config.Config
	g        *Gateway
	cancel   context.CancelFunc
	ended    chan error
	hooks    chan string // the events that the receiver accepted
	refusing atomic.Bool
	endpoint string
	account  string
}

func (e *erasable) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func newErasable(t *testing.T) *erasable {
	t.Helper()
	e := &erasable{t: t, cfg: config.Default(), hooks: make(chan string, 100), account: "a" + word}
	e.refusing.Store(true)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if e.refusing.Load() {
			http.Error(w, "no "+string(body), http.StatusGatewayTimeout)
			return
		}
		e.hooks <- string(body)
	}))
	t.Cleanup(receiver.Close)
	e.cfg.DataDir = t.TempDir()
	e.cfg.IMAP.Listen, e.cfg.SMTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	e.cfg.Webhooks.Allow, e.cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	e.start()
	made, _, err := e.g.hooks.CreateEndpoint(t.Context(), webhook.Create{URL: receiver.URL, Attempts: 1})
	e.must(err)
	e.endpoint = made.ID
	return e
}

// start runs the gateway.
func (e *erasable) start() {
	e.t.Helper()
	env := func(string) (string, bool) { return base64.StdEncoding.EncodeToString(make([]byte, 32)), true }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	e.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	open := make(chan struct{})
	e.g, err = New(ctx, e.cfg, Options{LookupEnv: env, Listener: listener, Started: func(string) { close(open) }})
	e.must(err)
	e.cancel, e.ended = cancel, make(chan error, 1)
	go func() { e.ended <- e.g.Run(ctx) }()
	select {
	case <-open:
	case err := <-e.ended:
		e.t.Fatal(err)
	}
}

func (e *erasable) stop() {
	e.t.Helper()
	e.cancel()
	e.must(<-e.ended)
}

// inhabit gives the account mail, a submission, and events that were owed.
func (e *erasable) inhabit() {
	e.t.Helper()
	ref, err := e.g.store.Blobs().Put(e.t.Context(), e.account, strings.NewReader("the bytes of "+word), true)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		e.must(err)
	}
	e.must(e.g.journal.Update(e.t.Context(), func(tx store.Tx, b *journal.Batch) error {
		if err := tx.PutAccount(&store.Account{ID: e.account, Provider: "none", Address: word + "@example.com", State: store.AccountReady}); err != nil {
			return err
		}
		if err := tx.PutMailbox(&store.Mailbox{ID: "f1", Account: e.account, Name: word}); err != nil {
			return err
		}
		m := &store.Message{ID: "m1", Account: e.account, In: []string{"f1"}, Message: mail.Message{ProviderID: "p1", Subject: word, ReceivedAt: time.Now()}}
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		for range 300 {
			if _, err := b.Add(&event.Event{Type: event.MessageCreated, Account: e.account, Message: "m1", Snapshot: &event.Snapshot{Subject: word}}); err != nil {
				return err
			}
		}
		return tx.PutSubmission(&store.Submission{ID: "s1", Account: e.account, State: store.SubmissionScheduled, Subject: word, Blob: ref.Digest,
			IdempotencyKey: word, NextAt: time.Now().Add(time.Hour)})
	}))
}

// until waits for a state of the outbox.
func (e *erasable) until(what string, ok func(store.OutboxStats) bool) {
	e.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var stats store.OutboxStats
		e.must(e.g.store.View(e.t.Context(), func(tx store.Tx) (err error) {
			stats, err = tx.EndpointStats(e.endpoint)
			return err
		}))
		if ok(stats) {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("%s: %+v", what, stats)
		}
	}
}

// disconnect is what the mutation does.
func (e *erasable) disconnect(erase bool) error {
	a := accounts{e.g.accounts, e.g.mirror, eraser{e.g.store, e.g.outbox}}
	return a.DisconnectAccount(e.t.Context(), e.account, false, erase)
}

// found lists what a stopped data folder still holds of the account.
func (e *erasable) found() (list []string) {
	e.t.Helper()
	note := func(what string, v any) {
		b, err := json.Marshal(v)
		e.must(err)
		if strings.Contains(string(b), word) {
			list = append(list, fmt.Sprintf("%s: %.200s", what, b))
		}
	}
	s, err := OpenStore(e.t.Context(), e.cfg, func(string) (string, bool) { return base64.StdEncoding.EncodeToString(make([]byte, 32)), true }, e.g.log, "test")
	e.must(err)
	e.must(s.View(e.t.Context(), func(tx store.Tx) error {
		deliveries, err := tx.Deliveries(store.DeliveryFilter{}, store.DateKey{}, 10_000)
		for _, d := range deliveries {
			note("delivery", d)
			attempts, aerr := tx.AttemptsOf(d.ID)
			body, berr := tx.Body(d)
			if errors.Is(berr, store.ErrNotFound) {
				berr = nil
			}
			note("attempts", attempts)
			note("body", string(body))
			err = errors.Join(err, aerr, berr)
		}
		jobs, jerr := tx.Jobs(store.DateKey{}, 1000)
		note("replays", jobs)
		due, derr := tx.DueSubmissions(time.Now().Add(1000*time.Hour), 1000)
		note("submissions", due)
		for what, read := range map[string]func() (any, error){
			"account":    func() (any, error) { return tx.Account(e.account) },
			"message":    func() (any, error) { return tx.Message("m1") },
			"mailbox":    func() (any, error) { return tx.Mailbox("f1") },
			"submission": func() (any, error) { return tx.Submission("s1") },
			"key":        func() (any, error) { return tx.SubmissionByKey(e.account, word) },
		} {
			if v, err := read(); !errors.Is(err, store.ErrNotFound) {
				list = append(list, fmt.Sprintf("%s: %v, %v", what, v, err))
			}
		}
		// The journal keeps that something happened, and when.
		events, everr := tx.EventsAfter(0, 10_000)
		for i := range events {
			if events[i].Snapshot != nil && events[i].Snapshot.Subject != "" {
				note("event", events[i])
			}
		}
		return errors.Join(err, jerr, derr, everr)
	}))
	e.must(s.Close())
	e.must(filepath.WalkDir(e.cfg.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(word+"@")) {
			list = append(list, "plain in "+path)
		}
		return err
	}))
	return list
}

// TestEraseLeavesNothing erases an account of which everything is kept: mail,
// submissions, dead letters with their attempts, what waits, and a replay that
// runs.
func TestEraseLeavesNothing(t *testing.T) {
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprintf("after disconnecting: %v", later), func(t *testing.T) {
			e := newErasable(t)
			e.inhabit()
			e.until("dead letters", func(s store.OutboxStats) bool { return s.Dead > 0 })
			job, err := e.g.outbox.Replay(t.Context(), outbox.Replay{Source: store.JobDeliveries, Filter: store.DeliveryFilter{Account: e.account}, PerSecond: 1})
			e.must(err)
			if later {
				e.must(e.disconnect(false))
			}
			e.must(e.disconnect(true))
			if _, err := e.g.outbox.Job(t.Context(), job.ID); mail.KindOf(err) != mail.KindNotFound {
				t.Errorf("the replay is still there: %v", err)
			}
			e.stop()
			for _, f := range e.found() {
				t.Error(f)
			}
		})
	}
	e := newErasable(t)
	defer e.stop()
	if err := e.disconnect(true); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("an account that was never there: %v", err)
	}
}

// TestWhatIsOwedOutlivesTheAccount: without erasing, dead letters of an account
// that is gone can be made again, bodies and all.
func TestWhatIsOwedOutlivesTheAccount(t *testing.T) {
	e := newErasable(t)
	e.inhabit()
	e.until("one dead letter", func(s store.OutboxStats) bool { return s.Dead > 0 })
	e.must(e.disconnect(false))
	e.stop()
	if len(e.found()) == 0 {
		t.Error("nothing is owed any more")
	}
	e.refusing.Store(false)
	e.start()
	defer e.stop()
	enabled := true
	_, err := e.g.hooks.UpdateEndpoint(t.Context(), webhook.Update{ID: e.endpoint, Enabled: &enabled})
	e.must(err)
	job, err := e.g.outbox.Replay(t.Context(), outbox.Replay{Source: store.JobDeliveries, Filter: store.DeliveryFilter{Account: e.account}})
	e.must(err)
	done, err := e.g.outbox.Await(t.Context(), job.ID, 30*time.Second)
	if err != nil || done.Done == 0 || done.State != store.JobDone {
		t.Fatalf("%+v, %v", done, err)
	}
	for range 300 {
		if body := <-e.hooks; !strings.Contains(body, word) && !strings.Contains(body, string(event.AccountDisconnected)) {
			t.Errorf("a body without what it tells: %s", body)
		}
	}
}
