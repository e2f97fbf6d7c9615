package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBodiesAhead: once an account has an app password, its messages come ahead
// of anybody asking for them. Then a mail program reads everything while the
// provider gives no bytes at all, and what came by push meanwhile is there too.
func TestBodiesAhead(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	account := s.join(ada)
	s.query(`mutation($id: ID!) { updateAccount(input: {id: $id, mirror: METADATA}) { id } }`, map[string]any{"id": account}, nil)
	for i := range 30 {
		s.deliver(ada, fmt.Sprintf("before %d", i))
	}
	s.inStep(ada)
	if n := s.metric("postern_bodies_ahead_total"); n != 0 {
		t.Errorf("%v bodies came before anybody wanted them", n)
	}
	password := s.appPassword(account)
	s.eventually("the bodies are here", func() bool {
		return s.metric("postern_bodies_ahead_total") >= 30 && s.metric("postern_bodies_missing") == 0
	})
	s.deliver(ada, "afterwards")
	s.eventually("the new one is here", func() bool { return s.metric("postern_bodies_ahead_total") >= 31 })

	s.fault(ada, map[string]any{"match": `\$value$`, "status": 503})
	p, err := dialMail(s.imapDoor(), ada, password)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, command := range []string{"SELECT INBOX", "FETCH 1:* (RFC822.SIZE ENVELOPE BODYSTRUCTURE)", "UID FETCH 1:* (UID BODY.PEEK[])"} {
		if err := p.must(command); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, v := range p.view {
		got = append(got, v.digest)
	}
	slices.Sort(got)
	if d := cmp.Diff(s.inboxDigests(ada), got); d != "" {
		t.Errorf("what a mail program reads (-provider +program):\n%s", d)
	}
}

// onlyWhenAsked has no bodies of an account brought ahead any more: what arrives
// from now on is not here before somebody asks for it.
func (d *demo) onlyWhenAsked(account string) {
	d.t.Helper()
	var got struct {
		Account struct{ AppPasswords []struct{ ID string } }
	}
	d.query(`query($id: ID!) { account(id: $id) { appPasswords { id } } }`, map[string]any{"id": account}, &got)
	for _, p := range got.Account.AppPasswords {
		d.query(`mutation($id: ID!) { revokeAppPassword(id: $id) }`, map[string]any{"id": p.ID}, nil)
	}
	d.query(`mutation($id: ID!) { updateAccount(input: {id: $id, mirror: METADATA}) { id } }`, map[string]any{"id": account}, nil)
}
