package mailbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestClockJumps sets the clock an hour on or back between what we wrote and
// what the provider tells next: nothing that it tells is lost, in feeds and in
// comparisons.
func TestClockJumps(t *testing.T) {
	for _, opts := range []memory.Options{{Scope: mail.ScopeMailbox, Kind: mail.KindFolder}, {Scope: mail.ScopeAccount, Kind: mail.KindLabel}} {
		for _, jump := range []time.Duration{-time.Hour, time.Hour} {
			t.Run(fmt.Sprint(opts.Scope, jump), func(t *testing.T) {
				w, _, pass := watched(t, opts)
				box, err := w.cloud.AddMailbox(ann, "", "Projects")
				w.must(err)
				var ids, mine []string
				for i := range 8 {
					ids = append(ids, w.deliver(fmt.Sprint("letter ", i), memory.Delivery{}))
					mine = append(mine, MessageID(w.account, ids[i]))
				}
				w.rounds()
				w.inStep()
				_, err = w.svc.Update(w.ctx, mine[:4], Change{AddKeywords: []string{mail.Seen, "project"}})
				w.must(err)
				_, err = w.svc.Move(w.ctx, mine[3:6], ID(w.account, box))
				w.must(err)
				w.rounds()
				w.inStep()

				pass(jump)
				w.must(w.cloud.SetKeywords(ann, ids[0], mail.Flagged))
				w.must(w.cloud.Remove(ann, ids[1]))
				w.must(w.cloud.Move(ann, ids[2], box))
				w.must(w.cloud.Remove(ann, ids[4]))
				w.must(w.cloud.SetKeywords(ann, ids[5], mail.Flagged))
				w.deliver("after the jump", memory.Delivery{})
				w.rounds()
				w.inStep()
				_, err = w.svc.Update(w.ctx, mine[5:7], Change{AddKeywords: []string{"later"}, RemoveKeywords: []string{mail.Flagged}})
				w.must(err)
				w.rounds()
				w.inStep()

				pass(-jump)
				w.must(w.cloud.Remove(ann, ids[6]))
				w.must(w.cloud.SetKeywords(ann, ids[5], "back"))
				w.must(w.cloud.ForgetCursors(ann))
				w.rounds()
				w.inStep()
			})
		}
	}
}
