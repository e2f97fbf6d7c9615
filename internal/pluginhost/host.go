package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Instance configures one provider instance.
type Instance struct {
	// Plugin is the NAME of postern-provider-NAME.
	Plugin string
	// Settings are the plugin's own.
	Settings map[string]string
	// SHA256 pins the plugin's file; empty for any.
	SHA256 string
	// RedirectURL, NotificationURL and NotifyKey are as in
	// provider.ConfigureRequest.
	RedirectURL     string
	NotificationURL string
	NotifyKey       []byte
}

// Options of a Host. The zero value of each field means what its comment says.
type Options struct {
	// Instances by their key in the configuration.
	Instances map[string]Instance
	// Dirs are where plugins are looked for, see DefaultDirs. None: nowhere.
	Dirs []string
	// Sink takes what plugins tell; nil drops it.
	Sink Sink
	// Grants opens accounts when a verb needs one; nil leaves that to callers
	// of Open.
	Grants Grants
	// Log is silent where nil.
	Log *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Tracers is OpenTelemetry's global provider where nil.
	Tracers trace.TracerProvider
	// TempDir holds the plugins' sockets; empty for the system's.
	TempDir string
	// Now is time.Now where nil.
	Now func() time.Time

	// Attempts is how often an idempotent call is tried in all, 5 where 0.
	Attempts int
	// StartTimeout is what a plugin's handshake may take, 10 s where 0.
	StartTimeout time.Duration
	// ReadyTimeout is how long a call without deadline waits for a process, 30 s where 0.
	ReadyTimeout time.Duration
	// IdleClose is how long an account stays open unused, 10 min where 0.
	IdleClose time.Duration
	// HealthInterval is how often a plugin is asked whether it lives, 15 s where 0;
	// it has as long to answer, and two missed answers end it.
	HealthInterval time.Duration
	// DrainTimeout is what running calls get when an instance stops, 5 s where 0.
	DrainTimeout time.Duration
	// patience is what a plugin gets to answer, defaultPatience where zero;
	// tests have less.
	patience patience
	// RestartMin and RestartMax bound the pause before a restart, which
	// doubles: 0.5 s and 30 s where 0. The first process that served and died is
	// followed at once.
	RestartMin, RestartMax time.Duration
	// HealthyAfter is how long a process must have served for that pause to
	// start over, 1 min where 0.
	HealthyAfter time.Duration
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.patience == (patience{}) {
		o.patience = defaultPatience
	}
	for d, standard := range map[*time.Duration]time.Duration{
		&o.StartTimeout: 10 * time.Second, &o.ReadyTimeout: 30 * time.Second, &o.IdleClose: 10 * time.Minute,
		&o.HealthInterval: 15 * time.Second, &o.DrainTimeout: 5 * time.Second,
		&o.RestartMin: 500 * time.Millisecond, &o.RestartMax: 30 * time.Second, &o.HealthyAfter: time.Minute,
	} {
		if *d == 0 {
			*d = standard
		}
	}
}

// Host runs the plugins of all provider instances.
type Host struct {
	o       Options
	metrics *metrics

	mu        sync.Mutex
	instances map[string]*instance
	changed   chan struct{} // tells Run that instances has changed
}

// New checks the instances' names and registers the metrics. Nothing runs
// before Run.
func New(o Options) (*Host, error) {
	o.setDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Host{o: o, metrics: m, instances: map[string]*instance{}, changed: make(chan struct{}, 1)}
	for name, cfg := range o.Instances {
		if !namePattern.MatchString(name) {
			return nil, mail.Errorf(mail.KindMisconfigured, "start plugins", "%q is no name for a provider instance: it must be of the form [a-z0-9-]+", name)
		}
		h.instances[name] = newInstance(h, name, cfg)
	}
	return h, nil
}

// Run runs the plugins until ctx ends, and returns when all are gone. Calls
// that run then have DrainTimeout to end.
func (h *Host) Run(ctx context.Context) error {
	var running sync.WaitGroup
	started := map[*instance]bool{}
	for {
		h.mu.Lock()
		for _, i := range h.instances {
			if !started[i] {
				started[i] = true
				running.Go(func() { i.run(ctx) })
			}
		}
		h.mu.Unlock()
		select {
		case <-h.changed:
		case <-ctx.Done():
			running.Wait()
			return nil
		}
	}
}

// Reload changes the configuration while Run runs. New instances are
// started, missing ones stopped; a changed plugin or sum starts the process
// anew; changed settings go to the running one. Settings that a running plugin
// refuses leave it with the old ones, and are told by the error.
func (h *Host) Reload(ctx context.Context, configs map[string]Instance) error {
	for name := range configs {
		if !namePattern.MatchString(name) {
			return mail.Errorf(mail.KindMisconfigured, "reload plugins", "%q is no name for a provider instance: it must be of the form [a-z0-9-]+", name)
		}
	}
	h.mu.Lock()
	var kept []*instance
	for name, i := range h.instances {
		if _, ok := configs[name]; !ok {
			close(i.removed)
			delete(h.instances, name)
		} else {
			kept = append(kept, i)
		}
	}
	for name, cfg := range configs {
		if h.instances[name] == nil {
			h.instances[name] = newInstance(h, name, cfg)
		}
	}
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default: // Run will look anyhow
	}
	var errs []error
	for _, i := range kept {
		if err := i.reload(ctx, configs[i.name]); err != nil {
			errs = append(errs, fmt.Errorf("provider %s: %w", i.name, err))
		}
	}
	return errors.Join(errs...)
}

func (h *Host) instance(name string) (*instance, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.instances[name]
	if i == nil {
		return nil, mail.Errorf(mail.KindNotFound, "find provider", "no provider %q is configured", name)
	}
	return i, nil
}

// Provider gives an instance's provider. It may be kept: it outlives restarts
// and reloads. Configure and Session are refused, since the host sees to them.
func (h *Host) Provider(instance string) (provider.Provider, error) {
	i, err := h.instance(instance)
	if err != nil {
		return nil, err
	}
	return i.provider, nil
}

// Info gives what an instance's plugin said of itself at its last start. Before
// the first one it is mail.KindUnavailable, or mail.KindMisconfigured.
func (h *Host) Info(instance string) (*provider.Info, error) {
	i, err := h.instance(instance)
	if err != nil {
		return nil, err
	}
	return i.describe()
}

// Status tells how every instance is, sorted by name.
func (h *Host) Status() []InstanceStatus {
	h.mu.Lock()
	names := slices.Sorted(maps.Keys(h.instances))
	all := make([]*instance, len(names))
	for n, name := range names {
		all[n] = h.instances[name]
	}
	h.mu.Unlock()
	out := make([]InstanceStatus, len(all))
	for n, i := range all {
		out[n] = i.snapshot()
	}
	return out
}
