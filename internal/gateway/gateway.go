// Package gateway wires the services to each other and owns the order in which
// they start and stop: doors close first, then syncing and sending end, then
// the outbox drains, then the plugins, then the store.
//
// What is kept true: when Run returns nil, everything that was acknowledged is
// on disk and no process of ours is left. What could not be finished in time
// is said in the error.
package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/postern-mail/postern/bridge/imapd"
	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/smtpd"
	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/internal/webhook"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// Options are what a gateway gets besides its configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// LookupEnv reads the environment for the master key and for settings of
	// the form "env:NAME"; os.LookupEnv by default.
	LookupEnv func(string) (string, bool)
	// FreeSpace gives the free bytes of a folder's file system; asked of the
	// system by default.
	FreeSpace func(folder string) (int64, error)
	// Listener, when given, is used in place of http.listen.
	Listener net.Listener
	// Started is called once every door is open.
	Started func(address string)
}

// Gateway is one running Postern.
type Gateway struct {
	cfg      *config.Config
	opts     Options
	log      *slog.Logger
	registry *prometheus.Registry
	tracing  *tracing

	store *bolt.Store
	// firstKey is the id of the master key that seals.
	firstKey string
	bus      *event.Bus
	journal  *journal.Journal
	access   *access.Access
	plugins  *pluginhost.Host
	accounts *account.Service
	mirror   *mailbox.Service
	submit   *submission.Service
	hooks    *webhook.Service
	guard    *webhook.Guard
	carrier  *webhook.Carrier
	outbox   *outbox.Outbox
	graph    *graph.Server
	text     *textindex.Index
	certs    certificates
	sessions *session.Server // nil while the door is shut, as the next two
	imap     *imapd.Server
	smtp     *smtpd.Server

	room    *room
	orphans orphans
	prover  *prover

	mu sync.Mutex
	// configured are the provider instances as they were configured last.
	configured map[string]pluginhost.Instance

	// reached has the instances whose providers can reach us; a reload changes it.
	reached atomic.Pointer[map[string]bool]
}

// AdminKeyFile is where the admin key of a data folder lies.
func AdminKeyFile(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "admin.key") }

