package mailbox

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestBulkGoesInTheProvidersBatches: a provider takes more messages at once
// than one transaction of ours does, and every message keeps its own outcome.
func TestBulkGoesInTheProvidersBatches(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		var pids, ids []string
		for range 130 {
			pid := w.deliver("a", memory.Delivery{})
			pids, ids = append(pids, pid), append(ids, w.ours(pid))
		}
		w.rounds()
		lost := map[int]bool{3: true, 77: true, 120: true}
		for i := range lost {
			w.must(w.cloud.Remove(ann, pids[i]))
		}
		var calls atomic.Int32
		w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
			if verb == "modify" {
				calls.Add(1)
			}
			return nil
		})
		rs, err := w.svc.Update(w.ctx, ids, Change{AddKeywords: []string{mail.Seen}})
		w.must(err)
		if n := calls.Load(); n != 2 {
			t.Errorf("130 messages took %d calls of at most 100", n)
		}
		for i, r := range rs {
			if r.ID != ids[i] || (r.Err != nil) != lost[i] || r.Err == nil && !r.Message.HasKeyword(mail.Seen) {
				t.Errorf("message %d: %v", i, r.Err)
			}
		}
		w.cloud.OnCall(nil)
		w.rounds()
		w.inStep()
	})
}
