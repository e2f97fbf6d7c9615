package webhook

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// TestEnablingTriesAtOnce: whoever enables an endpoint that fails, or that has
// asked for a pause, need not wait for the schedule; and until something has
// succeeded the endpoint does not look well.
func TestEnablingTriesAtOnce(t *testing.T) {
	for name, retryAfter := range map[string]string{"failing": "", "paused": "3600"} {
		t.Run(name, func(t *testing.T) {
			policy := outbox.DefaultPolicy()
			for i := range policy.Schedule {
				policy.Schedule[i] = time.Hour
			}
			h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: policy}})
			h.account("a")
			h.account("b")
			var well atomic.Bool
			sink := receive(t, func(_ int, w http.ResponseWriter, _ request) {
				if !well.Load() {
					w.Header().Set("Retry-After", retryAfter)
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			ctx, on := context.Background(), true
			e, _ := h.create(Create{URL: sink.URL})
			h.journal(updated("a"))
			sink.next(t)
			fails := func(n int) {
				t.Helper()
				eventually(t, "the failures are noted", func() bool {
					got, err := h.service.GetEndpoint(ctx, e.ID)
					return err == nil && got.Failures == n
				})
			}
			fails(1)
			got, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, Enabled: &on})
			if err != nil || got.State != StateFailing || got.FailingSince.IsZero() || !got.PausedUntil.IsZero() {
				t.Errorf("enabled before anything has succeeded it is %+v, %v", got, err)
			}
			sink.next(t) // within the hour
			fails(2)
			h.journal(updated("b"))
			well.Store(true)
			if _, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, Enabled: &on}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all is delivered", func() bool { return h.pending() == 0 })
			eventually(t, "the endpoint is well", func() bool {
				got, err := h.service.GetEndpoint(ctx, e.ID)
				return err == nil && got.State == StateActive && got.FailingSince.IsZero()
			})
		})
	}
}

// TestEnabledAfterItWasDisabled: it is not disabled again by the next failure,
// and what is told on the way there is told again.
func TestEnabledAfterItWasDisabled(t *testing.T) {
	since := time.Now().Add(-240 * time.Hour)
	r := &store.Endpoint{Disabled: true, Reason: "it failed for days", Failing: since, Failures: 200, Told: 90, PausedUntil: time.Now().Add(time.Hour)}
	enable(r)
	if r.Disabled || r.Reason != "" || !r.PausedUntil.IsZero() || !r.Failing.Equal(since) || r.Failures != 0 || r.Told != 1 {
		t.Errorf("%+v", r)
	}
	r.Failures, r.Told = 4, 50
	enable(r)
	if r.Failures != 4 || r.Told != 50 || !r.Failing.Equal(since) {
		t.Errorf("one that is enabled: %+v", r)
	}
}