// New opens the store and wires everything. Nothing runs before Run; Close
// gives the store back if Run is never called.
func New(ctx context.Context, cfg *config.Config, opts Options) (g *Gateway, err error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.FreeSpace == nil {
		opts.FreeSpace = freeSpace
	}
	g = &Gateway{cfg: cfg, opts: opts, log: opts.Log, registry: prometheus.NewRegistry(), bus: &event.Bus{}, prover: newProver()}
	g.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	g.reached.Store(reachable(cfg))
	if g.tracing, err = newTracing(ctx, cfg.Telemetry, opts.Version); err != nil {
		return nil, err
	}
	keys, err := Keyring(ctx, cfg, g.lookupEnv())
	if err != nil {
		return nil, err
	}
	g.firstKey = keys.IDs()[0]
	g.room = newRoom(cfg.DataDir, cfg.Disk.MinFree, opts.FreeSpace, g.log, g.registry)
	if g.store, err = openStore(cfg, keys, g.log, g.room.observed(newStoreMetrics(g.registry)), opts.Version); err != nil {
		return nil, err
	}
	measureSizes(g.registry, g.store.Stats)
	if err := g.wire(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Close gives the store back.
func (g *Gateway) Close() error { return g.store.Close() }

func (g *Gateway) wire(ctx context.Context) error {
	cfg, reg := g.cfg, g.registry
	g.access = access.New(g.store, access.Options{Hideable: imapd.Hideable(), Log: g.log, Registerer: reg, Changed: func(account string) { g.mirror.Touch(context.Background(), account) }})
	err := g.ensureAdminKey(ctx)
	if err != nil {
		return err
	}
	if g.guard, err = webhook.NewGuard(guardRules(cfg)); err != nil {
		return err
	}
	for name := range cfg.Webhooks.Expire {
		if !event.Type(name).Valid() {
			return fmt.Errorf("webhooks.expire: %q is no type of event", name)
		}
	}
	proxy, err := webhookProxy(cfg)
	if err != nil {
		return err
	}
	g.carrier = webhook.NewCarrier(g.guard, webhook.CarrierOptions{Version: g.opts.Version, Total: cfg.Webhooks.Timeout, Proxy: proxy})
	g.outbox = outbox.New(g.store, g.carrier, outbox.Options{
		Log: g.log, Registerer: reg, Tracer: g.tracing.provider.Tracer("outbox"), Workers: cfg.Webhooks.Workers,
		Limits: webhook.Limits, KeepDelivered: cfg.Keep.Attempts, KeepDead: cfg.Keep.DeadLetters,
		Policy:   outbox.Policy{OrderWait: cfg.Webhooks.OrderWait, Rejected: cfg.Webhooks.Rejected, Expiry: cfg.Webhooks.Expire},
		Owing:    owing{g},
		OnChange: func(tx store.Tx, e *store.Endpoint, c outbox.Change) error { return g.hooks.EndpointChanged(tx, e, c) },
	})
	g.hooks = webhook.New(g.store, g.outbox, g.guard, webhook.Options{
		Log: g.log, Bus: g.bus, Overlap: cfg.Webhooks.KeyOverlap, Probe: g.carrier.Deliver, Link: g.messageLink, Content: content{g}})
	g.journal = journal.New(g.store, g.bus, time.Now, g.hooks.Owe)
	sink := &sink{log: g.log}
	dirs, err := pluginhost.DefaultDirs(cfg.Plugins.Dir)
	if err != nil {
		return err
	}
	instances, err := g.instances(ctx, cfg)
	if err != nil {
		return err
	}
	g.configured = instances
	g.plugins, err = pluginhost.New(pluginhost.Options{
		Instances: instances, Dirs: dirs, Sink: sink, Grants: sink, Log: g.log, Registerer: reg, Tracers: g.tracing.provider})
	if err != nil {
		return err
	}
	g.accounts = account.New(g.store, g.journal, g.plugins, account.Options{
		Log: g.log, Registerer: reg, PublicURL: cfg.Public(), Push: g.push, LinkLife: cfg.Connect.LinkLife})
	g.accounts.Configured(slices.Collect(maps.Keys(instances)))
	if err := g.accounts.Restore(ctx); err != nil {
		return err
	}
	g.text = textindex.New(g.store, textindex.Options{Log: g.log, Hold: g.room.hold})
	g.mirror = mailbox.New(g.store, g.journal, g.plugins, g.accounts, mailbox.Options{
		Log: g.log, Registerer: reg, Tracer: g.tracing.provider.Tracer("mailbox"), Workers: cfg.Sync.Workers,
		WantContent: g.hooks.WantsContent, Hold: g.room.hold, WantBodies: g.hasMailPrograms,
		PutExtract: putExtract, Text: g.text, Hydrated: g.hydrated,
		PollWatched: cfg.Sync.PollWatched, Poll: cfg.Sync.Poll, PollListened: cfg.Sync.PollListened})
	g.accounts.SetMirror(leaving{g.mirror, g.access})
	g.room.try = func(ctx context.Context) error {
		return g.store.Update(ctx, func(tx store.Tx) error {
			return tx.PutSetting("disk.tried", []byte(time.Now().UTC().Format(time.RFC3339)))
		})
	}
	g.room.back = func(ctx context.Context) {
		if err := g.mirror.TouchAll(ctx); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "accounts not made due", "error", err) // their next poll does it
		}
	}
	sink.accounts = g.accounts
	g.submit = submission.New(g.store, g.journal, g.plugins, g.mirror, submission.Options{Log: g.log, Registerer: reg, MaySend: g.accounts.MaySend,
		Instances: g.configuredNames, Inbox: ownMail{g.mirror, g.store}, Copies: ownMail{g.mirror, g.store}, Host: cfg.Public().Hostname()})
	return errors.Join(g.wireDoors(ctx), g.wireGraph(ctx))
}

func (g *Gateway) wireGraph(ctx context.Context) error {
	blobKey, err := g.secret(ctx, "blob_key")
	if err != nil {
		return err
	}
	g.graph, err = graph.New(g.store, g.bus, graph.Services{
		Auth:      auth{g.access},
		Providers: providers{g},
		Accounts:  accounts{g.accounts, g.mirror, eraser{g.store, g.outbox}},
		Mailboxes: mailboxes{g.mirror, g.store},
		Mailer:    mailer{g.mirror}, Reader: reader{g.mirror}, Bytes: &blobs{mirror: g.mirror, store: g.store},
		Drafts: drafts{g.mirror, g.submit, g.room.hold}, Submissions: submissions{g.submit, g.room.hold},
		Endpoints: endpoints{g.hooks, g.cfg.Public()}, Deliverer: deliverer{g.hooks, g.outbox},
		AppPasswords: appPasswords{g.access, g.mirror.Touch},
	}, graph.Options{
		BaseURL: g.cfg.Public().String(), BlobKey: blobKey, MaxJSON: g.cfg.HTTP.MaxBody, MaxUpload: g.cfg.HTTP.MaxBody,
		Log: g.log, Metrics: g.registry, Tracer: g.tracing.provider, Listening: g.mirror.Listen,
	})
	return err
}

