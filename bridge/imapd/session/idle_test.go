package session

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// idler is a client that idles: every flush hands on what was told.
type idler struct {
	client
	told chan string
}

func (i *idler) Flush() error {
	if len(i.lines) > 0 {
		i.told <- strings.Join(i.lines, "\n")
		i.lines = nil
	}
	return nil
}

func (w *world) idler(mailbox string) *idler {
	w.t.Helper()
	i := &idler{client: client{w: w}, told: make(chan string, 100)}
	i.s = w.server.Session(ConnInfo{}, i)
	w.t.Cleanup(i.s.Close)
	w.must(i.s.Login(w.t.Context(), "LOGIN", ann, "secret"))
	i.open(mailbox)
	return i
}

// idle begins to idle, and gives what ends it.
func (i *idler) idle() (done func() error) {
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- i.s.Idle(i.w.t.Context(), stop) }()
	return func() error {
		close(stop)
		return <-ended
	}
}

func TestIdleTells(t *testing.T) {
	w := newWorld(t, memory.Options{})
	first := w.deliver("inbox")
	w.sync()
	i := w.idler("INBOX")
	done := i.idle()
	w.deliver("inbox")
	w.sync()
	if got, want := <-i.told, "* 2 EXISTS"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	w.must(w.cloud.SetKeywords(ann, first, mail.Seen))
	w.sync()
	if got, want := <-i.told, `* 1 FETCH (UID 1 FLAGS (\Seen))`; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	w.must(w.cloud.Remove(ann, first))
	w.sync()
	if got, want := <-i.told, "* 1 EXPUNGE"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	w.must(done())
}

// What happens between the last command and IDLE, or between one IDLE and the
// next, is told when IDLE begins.
func TestIdleLosesNothing(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.sync()
	i := w.idler("INBOX")
	for n := range 20 {
		w.deliver("inbox")
		if n%2 == 0 {
			w.sync() // before it idles
		}
		done := i.idle()
		if n%2 == 1 {
			w.sync() // while it does
		}
		<-i.told
		w.must(done())
		if len(i.view) != n+1 {
			t.Fatalf("after message %d the client knows of %d", n+1, len(i.view))
		}
	}
}

func TestIdleEnds(t *testing.T) {
	w := newWorld(t, memory.Options{})
	box, err := w.cloud.AddMailbox(ann, "", "Brief")
	w.must(err)
	w.deliver(box)
	w.sync()
	c := w.client()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.s.Idle(ctx, nil); err == nil {
		t.Error("IDLE without a mailbox outlives its connection")
	}
	stop := make(chan struct{})
	close(stop)
	w.must(c.s.Idle(t.Context(), stop))

	// The mailbox is deleted under a client: the session cannot go on.
	i := w.idler("Brief")
	ended := make(chan error, 1)
	go func() { ended <- i.s.Idle(t.Context(), nil) }()
	w.must(c.s.Delete(t.Context(), "Brief"))
	w.sync()
	w.sync()
	if err := <-ended; mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("IDLE in a mailbox that was deleted ended with %v", err)
	}
}

// A mailbox that is deleted ends the sessions that have it selected; it is not
// told as a deletion of its messages.
func TestDeletedMailboxEndsTheSession(t *testing.T) {
	w := newWorld(t, memory.Options{})
	_, err := w.cloud.AddMailbox(ann, "", "Brief")
	w.must(err)
	w.sync()
	c, other := w.client(), w.client()
	c.open("Brief")
	other.open("Brief")
	w.must(other.s.Delete(t.Context(), "Brief"))
	w.sync()
	other.hears("") // it has left what it deleted
	var over *Over
	if err := c.s.Poll(t.Context(), true); !errors.As(err, &over) || over.Text != "The mailbox was deleted" {
		t.Errorf("poll: %v", err)
	}
	cmd := &wire.Command{Name: "EXPUNGE", Args: wire.NewArgs(nil)}
	if answer, err := c.s.Command(t.Context(), cmd, wire.NewWriter(io.Discard)); !errors.As(err, &over) {
		t.Errorf("EXPUNGE: %v, %v", answer, err)
	}
	c.open("INBOX") // another one can be selected
	c.hears("")
}
