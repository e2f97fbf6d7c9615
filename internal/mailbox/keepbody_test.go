package mailbox

import (
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestBytesOfAnotherState: bytes that were read while their message changed are not
// taken for those that it has now. They are its own if it was the same before they
// were asked for, or is what they were told to be.
func TestBytesOfAnotherState(t *testing.T) {
	w := newWorld(t, folders())
	pid := w.deliver("a", memory.Delivery{})
	w.rounds()
	now := w.message(pid).ContentTag
	if now == "" {
		t.Fatal("the message has no tag")
	}
	for _, c := range []struct {
		before, tag string
		kept        bool
	}{{"former", "other", false}, {"former", "", false}, {"former", now, true}, {now, "later", true}} {
		got, err := w.svc.arrive(w.ctx, w.account, c.tag, strings.NewReader("Subject: "+c.tag+"\r\n\r\n"+c.before+"\r\n"))
		w.must(err)
		w.must(w.svc.keepBody(w.ctx, w.ours(pid), c.before, got))
		if m := w.message(pid); (m.Blob == got.ref.Digest) != c.kept {
			t.Errorf("asked for as %q, told to be %q, of a message that is %q: kept %v", c.before, c.tag, now, !c.kept)
		}
	}
}