// push reports whether an instance's provider can reach us.
func (g *Gateway) push(instance string) bool { return (*g.reached.Load())[instance] }

// reachable gives the instances whose providers can reach us.
func reachable(cfg *config.Config) *map[string]bool {
	out := map[string]bool{}
	for name := range cfg.Providers {
		out[name] = cfg.Pushes(name)
	}
	return &out
}

// secret gives a secret of this store, made when it is first asked for.
func (g *Gateway) secret(ctx context.Context, name string) (key []byte, err error) {
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err = g.store.Update(ctx, func(tx store.Tx) error {
		key, err = tx.Setting("secret." + name)
		if errors.Is(err, store.ErrNotFound) {
			key = fresh
			return tx.PutSetting("secret."+name, fresh)
		}
		return err
	})
	return key, err
}

// instances gives the configured provider instances as the plugin host takes
// them.
func (g *Gateway) instances(ctx context.Context, cfg *config.Config) (map[string]pluginhost.Instance, error) {
	key, err := g.secret(ctx, "notify_key")
	if err != nil {
		return nil, err
	}
	out := map[string]pluginhost.Instance{}
	for name, p := range cfg.Providers {
		settings, err := p.Resolve(g.lookupEnv())
		if err != nil {
			return nil, &SettingsError{fmt.Errorf("providers.%s: %w", name, err)}
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(name))
		i := pluginhost.Instance{Plugin: p.Plugin, Settings: settings, SHA256: strings.ToLower(p.SHA256), NotifyKey: mac.Sum(nil),
			RedirectURL: cfg.Public().JoinPath("oauth", name, "callback").String()}
		if cfg.Pushes(name) {
			i.NotificationURL = cfg.Public().JoinPath("notify", name).String()
		}
		out[name] = i
	}
	return out, nil
}

// Reload takes a changed configuration: providers and their settings,
// disk.min_free, and where webhooks may go. What else changed needs a restart,
// is named in a warning, and stays as it is until then: not half of it.
func (g *Gateway) Reload(ctx context.Context, cfg *config.Config) error {
	if names := config.NeedRestart(g.cfg, cfg); len(names) > 0 {
		g.log.WarnContext(ctx, "settings changed that need a restart", "settings", names)
		kept := *cfg
		kept.PublicURL, kept.HTTP = g.cfg.PublicURL, g.cfg.HTTP // redirects and notifications lead there
		cfg = &kept
	}
	defer g.orphans.stale()
	for _, f := range g.certs.files {
		f.Reload()
	}
	g.room.setMin(ctx, cfg.Disk.MinFree)
	instances, err := g.instances(ctx, cfg)
	if err != nil {
		return err
	}
	// One instance that refuses its settings does not keep the others from
	// theirs.
	err = g.plugins.Reload(ctx, instances)
	g.reached.Store(reachable(cfg))
	g.accounts.Configured(slices.Collect(maps.Keys(instances)))
	g.accounts.Reconfigured(ctx, g.changed(instances))
	return errors.Join(err, g.reguard(cfg))
}

// changed gives the names of the instances that are not as they were, and of
// those whose provider refuses them: its operator asks whether it still does.
func (g *Gateway) changed(now map[string]pluginhost.Instance) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	for name := range now {
		if _, ok := g.configured[name]; !ok {
			names = append(names, name)
		}
	}
	for name, before := range g.configured {
		after, ok := now[name]
		if !ok || !reflect.DeepEqual(before, after) || g.accounts.Misconfigured(name) != "" {
			names = append(names, name)
		}
	}
	g.configured = now
	return names
}

// messageLink is where the rest of a truncated message is read, with a key.
func (g *Gateway) messageLink(message string) string {
	return g.cfg.Public().JoinPath("messages", message).String()
}

// LogReload says how a reload went.
func (g *Gateway) LogReload(ctx context.Context, err error) {
	if err != nil {
		g.log.ErrorContext(ctx, "settings not reloaded", "error", err)
		return
	}
	g.log.InfoContext(ctx, "settings reloaded")
}
