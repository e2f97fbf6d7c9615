package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// State is how an instance is.
type State string

// States.
const (
	StateStarting      State = "starting"
	StateRunning       State = "running"
	StateBackoff       State = "backoff"       // died; waits for its restart
	StateMisconfigured State = "misconfigured" // cannot work; waits for Reload
	StateStopped       State = "stopped"
)

// InstanceStatus tells how an instance is.
type InstanceStatus struct {
	Name    string
	Plugin  string
	Path    string // of the plugin's file, once found
	Version string // of the plugin, as it says
	State   State
	// Restarts counts the starts that had to follow a failure.
	Restarts int
	// LastError is the newest reason for a restart, a refusal or a stop.
	LastError error
	Pid       int
	// StandIns are the settings that put an address of this machine in place of
	// the provider's own.
	StandIns []string
}

// instance supervises the process behind one provider instance.
type instance struct {
	host     *Host
	name     string
	log      *slog.Logger
	provider provider.Provider
	reloads  chan reloadRequest
	removed  chan struct{} // closed when the configuration knows it no more

	mu      sync.Mutex
	cfg     Instance
	info    *provider.Info
	status  InstanceStatus
	live    *live         // nil unless running
	changed chan struct{} // closed, and replaced, with each change of the above
}

type reloadRequest struct {
	cfg  Instance
	done chan error
}

func newInstance(h *Host, name string, cfg Instance) *instance {
	i := &instance{
		host: h, name: name, cfg: cfg, log: h.o.Log.With("instance", name),
		reloads: make(chan reloadRequest), removed: make(chan struct{}), changed: make(chan struct{}),
		status: InstanceStatus{Name: name, Plugin: cfg.Plugin, State: StateStarting},
	}
	h.metrics.begin(name)
	do := retry(h.o.patience.layer(i.do), h.o.Attempts, h.o.Now, sleep, func(v provider.Verb) {
		h.metrics.retries.WithLabelValues(name, string(v)).Inc()
	})
	i.provider = &proxy{do: observe(do, name, h.metrics, i.log, h.o.Now)}
	return i
}

// update changes the status under the lock and wakes who waits for it.
func (i *instance) update(f func(*InstanceStatus)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(&i.status)
	close(i.changed)
	i.changed = make(chan struct{})
	up := 0.0
	if i.live != nil {
		up = 1
	}
	i.host.metrics.up.WithLabelValues(i.name).Set(up)
}

func (i *instance) snapshot() InstanceStatus {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.status
}

func (i *instance) config() Instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cfg
}

func (i *instance) setConfig(cfg Instance) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cfg = cfg
	i.status.Plugin = cfg.Plugin
}

func (i *instance) describe() (*provider.Info, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.info != nil {
		info := *i.info
		return &info, nil
	}
	if i.status.State == StateMisconfigured {
		return nil, i.status.LastError
	}
	return nil, mail.Errorf(mail.KindUnavailable, "describe provider", "provider %s has not started yet", i.name)
}

// reload hands a new configuration to run, which may be waiting or serving.
func (i *instance) reload(ctx context.Context, cfg Instance) error {
	r := reloadRequest{cfg: cfg, done: make(chan error, 1)}
	i.mu.Lock()
	stopped := i.status.State == StateStopped
	i.mu.Unlock()
	if stopped {
		return nil
	}
	select {
	case i.reloads <- r:
	case <-i.removed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run keeps a process behind the instance until ctx ends or the instance is
// removed.
func (i *instance) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-i.removed:
			cancel()
		case <-ctx.Done():
		}
	}()
	pause := restarts{backoff: backoff{min: i.host.o.RestartMin, max: i.host.o.RestartMax}}
	for ctx.Err() == nil {
		i.update(func(s *InstanceStatus) { s.State = StateStarting })
		l, err := i.start(ctx)
		pause.served = err == nil
		if err == nil {
			began := i.host.o.Now()
			err = i.serve(ctx, l)
			if i.host.o.Now().Sub(began) >= i.host.o.HealthyAfter {
				pause.reset()
			}
		}
		if ctx.Err() != nil || err == nil {
			continue // ended, or to be started anew at once
		}
		i.rest(ctx, err, &pause)
	}
	i.update(func(s *InstanceStatus) { s.State, s.Pid = StateStopped, 0 })
	select {
	case <-i.removed:
		i.host.metrics.forget(i.name)
	default:
	}
}

// restarts is how long an instance rests before its next start: not at all
// after the first process that served and died, and then longer and longer.
type restarts struct {
	backoff
	served, spent bool
}

func (r *restarts) step() time.Duration {
	if r.served && !r.spent {
		r.spent = true
		return 0
	}
	return r.backoff.step()
}

func (r *restarts) reset() {
	r.spent = false
	r.backoff.reset()
}

// rest waits after a failure: until Reload where only the operator can help,
// else for the backoff.
func (i *instance) rest(ctx context.Context, err error, pause *restarts) {
	var again <-chan time.Time
	if mail.KindOf(err) == mail.KindMisconfigured {
		i.log.Error("plugin cannot work as configured", "plugin", i.config().Plugin, "error", err)
		i.update(func(s *InstanceStatus) { s.State, s.LastError, s.Pid = StateMisconfigured, err, 0 })
	} else {
		d := pause.step()
		i.log.Warn("plugin will be restarted", "plugin", i.config().Plugin, "in", d, "error", err)
		timer := time.NewTimer(d)
		defer timer.Stop()
		again = timer.C
		i.update(func(s *InstanceStatus) { s.State, s.LastError, s.Pid = StateBackoff, err, 0 })
	}
	select {
	case <-again:
		i.host.metrics.restarts.WithLabelValues(i.name).Inc()
		i.update(func(s *InstanceStatus) { s.Restarts++ })
	case r := <-i.reloads:
		i.setConfig(r.cfg)
		pause.reset()
		r.done <- nil
	case <-ctx.Done():
	}
}

// serve watches a running process until something ends it. nil means that it
// is to be started anew, or that ctx ended; the process is gone in any case.
func (i *instance) serve(ctx context.Context, l *live) error {
	defer i.end(l)
	for {
		select {
		case <-ctx.Done():
			i.drain(l, StateStopped)
			return nil
		case <-l.proc.Done():
			return l.proc.Err()
		case err := <-l.session:
			l.session <- err // for stop
			if err == nil {
				err = errors.New("the session ended")
			}
			// A process that dies takes its session with it: its own end says
			// more.
			select {
			case <-l.proc.Done():
				return l.proc.Err()
			case <-time.After(exitGrace):
				return mail.Errorf(mail.KindUnavailable, "run plugin", "%w", err)
			}
		case err := <-l.unhealthy:
			l.proc.Kill() // it would not hear anything else
			return err
		case r := <-i.reloads:
			replace, err := i.reconfigure(ctx, l, r.cfg)
			r.done <- err
			if replace {
				i.drain(l, StateStarting)
				return nil
			}
		}
	}
}

// reconfigure takes a new configuration; replace tells that it needs another
// process.
func (i *instance) reconfigure(ctx context.Context, l *live, cfg Instance) (replace bool, err error) {
	old := i.config()
	if cfg.Plugin != old.Plugin || cfg.SHA256 != old.SHA256 {
		i.setConfig(cfg)
		return true, nil
	}
	if err := i.configure(ctx, l.proc, l.info, cfg); err != nil {
		i.log.Error("plugin refused the new settings and keeps the old ones", "plugin", cfg.Plugin, "error", err)
		i.update(func(s *InstanceStatus) { s.LastError = err })
		return false, err
	}
	i.setConfig(cfg)
	return false, nil
}
