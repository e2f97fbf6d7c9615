package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// BenchmarkDelivery compares, in one run and with the same receiver, a signed
// POST that nothing stands behind with a delivery that is made durable first:
// c producers each journal an event and wait until its webhook has arrived.
func BenchmarkDelivery(b *testing.B) {
	for _, c := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("bare/c=%d", c), func(b *testing.B) { benchBare(b, c) })
		b.Run(fmt.Sprintf("outbox/c=%d", c), func(b *testing.B) { benchOutbox(b, c) })
	}
}

// BenchmarkDrain is what a backlog costs per delivery: b.N of them are owed
// before the outbox starts.
func BenchmarkDrain(b *testing.B) {
	sink := newSink(b)
	h := benchHouse(b, 64)
	if _, _, err := h.service.CreateEndpoint(context.Background(), Create{URL: sink.URL}); err != nil {
		b.Fatal(err)
	}
	for n := 0; n < b.N; {
		events := make([]event.Event, min(100, b.N-n))
		for i := range events {
			events[i] = benchEvent(fmt.Sprintf("a%02d", n%64))
			n++
		}
		benchJournal(b, h, events)
	}
	done := sink.expect(b.N)
	b.ResetTimer()
	h.run()
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.StopTimer()
}

// benchSink counts what arrives and wakes those who wait for it.
type benchSink struct {
	*httptest.Server
	waiters sync.Map // webhook-id -> chan struct{}
	left    atomic.Int64
	done    chan struct{}
}

func newSink(b *testing.B) *benchSink {
	s := &benchSink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
		if ch, ok := s.waiters.LoadAndDelete(r.Header.Get("webhook-id")); ok {
			close(ch.(chan struct{}))
		}
		if s.done != nil && s.left.Add(-1) == 0 {
			close(s.done)
		}
	}))
	b.Cleanup(s.Server.Close)
	return s
}

func (s *benchSink) expect(n int) <-chan struct{} {
	s.done = make(chan struct{})
	s.left.Store(int64(n))
	return s.done
}

func benchEvent(account string) event.Event {
	e := event.Event{Type: event.MessageCreated, Account: account, Message: "m1", Snapshot: goldenSnapshot()}
	e.Snapshot.Preview = strings.Repeat("Liebe Ada, anbei. ", 14)
	return e
}

func benchHouse(b *testing.B, lanes int) *house {
	return buildHouse(b, houseOptions{
		outbox:  outbox.Options{Lanes: lanes, Workers: 2 * lanes},
		carrier: CarrierOptions{IdleConns: lanes},
	})
}

// benchJournal appends events and owes what follows; the events get their ids.
func benchJournal(b *testing.B, h *house, events []event.Event) {
	err := h.store.Update(context.Background(), func(tx store.Tx) error {
		for i := range events {
			events[i].Time = time.Now()
			if err := tx.AppendEvent(&events[i]); err != nil {
				return err
			}
		}
		return h.service.Owe(tx, events)
	})
	if err != nil {
		b.Error(err)
	}
}

// produce runs fn b.N times on c goroutines.
func produce(b *testing.B, c int, fn func(worker int)) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for w := range c {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				fn(w)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func benchBare(b *testing.B, c int) {
	sink := newSink(b)
	body := bytes.Repeat([]byte("x"), 1000)
	transport := &http.Transport{MaxIdleConnsPerHost: c, DisableCompression: true}
	defer transport.CloseIdleConnections()
	keys := []signingKey{{Secret: testSecret}}
	if err := keys[0].decode(); err != nil {
		b.Fatal(err)
	}
	produce(b, c, func(int) {
		req, err := http.NewRequest(http.MethodPost, sink.URL, bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		at := time.Now().Unix()
		standard, own := sign(keys, "evt_1", at, body)
		req.Header.Set("webhook-signature", standard)
		req.Header.Set(HeaderPostern, own)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			b.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	})
}

func benchOutbox(b *testing.B, c int) {
	sink := newSink(b)
	h := benchHouse(b, max(8, c))
	h.run()
	defer h.stop()
	if _, _, err := h.service.CreateEndpoint(context.Background(), Create{URL: sink.URL}); err != nil {
		b.Fatal(err)
	}
	produce(b, c, func(worker int) {
		arrived := make(chan struct{})
		e := benchEvent(fmt.Sprintf("a%03d", worker))
		err := h.store.Update(context.Background(), func(tx store.Tx) error {
			e := e
			e.Time = time.Now()
			if err := tx.AppendEvent(&e); err != nil {
				return err
			}
			sink.waiters.Store(e.ID, arrived)
			return h.service.Owe(tx, []event.Event{e})
		})
		if err != nil {
			b.Error(err)
			return
		}
		<-arrived
	})
}
