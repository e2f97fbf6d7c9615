package webhook

import (
	"context"
	"net/http"
	"testing"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// TestLaneHalts: what has used up its attempts stays in front, for an endpoint
// that asked for that, and is passed by at one that did not.
func TestLaneHalts(t *testing.T) {
	for _, halt := range []bool{true, false} {
		h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: fastPolicy()}})
		h.account("a")
		first := make(chan string, 1)
		sink := receive(t, func(n int, w http.ResponseWriter, r request) {
			if n == 1 {
				first <- r.header.Get("webhook-id")
			}
			if n <= 10 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		e, _ := h.create(Create{URL: sink.URL, Attempts: 2, Halt: halt})
		if e.Halt != halt {
			t.Errorf("%+v", e)
		}
		for range 8 {
			h.journal(updated("a"))
		}
		id := <-first
		if halt {
			halted(t, h, sink, e.ID, id)
			continue
		}
		eventually(t, "everything is settled", func() bool { return h.pending() == 0 })
		sink.mu.Lock()
		again := 0
		for _, r := range sink.got[:10] {
			if r.header.Get("webhook-id") == id {
				again++
			}
		}
		sink.mu.Unlock()
		dead, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: e.ID, State: store.DeliveryDead}, store.DateKey{}, 10)
		if err != nil || again != 2 || len(dead) == 0 {
			t.Errorf("the first was tried %d times of ten, %d dead letters, %v", again, len(dead), err)
		}
	}
}

// halted waits until the first of eight deliveries has used up its two attempts,
// and sees it stay in front of the others.
func halted(t *testing.T, h *house, sink *receiver, endpoint, first string) {
	t.Helper()
	list := func(state store.DeliveryState) []*store.Delivery {
		l, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: endpoint, State: state}, store.DateKey{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	eventually(t, "the first has used up its attempts", func() bool {
		for _, d := range list(store.DeliveryPending) {
			if d.Event == first && d.Attempts >= 2 {
				return true
			}
		}
		return false
	})
	if pending, dead := len(list(store.DeliveryPending)), len(list(store.DeliveryDead)); pending != 8 || dead != 0 {
		t.Errorf("%d wait, %d dead letters", pending, dead)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	for _, r := range sink.got {
		if id := r.header.Get("webhook-id"); id != first {
			t.Errorf("%s came past the first", id)
		}
	}
}
