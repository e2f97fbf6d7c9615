package mailbox

import (
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestPanicWhileSettling ends neither the gateway nor what is done to the others.
func TestPanicWhileSettling(t *testing.T) {
	w := newWorld(t, folders())
	var ids []string
	for range itemsPerTx(1) + 1 {
		ids = append(ids, w.ours(w.deliver("a", memory.Delivery{})))
	}
	w.rounds()
	rs, err := w.svc.bulk(w.ctx, ids, func(wk *work) ([]Result, error) {
		return w.svc.send(w.ctx, wk, 0, nil, func(m *store.Message) {
			if m.ID == ids[0] {
				panic("of all things")
			}
			m.Local = withKeyword(m.Local, "done", true)
		})
	})
	w.must(err)
	if last := rs[len(rs)-1]; !guard.Is(rs[0].Err) || last.Err != nil || !slices.Contains(last.Message.AllKeywords(), "done") {
		t.Errorf("the first %v, the last %+v", rs[0].Err, last)
	}
	w.must(w.svc.Mark(w.ctx, ids[0], mail.Seen))
}
