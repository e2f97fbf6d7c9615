package mailbox

import (
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestUIDValidityNeverGoesDown makes a mailbox again under the same name: in the
// same second, with the clock set back, and when it runs on; each time its
// UIDVALIDITY is greater.
func TestUIDValidityNeverGoesDown(t *testing.T) {
	w, _, pass := watched(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.round()
	last := uint32(0)
	for i, jump := range []time.Duration{0, 0, -24 * time.Hour, -24 * time.Hour, time.Hour, 72 * time.Hour, 0} {
		pass(jump)
		box, err := w.svc.CreateMailbox(w.ctx, w.account, "", "Projects")
		w.must(err)
		if box.UIDValidity <= last {
			t.Errorf("mailbox %d: UIDVALIDITY %d after %d", i+1, box.UIDValidity, last)
		}
		last = box.UIDValidity
		w.run(func() { w.must(w.svc.DeleteMailbox(w.ctx, box.ID)) })
		w.rounds()
		w.rounds()
	}
}
