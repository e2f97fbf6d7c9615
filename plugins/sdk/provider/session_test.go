package provider

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// fakeHost answers everything with what the test says.
type fakeHost struct {
	mu     sync.Mutex
	f      func(account string, what any) error
	opened chan struct{}
}

func (h *fakeHost) set(f func(string, any) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f = f
}

func (h *fakeHost) handle(account string, what any) error {
	h.mu.Lock()
	f := h.f
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(account, what)
}

func (h *fakeHost) SessionOpened() { close(h.opened) }
func (h *fakeHost) SaveGrant(_ context.Context, account string, grant []byte) error {
	return h.handle(account, grant)
}
func (h *fakeHost) GrantRefused(_ context.Context, account string, reason error) error {
	return h.handle(account, reason)
}
func (h *fakeHost) Hint(_ context.Context, hint *Hint) error { return h.handle(hint.Account, hint) }

// runSession runs a session until stop, which fails the test where it ended
// with an error.
func runSession(t *testing.T, p Provider, h *fakeHost) (stop func()) {
	t.Helper()
	h.opened = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Session(ctx, h) }()
	select {
	case <-h.opened:
	case err := <-done:
		t.Fatalf("session: %v", err)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("session: %v", err)
		}
	}
}

// hosted is a provider that hands its Host out.
func hosted() (*funcs, chan Host) {
	hosts := make(chan Host, 1)
	return &funcs{session: func(ctx context.Context, h Host) error {
		hosts <- h
		<-ctx.Done()
		return nil
	}}, hosts
}

func TestSessionCarriesEverything(t *testing.T) {
	p, hosts := hosted()
	var got []any
	host := &fakeHost{}
	host.set(func(account string, what any) error {
		got = append(got, account, what)
		return nil
	})
	defer runSession(t, pipeTo(t, p), host)()
	h, ctx := <-hosts, t.Context()
	hint, reason := filled[Hint](), *filled[error]()
	for _, err := range []error{h.SaveGrant(ctx, "a1", []byte("grant")), h.GrantRefused(ctx, "a2", reason), h.Hint(ctx, hint)} {
		if err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]any{"a1", []byte("grant"), "a2", reason, hint.Account, hint}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSaveGrantWaitsForTheHost: the plugin must not use a grant before it is
// stored.
func TestSaveGrantWaitsForTheHost(t *testing.T) {
	p, hosts := hosted()
	storing, store := make(chan struct{}), make(chan struct{})
	host := &fakeHost{}
	host.set(func(account string, _ any) error {
		if account == "slow" {
			close(storing)
			<-store
		}
		return nil
	})
	defer runSession(t, pipeTo(t, p), host)()
	h := <-hosts
	saved := make(chan error, 1)
	go func() { saved <- h.SaveGrant(t.Context(), "slow", nil) }()
	<-storing
	// Another account's is answered meanwhile, and by then this one would be
	// too if it did not wait.
	if err := h.SaveGrant(t.Context(), "quick", nil); err != nil {
		t.Error(err)
	}
	select {
	case err := <-saved:
		t.Fatalf("SaveGrant returned %v before the host had stored", err)
	default:
	}
	close(store)
	if err := <-saved; err != nil {
		t.Error(err)
	}
}

func TestSaveGrantGivesUpWithItsContext(t *testing.T) {
	p, hosts := hosted()
	storing, release := make(chan struct{}), make(chan struct{})
	host := &fakeHost{}
	host.set(func(string, any) error { close(storing); <-release; return nil })
	stop := runSession(t, pipeTo(t, p), host)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-storing; cancel() }()
	err := (<-hosts).SaveGrant(ctx, "a", nil)
	if !errors.Is(err, context.Canceled) || mail.KindOf(err) != mail.KindOutcomeUnknown {
		t.Errorf("SaveGrant: %v", err)
	}
	close(release)
	stop()
}

// TestSessionEndsCalls: the session is the lifeline of every call.
func TestSessionEndsCalls(t *testing.T) {
	began := make(chan struct{}, 1)
	p, hosts := hosted()
	p.mailbox = func(ctx context.Context, _ *MailboxesRequest) (*MailboxesResponse, error) {
		began <- struct{}{}
		<-ctx.Done()
		if context.Cause(ctx) != errHostGone {
			t.Errorf("the call ended because of %v", context.Cause(ctx))
		}
		return nil, ctx.Err()
	}
	remote := pipeTo(t, p)
	stop := runSession(t, remote, &fakeHost{})
	<-hosts
	listed := make(chan error, 1)
	go func() {
		_, err := remote.Mailboxes(context.Background(), &MailboxesRequest{})
		listed <- err
	}()
	<-began
	stop()
	if err := <-listed; mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("mailboxes: %v", err)
	}
	// In a test there is no process to exit: the next session works.
	defer runSession(t, remote, &fakeHost{})()
	<-hosts
}

// TestSessionKeepsLateGrants: a grant that the plugin holds when the host
// leaves is stored all the same.
func TestSessionKeepsLateGrants(t *testing.T) {
	p := &funcs{session: func(ctx context.Context, h Host) error {
		<-ctx.Done()
		// No answer can come any more; sending is what counts.
		_ = h.SaveGrant(ctx, "late", []byte("rotated"))
		return nil
	}}
	stored := make(chan string, 1)
	host := &fakeHost{}
	host.set(func(account string, _ any) error { stored <- account; return nil })
	runSession(t, pipeTo(t, p), host)()
	select {
	case account := <-stored:
		if account != "late" {
			t.Errorf("stored for %q", account)
		}
	default:
		t.Error("the grant was lost")
	}
}

func TestSessionRefusals(t *testing.T) {
	p, hosts := hosted()
	remote := pipeTo(t, p)
	stop := runSession(t, remote, &fakeHost{})
	<-hosts
	err := remote.Session(t.Context(), &fakeHost{})
	if mail.KindOf(err) != mail.KindConflict {
		t.Errorf("second session: %v", err)
	}
	stop()

	refusing := pipeTo(t, &funcs{session: func(context.Context, Host) error {
		return &mail.Error{Kind: mail.KindMisconfigured, Message: "no"}
	}})
	if err := refusing.Session(t.Context(), &fakeHost{opened: make(chan struct{})}); mail.KindOf(err) != mail.KindMisconfigured {
		t.Errorf("a session that the plugin ends: %v", err)
	}
}

func TestSessionBroken(t *testing.T) {
	p, hosts := hosted()
	remote, conn, err := Pipe(p)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- remote.Session(t.Context(), &fakeHost{opened: make(chan struct{})}) }()
	h := <-hosts
	conn.(*pipe).grpc.Stop()
	if err := <-done; mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("session: %v", err)
	}
	if err := h.SaveGrant(context.Background(), "a", nil); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("SaveGrant after the end: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
