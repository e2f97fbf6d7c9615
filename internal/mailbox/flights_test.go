package mailbox

import (
	"context"
	"errors"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// stuck never answers a Fetch of raw bytes.
type stuck struct {
	provider.Provider
	asked, left chan struct{}
}

func (p stuck) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	if req.Mode != provider.FetchRaw {
		return p.Provider.Fetch(ctx, req, sink)
	}
	close(p.asked)
	<-ctx.Done()
	close(p.left)
	return ctx.Err()
}

// TestNoFetchOutlivesRun: a fetch goes on when the caller leaves that began
// it, and ends with the service.
func TestNoFetchOutlivesRun(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.connect()
	pid := w.deliver("wanted", memory.Delivery{})
	w.rounds()
	p := stuck{asked: make(chan struct{}), left: make(chan struct{})}
	w.front = func(inner provider.Provider) provider.Provider {
		return stuck{Provider: inner, asked: p.asked, left: p.left}
	}
	running, stop := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.svc.Run(running) }()

	caller, leave := context.WithCancel(w.ctx)
	got := make(chan error, 1)
	go func() {
		_, _, err := w.svc.Raw(caller, MessageID(w.account, pid))
		got <- err
	}()
	<-p.asked
	leave()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever left got %v", err)
	}
	select {
	case <-p.left:
		t.Error("the fetch ended with its caller")
	default:
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case <-p.left:
	default:
		t.Error("the fetch outlived Run")
	}
	if _, _, err := w.svc.Raw(w.ctx, MessageID(w.account, pid)); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("after Run: %v", err)
	}
}
