package mailbox

import (
	"fmt"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestManyAreSettledInOrder: what is written in several transactions at once
// gets its UIDs in the order asked, and every message its own result.
func TestManyAreSettledInOrder(t *testing.T) {
	for name, opts := range map[string]memory.Options{"folders": folders(), "labels": labels()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, opts)
			n := 4*itemsPerTx(1) + 3
			var ids []string
			for i := range n {
				ids = append(ids, w.ours(w.deliver(fmt.Sprint(i), memory.Delivery{})))
			}
			w.rounds()
			to, err := w.cloud.AddMailbox(ann, "", "Work")
			w.must(err)
			w.rounds()
			for what, do := range map[string]func() ([]Result, error){
				"copy": func() ([]Result, error) { return w.svc.Copy(w.ctx, ids, w.box(to)) },
				"move": func() ([]Result, error) { return w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("archive"), ids) },
			} {
				into := map[string]string{"copy": w.box(to), "move": w.box("archive")}[what]
				rs, err := do()
				w.must(err)
				var last uint32
				for i, r := range rs {
					w.must(r.Err)
					uid := r.Message.UIDs[into]
					if r.ID != ids[i] || r.Message.Subject != fmt.Sprint(i) || uid <= last {
						t.Fatalf("%s %d: message %s (%q) has UID %d after %d", what, i, r.ID, r.Message.Subject, uid, last)
					}
					last = uid
				}
			}
			w.inStep()
		})
	}
}
