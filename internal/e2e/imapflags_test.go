package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestBothVerbs: a message that was answered and then forwarded is both, though
// a provider may hold only the last of the two; and each comes off alone.
func TestBothVerbs(t *testing.T) {
	t.Parallel()
	s := newScene(t, unmetered)
	for _, address := range []string{ada, alanAtGmail} {
		account := s.join(address)
		s.deliver(address, "both")
		s.inStep(address)
		p, err := dialMail(s.imapDoor(), address, s.appPassword(account))
		if err == nil {
			err = p.open("INBOX")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		for _, step := range []struct{ command, want string }{
			{`STORE 1 +FLAGS (\Answered)`, `\Answered`},
			{`STORE 1 +FLAGS ($Forwarded)`, `$Forwarded \Answered`},
			{`STORE 1 -FLAGS (\Answered)`, `$Forwarded`},
			{`STORE 1 +FLAGS (\Answered)`, `$Forwarded \Answered`},
			{`STORE 1 -FLAGS ($Forwarded)`, `\Answered`},
			{`STORE 1 FLAGS (\Answered $Forwarded \Seen)`, `$Forwarded \Answered \Seen`},
		} {
			if err := p.must(step.command); err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"at once", "after the feeds have told"} {
				if when != "at once" {
					s.query(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": account}, nil)
				}
				if err := p.must("FETCH 1 (FLAGS)"); err != nil {
					t.Fatal(err)
				}
				got := slices.DeleteFunc(strings.Fields(p.view[0].flags), func(f string) bool {
					return f == "$important" || strings.HasPrefix(f, "category_") // the provider's own
				})
				if strings.Join(got, " ") != step.want {
					t.Errorf("%s, %s, %s: %v, want %s", address, step.command, when, got, step.want)
				}
			}
		}
	}
}
