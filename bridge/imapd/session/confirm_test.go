package session

import (
	"context"
	"regexp"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// While the provider has not answered there is no OK, nothing has changed for
// anybody, and others go on as ever.
func TestNothingIsSaidBeforeTheProviderConfirms(t *testing.T) {
	for _, tt := range []struct{ verb, command, answer, after string }{
		{"modify", `STORE 1 +FLAGS (\Seen)`, "* 1 FETCH (UID 1 FLAGS (\\Seen \\Deleted))\nOK", `* 1 FETCH (UID 1 FLAGS (\Seen \Deleted))`},
		{"modify", `UID MOVE 1 Archive`, "* OK [COPYUID 1 1 1] Moved\n* 1 EXPUNGE\nOK", "* 1 EXPUNGE"},
		{"copy", `COPY 1 Archive`, "OK [COPYUID 1 1 1]", ""},
		{"delete", `EXPUNGE`, "* 1 EXPUNGE\nOK", "* 1 EXPUNGE"},
	} {
		t.Run(tt.command, func(t *testing.T) {
			w := newWorld(t, memory.Options{})
			w.deliver("inbox")
			w.sync()
			c, other := w.client(), w.client()
			c.open("INBOX")
			other.open("INBOX")
			c.says(`STORE 1 +FLAGS.SILENT (\Deleted)`, "OK")
			other.noop()
			asked, goOn := make(chan struct{}), make(chan struct{})
			w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
				if verb == tt.verb {
					close(asked)
					<-goOn
					w.cloud.OnCall(nil)
				}
				return nil
			})
			answer := make(chan string, 1)
			go func() { answer <- c.do(tt.command) }()
			<-asked
			other.hears("")
			other.says("UID STORE 99 +FLAGS (x)", "OK")
			if d := w.status(other, "INBOX"); d.Messages != 1 || d.Unseen != 1 {
				t.Errorf("before the provider answered: %+v", d)
			}
			select {
			case got := <-answer:
				t.Fatalf("answered before the provider: %s", got)
			default:
			}
			close(goOn)
			if got := validityOut(<-answer); got != tt.answer {
				t.Errorf("answered %q, want %q", got, tt.answer)
			}
			other.hears(tt.after)
		})
	}
}

// validityOut writes 1 for UIDVALIDITY, which is a time.
func validityOut(answer string) string {
	return regexp.MustCompile(`COPYUID \d+`).ReplaceAllString(answer, "COPYUID 1")
}

func mustSet(t testing.TB, s string) wire.Set {
	t.Helper()
	set, err := wire.NewArgs([]byte(s)).Set()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A client that leaves in the middle of a change has it carried through.
func TestChangeOutlivesItsClient(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.deliver("inbox")
	w.sync()
	c := w.client()
	c.open("INBOX")
	ctx, leave := context.WithCancel(t.Context())
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "modify" {
			leave()
		}
		return nil
	})
	it := storeItem{sign: '+', keywords: []string{mail.Seen}}
	messages, err := c.s.resolve(mustSet(t, "1"), false)
	w.must(err)
	var o outcome
	if _, err := c.s.change(ctx, &it, messages, &o); err != nil || o.done != 1 {
		t.Errorf("%v, %+v", err, o)
	}
	if got := w.table("inbox")[1]; got != mail.Seen {
		t.Errorf("flags %q", got)
	}
	c.noop()
	if messages, err = c.s.resolve(mustSet(t, "1"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.s.change(ctx, &storeItem{sign: '-', keywords: []string{mail.Seen}}, messages, &o); err == nil {
		t.Error("a change was begun for a client that had left")
	}
}
