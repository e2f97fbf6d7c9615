package providertest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// instance is the name that the suite configures the provider under.
const instance = "providertest"

// env is a configured provider with its session running. Cases of a Runner
// share one, and leave it as usable as they found it.
type env struct {
	p        provider.Provider
	w        World
	info     *provider.Info
	host     *host
	patience time.Duration
	config   *provider.ConfigureRequest
	requests *inbox[*provider.NotifyRequest] // what hit the notification URL
	pushed   *inbox[provider.Hint]           // hints that Notify gave for it

	stop  context.CancelFunc
	ended chan error // what Session returned

	account  *account
	reader   *reader
	opened   int
	truthful *bool // nil until the world was asked
}

// start configures a provider in a world and begins its session.
func start(ctx context.Context, p provider.Provider, w World, patience time.Duration) (*env, error) {
	if patience <= 0 {
		patience = DefaultPatience
	}
	info, err := p.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e := &env{
		p: p, w: w, info: info, host: newHost(), patience: patience,
		requests: newInbox[*provider.NotifyRequest](), pushed: newInbox[provider.Hint](), stop: cancel, ended: make(chan error, 1),
	}
	url, err := w.Listen(ctx, func(req *provider.NotifyRequest) *provider.NotifyResponse { return e.notify(ctx, req) })
	if err != nil && !isNoHook(err) {
		cancel()
		return nil, fmt.Errorf("open the notification url: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	e.config = &provider.ConfigureRequest{
		Instance: instance, Settings: w.Settings(), RedirectURL: w.RedirectURL(),
		NotificationURL: url, NotifyKey: secret,
	}
	if _, err := p.Configure(ctx, e.config); err != nil {
		cancel()
		return nil, fmt.Errorf("configure: %w", err)
	}
	go func() { e.ended <- p.Session(ctx, e.host) }()
	return e, nil
}

// notify is the gateway's side of the notification URL.
func (e *env) notify(ctx context.Context, req *provider.NotifyRequest) *provider.NotifyResponse {
	e.requests.put(req)
	resp, err := e.p.Notify(ctx, req)
	if err != nil || resp == nil {
		return &provider.NotifyResponse{Status: 500}
	}
	for _, h := range resp.Hints {
		e.pushed.put(h)
	}
	return resp
}

// close ends the session and waits for it, as long as patience lasts.
func (e *env) close() {
	e.stop()
	timer := time.NewTimer(e.patience)
	defer timer.Stop()
	select {
	case err := <-e.ended:
		e.ended <- err
	case <-timer.C:
	}
}

// account is an open account.
type account struct {
	id, address, subject string
	grant                []byte
}

// fixture is what a case works with: the case's T, the provider, its world.
type fixture struct {
	T
	*env
	ctx context.Context
}

// call names the account that the cases share.
func (f *fixture) call() provider.Call {
	return provider.Call{Account: f.acct().id, Priority: provider.Interactive}
}

// acct gives the account that the cases share, open.
func (f *fixture) acct() *account {
	f.Helper()
	if f.account == nil {
		f.account = f.open(f.connect())
	}
	return f.account
}

// forget drops the shared account: its grant is dead.
func (f *fixture) forget() { f.account, f.reader = nil, nil }

// connect goes through the sign-in of the world's address.
func (f *fixture) connect() *account {
	f.Helper()
	if f.info.SignIn == provider.SignInNone {
		return &account{address: f.w.Address(), subject: f.w.Address()}
	}
	resp := f.finish(f.begin())
	for _, a := range resp.Accounts {
		if strings.EqualFold(a.Address, f.w.Address()) {
			return &account{address: a.Address, subject: a.Subject, grant: resp.Grant}
		}
	}
	f.Fatalf("the grant opens %v, not %s", resp.Accounts, f.w.Address())
	return nil
}

// begin starts a consent and has the owner approve.
func (f *fixture) begin() *provider.FinishConnectRequest {
	f.Helper()
	began, err := f.p.BeginConnect(f.ctx, &provider.BeginConnectRequest{
		State: token(), RedirectURL: f.w.RedirectURL(), LoginHint: f.w.Address(),
	})
	if err != nil {
		f.Fatalf("begin connect: %v", err)
	}
	callback, err := f.w.Connect(f.ctx, began.URL)
	f.hook(err)
	return &provider.FinishConnectRequest{Pending: began.Pending, RedirectURL: f.w.RedirectURL(), Params: callback}
}

func (f *fixture) finish(req *provider.FinishConnectRequest) *provider.FinishConnectResponse {
	f.Helper()
	resp, err := f.p.FinishConnect(f.ctx, req)
	if err != nil {
		f.Fatalf("finish connect: %v", err)
	}
	if len(resp.Accounts) == 0 {
		f.Fatalf("finish connect: the grant opens no account")
	}
	return resp
}

// open opens an account under a new id of ours.
func (f *fixture) open(a *account) *account {
	f.Helper()
	f.opened++
	a.id = fmt.Sprintf("account-%d", f.opened)
	if err := f.p.Open(f.ctx, f.openRequest(a)); err != nil {
		f.Fatalf("open: %v", err)
	}
	return a
}

// openRequest carries the newest grant that the provider had us save.
func (f *fixture) openRequest(a *account) *provider.OpenRequest {
	grant := a.grant
	if saved := f.host.saved(a.id); saved != nil {
		grant = saved
	}
	return &provider.OpenRequest{Account: a.id, Subject: a.subject, Address: a.address, Grant: grant}
}

// after runs when the case has ended, with a context of its own.
func (f *fixture) after(do func(ctx context.Context)) {
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), f.patience)
		defer cancel()
		do(ctx)
	})
}

func isNoHook(err error) bool { return errors.Is(err, ErrNoHook) }

// hook ends the case where the world could not do something: skipped where it
// never can, failed otherwise.
func (f *fixture) hook(err error) {
	f.Helper()
	switch {
	case isNoHook(err):
		f.Skipf("%v", err)
	case err != nil:
		f.Fatalf("the world: %v", err)
	}
}

// must ends the case on an error.
func (f *fixture) must(what string, err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
}

// kind checks that an error is a *mail.Error of one of the kinds.
func (f *fixture) kind(what string, err error, want ...mail.Kind) {
	f.Helper()
	if err == nil {
		f.Errorf("%s: no error, want kind %v", what, want)
		return
	}
	var e *mail.Error
	if !errors.As(err, &e) {
		f.Errorf("%s: the error is a %T, want *mail.Error: %v", what, err, err)
		return
	}
	if !slices.Contains(want, e.Kind) {
		f.Errorf("%s: kind %q, want %v: %v", what, e.Kind, want, err)
	}
}

// eventually asks until the answer is yes, patience is over, or asking fails.
func (f *fixture) eventually(what string, ask func() bool) bool {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, f.patience)
	defer cancel()
	wait := 5 * time.Millisecond
	for {
		if ask() {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			f.Errorf("%s: not within %v", what, f.patience)
			return false
		case <-timer.C:
		}
		wait = min(2*wait, time.Second)
	}
}

// within runs a call that should end promptly, and fails where it does not.
// The call goes on in its goroutine then: nobody can end it.
func (f *fixture) within(what string, call func() error) (err error, ended bool) {
	f.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	timer := time.NewTimer(f.patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err, true
	case <-timer.C:
		f.Errorf("%s: did not end within %v", what, f.patience)
		return nil, false
	}
}

// token is a word that nothing else contains.
func token() string {
	b := make([]byte, 10)
	rand.Read(b)
	return "pt" + hex.EncodeToString(b)
}
