package pluginhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// What the steps of a start may take. Together they stay below the 30 seconds
// that a plugin waits for its session.
const (
	describeTimeout  = 5 * time.Second
	openTimeout      = time.Minute
	configureTimeout = 10 * time.Second
	sessionTimeout   = 5 * time.Second
)

// live is a process that serves calls, with what belongs to it alone.
type live struct {
	proc     *Process
	info     *provider.Info
	accounts *accounts

	session    chan error // how the session ended; holds one
	endSession context.CancelFunc
	stopping   context.Context // ends when the process is about to
	stop       context.CancelFunc
	unhealthy  chan error
	helpers    sync.WaitGroup // health and idle accounts

	calls sync.WaitGroup // guarded by the instance's lock while live is set
}

// start brings up a process: handshake, Describe, Configure, Session.
func (i *instance) start(ctx context.Context) (*live, error) {
	cfg := i.config()
	bin, err := Lookup(i.host.o.Dirs, cfg.Plugin)
	if err != nil {
		return nil, err
	}
	i.update(func(s *InstanceStatus) { s.Path = bin.Path })
	proc, err := Launch(ctx, LaunchOptions{
		Path: bin.Path, SHA256: cfg.SHA256, Log: i.log, Tracers: i.host.o.Tracers,
		TempDir: i.host.o.TempDir, Timeout: i.host.o.StartTimeout,
	})
	if err != nil {
		return nil, err
	}
	l := &live{
		proc: proc, accounts: newAccounts(i.host.o.Now),
		session: make(chan error, 1), unhealthy: make(chan error, 1),
	}
	// They end by end, in order, not with ctx: running calls come first.
	free := context.WithoutCancel(ctx)
	l.stopping, l.stop = context.WithCancel(free)
	sessionCtx, endSession := context.WithCancel(free)
	l.endSession = endSession
	fail := func(err error) (*live, error) {
		l.stop()
		l.endSession()
		proc.Stop()
		return nil, err
	}
	describe := func() (*provider.Info, error) {
		ctx, cancel := context.WithTimeout(ctx, describeTimeout)
		defer cancel()
		info, err := proc.Provider.Describe(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe plugin: %w", err)
		}
		return info, nil
	}
	if l.info, err = describe(); err != nil {
		return fail(err)
	}
	i.update(func(s *InstanceStatus) { s.Version = l.info.Version })
	if err := i.configure(ctx, proc, l.info, cfg); err != nil {
		return fail(err)
	}
	if l.info, err = describe(); err != nil { // what it holds may be a matter of its settings
		return fail(err)
	}
	host := &sessionHost{instance: i.name, sink: i.host.o.Sink, accounts: l.accounts, opened: make(chan struct{})}
	go func() { l.session <- proc.Provider.Session(sessionCtx, host) }()
	timeout := time.NewTimer(sessionTimeout)
	defer timeout.Stop()
	select {
	case <-host.opened:
	case err := <-l.session:
		return fail(mail.Errorf(mail.KindUnavailable, "open session", "%w", err))
	case <-timeout.C:
		return fail(mail.Errorf(mail.KindUnavailable, "open session", "no answer in %s", sessionTimeout))
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	l.helpers.Go(func() { l.watchHealth(i.host.o.HealthInterval) })
	l.helpers.Go(func() { l.closeIdle(i.host.o.IdleClose, i.host.o.Now) })

	i.mu.Lock()
	i.info, i.live = l.info, l
	i.mu.Unlock()
	i.update(func(s *InstanceStatus) { s.State, s.Pid = StateRunning, proc.Pid() })
	i.log.Info("plugin started", "plugin", cfg.Plugin, "version", l.info.Version, "pid", proc.Pid())
	if i.host.o.Sink != nil {
		i.host.o.Sink.Started(i.name)
	}
	return l, nil
}

// configure checks the settings against the plugin's schema and hands them
// over.
func (i *instance) configure(ctx context.Context, proc *Process, info *provider.Info, cfg Instance) error {
	if err := checkSettings(info, cfg.Settings); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, configureTimeout)
	defer cancel()
	resp, err := proc.Provider.Configure(ctx, &provider.ConfigureRequest{
		Instance: i.name, Settings: cfg.Settings,
		RedirectURL: cfg.RedirectURL, NotificationURL: cfg.NotificationURL, NotifyKey: cfg.NotifyKey,
	})
	if mail.KindOf(err) == mail.KindInvalid {
		// The plugin means the same: only the operator can help.
		return mail.Errorf(mail.KindMisconfigured, "configure plugin", "%w", err)
	}
	if err != nil {
		return fmt.Errorf("configure plugin: %w", err)
	}
	standIns := StandIns(info, cfg.Settings)
	i.update(func(s *InstanceStatus) { s.StandIns = standIns })
	if len(standIns) > 0 {
		resp.Warnings = append(resp.Warnings, StandInWarning(standIns))
	}
	for _, w := range resp.Warnings {
		i.log.Warn("plugin warns of its settings", "plugin", cfg.Plugin, "warning", w)
	}
	return nil
}

// retire takes the process away from new calls.
func (i *instance) retire(l *live) {
	i.mu.Lock()
	if i.live == l {
		i.live = nil
	}
	i.mu.Unlock()
	l.stop()
	i.update(func(s *InstanceStatus) { s.Pid = 0 })
}

