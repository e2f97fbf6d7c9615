package imapd

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestDrain(t *testing.T) {
	w := newWorld(t)
	stranger, idle, idling := w.dial(), w.dial().login(), w.dial().login()
	stranger.until("* OK")
	idling.send("a IDLE\r\n")
	idling.until("+ ")
	w.stop()
	for _, p := range []*peer{stranger, idle, idling} {
		p.says("* BYE the server is shutting down", p.gone())
	}
	if err := <-w.stopped; err != nil {
		t.Error(err)
	}
}

// stuck is a provider whose changes take for ever.
type stuck struct {
	provider.Provider
	asked chan struct{}
}

func (p stuck) wait(ctx context.Context) error {
	p.asked <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (p stuck) Modify(ctx context.Context, _ *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	return nil, p.wait(ctx)
}

func (p stuck) Copy(ctx context.Context, _ *provider.CopyRequest) (*provider.ModifyResponse, error) {
	return nil, p.wait(ctx)
}

func (p stuck) Append(ctx context.Context, _ *provider.AppendRequest, _ io.Reader) (*provider.AppendResponse, error) {
	return nil, p.wait(ctx)
}

func (p stuck) Delete(ctx context.Context, _ *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	return nil, p.wait(ctx)
}

func (p stuck) CreateMailbox(ctx context.Context, _ *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
	return nil, p.wait(ctx)
}

// TestDrainOfAChange: a change that the provider does not come to an end with
// does not hold up the server beyond its time, and the client is told that it is
// not done, or that nobody knows, and then BYE.
func TestDrainOfAChange(t *testing.T) {
	p := stuck{asked: make(chan struct{}, 10)}
	w := newWorld(t, func(w *world, o *Options) {
		w.Front = func(real provider.Provider) provider.Provider { p := p; p.Provider = real; return p }
		o.DrainTimeout = 10 * time.Millisecond
	})
	w.letters(2)
	commands := []string{
		"a STORE 1:2 +FLAGS (\\Flagged)\r\n", "a UID STORE 1 FLAGS.SILENT (\\Seen)\r\n", "a COPY 1 Archive\r\n", "a UID MOVE 1:2 Archive\r\n",
		"a APPEND INBOX (\\Seen) {11+}\r\nA: b\r\n\r\nc\r\n\r\n", "a CREATE Other\r\n", "a EXPUNGE\r\n", "a CLOSE\r\n",
	}
	peers := make([]*peer, len(commands))
	for i, command := range commands {
		peers[i] = w.dial().login()
		peers[i].ok("s SELECT INBOX")
		if i == 0 {
			peers[0].ok("d STORE 2 +FLAGS (\\Deleted)")
		}
		peers[i].send(command)
		select {
		case <-p.asked:
		case <-time.After(30 * time.Second):
			t.Fatalf("%q does not reach the provider", command)
		}
	}
	w.stop()
	for i, command := range commands {
		all := peers[i].gone()
		text := strings.Join(all, "\n")
		if !strings.Contains(text, "a NO [UNAVAILABLE] ") || !strings.HasPrefix(all[len(all)-1], "* BYE the server is shutting down") {
			t.Errorf("%q ended with %q", command, all)
		}
	}
	if err := <-w.stopped; err != nil {
		t.Error(err)
	}
}
