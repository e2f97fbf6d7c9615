package account

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// listening is a provider whose feed ends a few times before it lasts.
type listening struct {
	*memory.Provider
	tries atomic.Int64
	ends  int64
	err   error
}

func (p *listening) Listen(ctx context.Context, req *provider.ListenRequest, each func(*provider.Hint) error) error {
	if p.tries.Add(1) <= p.ends {
		return p.err
	}
	return p.Provider.Listen(ctx, req, each)
}

// unreached is a world whose provider cannot reach us, but is listened to.
type unreached struct {
	*world
	p provider.Provider
}

func (w unreached) Provider(name string) (provider.Provider, error) {
	if _, err := w.world.Provider(name); err != nil {
		return nil, err
	}
	return w.p, nil
}

func newUnreached(t *testing.T, p func(*memory.Provider) provider.Provider) *world {
	t.Helper()
	w := newWorld(t)
	w.svc.providers = unreached{w, p(w.plugin)}
	w.svc.opts.Push = func(string) bool { return false }
	return w
}

// run runs the service until the function that it gives is called.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	return func() {
		cancel()
		w.must(<-done)
	}
}

// TestListen: a provider that cannot reach us is listened to, whatever ends its
// feed, and its accounts have a channel by which its hints find them.
func TestListen(t *testing.T) {
	for name, err := range map[string]error{"an error": mail.Errorf(mail.KindUnavailable, "listen", "away"), "nothing": nil} {
		t.Run("after "+name, func(t *testing.T) {
			p := &listening{ends: 1, err: err}
			w := newUnreached(t, func(m *memory.Provider) provider.Provider { p.Provider = m; return p })
			f := w.connect(ConnectInput{}, ann)
			defer w.run()()
			w.svc.PluginStarted("memory")
			for w.account(f.Account).Watch.ID == "" {
				<-w.touched
			}
			// Nobody tells when the feed is heard: mail comes until a hint is noted.
			for w.account(f.Account).Watch.LastHintAt.IsZero() {
				_, err := w.cloud.Deliver(ann, memory.Delivery{Raw: []byte("Subject: x\r\n\r\nx\r\n")})
				w.must(err)
				select {
				case <-w.touched:
				case <-time.After(10 * time.Millisecond):
				}
			}
			if p.tries.Load() < 2 {
				t.Errorf("listened %d times", p.tries.Load())
			}
		})
	}
}

// TestListenRests: a feed that always ends is tried ever less often, and at
// once when its provider has new settings. One that is not configured any more
// is left alone.
func TestListenRests(t *testing.T) {
	w := newWorld(t)
	p := &listening{ends: 1 << 30, err: errors.New("no")}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.Provider = memory.New(memory.Options{})
		there := &named{}
		there.p.Store(p)
		svc := New(w.store, nil, there, Options{})
		svc.SetMirror(w)
		ended := make(chan struct{})
		go func() { svc.listen(ctx); close(ended) }()
		svc.listeners.begin("memory")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := p.tries.Load(); n < 15 || n > 25 {
			t.Errorf("listened %d times in an hour", n)
		}
		before := p.tries.Load()
		svc.listeners.begin("memory")
		synctest.Wait()
		if n := p.tries.Load() - before; n != 1 {
			t.Errorf("listened %d times after new settings", n)
		}
		there.p.Store(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		before = p.tries.Load()
		there.p.Store(p)
		time.Sleep(time.Hour)
		if n := p.tries.Load() - before; n != 0 {
			t.Errorf("listened %d times to a provider that is gone", n)
		}
		svc.listeners.begin("memory")
		synctest.Wait()
		if n := p.tries.Load() - before; n != 1 {
			t.Errorf("listened %d times to a provider that is back", n)
		}
		cancel()
		<-ended
	})
}

// named has one provider, or none.
type named struct{ p atomic.Pointer[listening] }

func (n *named) Provider(string) (provider.Provider, error) {
	if p := n.p.Load(); p != nil {
		return p, nil
	}
	return nil, &mail.Error{Kind: mail.KindNotFound}
}

func (n *named) Info(string) (*provider.Info, error) {
	p, err := n.Provider("")
	if err != nil {
		return nil, err
	}
	return p.Describe(context.Background())
}

// mute is a provider whose settings give it no way to push.
type mute struct {
	*memory.Provider
	asked chan struct{}
}

func (p *mute) Watch(context.Context, *provider.WatchRequest) (*provider.WatchResponse, error) {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	return nil, mail.Errorf(mail.KindInvalid, "watch account", "no topic")
}

// TestNoWayToPush: an account whose provider cannot push is polled, and that is
// no failure to come back to. What was left of a channel is forgotten.
func TestNoWayToPush(t *testing.T) {
	p := &mute{asked: make(chan struct{}, 100)}
	w := newUnreached(t, func(m *memory.Provider) provider.Provider { p.Provider = m; return p })
	f := w.connect(ConnectInput{}, ann)
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		a, err := tx.Account(f.Account)
		if err != nil {
			return err
		}
		a.Watch.ID, a.Watch.LookupKeys = "old", []string{"old"}
		return tx.PutAccount(a)
	}))
	expires, err := w.svc.watch(w.ctx, f.Account)
	if err != nil || !expires.IsZero() {
		t.Errorf("watch gives %v, %v", expires, err)
	}
	if got := w.account(f.Account).Watch; got.ID != "" {
		t.Errorf("the channel is %+v", got)
	}
	w.svc.watchOne(w.ctx, f.Account)
	w.svc.watches.mu.Lock()
	defer w.svc.watches.mu.Unlock()
	if at, planned := w.svc.watches.next[f.Account]; planned && at.After(w.clock()) {
		t.Errorf("it is tried again at %v", at)
	}
}