// drain lets running calls end, for a while. New ones meet the state given.
func (i *instance) drain(l *live, state State) {
	i.update(func(s *InstanceStatus) { s.State = state })
	i.retire(l)
	done := make(chan struct{})
	go func() {
		l.calls.Wait()
		close(done)
	}()
	timeout := time.NewTimer(i.host.o.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-done:
	case <-l.proc.Done():
	case <-timeout.C:
		i.log.Warn("plugin stops with calls still running", "plugin", i.config().Plugin)
	}
}

// end stops the process and everything that belongs to it.
func (i *instance) end(l *live) {
	i.retire(l)
	l.helpers.Wait()
	l.endSession()
	select {
	case <-l.session:
	case <-l.proc.Done():
	case <-time.After(exitGrace):
	}
	l.proc.Stop()
	i.log.Debug("plugin stopped", "plugin", i.config().Plugin)
}

// watchHealth reports a process that misses two answers in a row.
func (l *live) watchHealth(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	missed := 0
	for {
		select {
		case <-tick.C:
		case <-l.stopping.Done():
			return
		}
		ctx, cancel := context.WithTimeout(l.stopping, every)
		err := l.proc.Ping(ctx)
		cancel()
		if err == nil || l.stopping.Err() != nil {
			missed = 0
			continue
		}
		if missed++; missed == 2 {
			l.unhealthy <- err
			return
		}
	}
}

// closeIdle closes accounts that nobody uses.
func (l *live) closeIdle(after time.Duration, now func() time.Time) {
	tick := time.NewTicker(max(after/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.stopping.Done():
			return
		}
		l.accounts.closeIdle(now().Add(-after), func(account string) error {
			ctx, cancel := context.WithTimeout(l.stopping, describeTimeout)
			defer cancel()
			return l.proc.Provider.Close(ctx, &provider.CloseRequest{Account: account})
		})
	}
}

// acquire waits for a process that serves calls.
func (i *instance) acquire(ctx context.Context, verb provider.Verb) (*live, error) {
	unavailable := func(code, format string, args ...any) error {
		err := mail.Errorf(mail.KindUnavailable, verb.Words(), format, args...)
		err.Code = code
		return err
	}
	timeout := time.NewTimer(i.host.o.ReadyTimeout)
	defer timeout.Stop()
	var late <-chan time.Time
	if _, ok := ctx.Deadline(); !ok {
		late = timeout.C
	}
	for {
		i.mu.Lock()
		l, changed, status := i.live, i.changed, i.status
		if l != nil {
			select {
			case <-l.proc.Done(): // dead already, only not yet noticed
			default:
				l.calls.Add(1)
				i.mu.Unlock()
				return l, nil
			}
		}
		i.mu.Unlock()
		switch status.State {
		case StateMisconfigured:
			return nil, mail.Errorf(mail.KindMisconfigured, verb.Words(), "provider %s: %w", i.name, status.LastError)
		case StateStopped:
			return nil, unavailable(codeStopped, "provider %s is stopped", i.name)
		}
		select {
		case <-changed:
		case <-late:
			return nil, unavailable("", "provider %s is not running", i.name)
		case <-ctx.Done():
			return nil, unavailable("", "provider %s is not running: %w", i.name, ctx.Err())
		}
	}
}

// do is the innermost layer: it calls the process of the moment, with the
// account open.
func (i *instance) do(ctx context.Context, c *call, f func(context.Context, provider.Provider) error) error {
	l, err := i.acquire(ctx, c.verb)
	if err != nil {
		return err
	}
	if c.verb == provider.VerbListen {
		// Lasts as long as the process, which does not wait for it.
		l.calls.Done()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.stopping, cancel)()
		return f(ctx, l.proc.Provider)
	}
	defer l.calls.Done()
	run := func() error { return f(ctx, l.proc.Provider) }
	switch {
	case c.account == "":
		return run()
	case c.verb == provider.VerbOpen:
		return waited(c.verb, l.accounts.set(ctx, c.account, run, true))
	case c.verb == provider.VerbClose:
		return waited(c.verb, l.accounts.set(ctx, c.account, run, false))
	case i.host.o.Grants == nil:
		return run()
	}
	open := func() error { return i.open(ctx, l, c.account) }
	for again := true; ; again = false {
		gen, err := l.accounts.enter(ctx, c.account, open)
		if err != nil {
			return waited(c.verb, err)
		}
		err = run()
		l.accounts.leave(c.account)
		// The plugin forgot the account: nothing was done, so that even a verb
		// which is not idempotent may come again, once.
		if !again || !provider.NotOpen(err) || !c.repeatable() {
			return err
		}
		l.accounts.notOpen(c.account, gen)
	}
}

func (i *instance) open(ctx context.Context, l *live, account string) error {
	req, err := i.host.o.Grants.OpenRequest(ctx, account)
	if err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return l.proc.Provider.Open(ctx, req)
}

// waited gives the end of a wait for an account the kind that it has: nothing
// was done yet.
func waited(verb provider.Verb, err error) error {
	if err == context.Canceled || err == context.DeadlineExceeded {
		return &mail.Error{Kind: mail.KindUnavailable, Op: verb.Words(), Message: err.Error(), Err: err}
	}
	return err
}
