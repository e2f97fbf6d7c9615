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
		if err != nil || halt && (again != 10 || len(dead) != 0) || !halt && (again != 2 || len(dead) == 0) {
			t.Errorf("halt %v: the first was tried %d times of ten, %d dead letters, %v", halt, again, len(dead), err)
		}
	}
}
