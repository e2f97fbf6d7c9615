package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/httpd"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/store"
)

// grace is how long each stage may take to stop.
const grace = 5 * time.Second

// stage is a part of the gateway that runs until it is stopped.
type stage struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// start runs fns as one stage. A stage that ends by itself ends the gateway.
func start(ctx context.Context, name string, failed func(error), fns ...func(context.Context) error) *stage {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &stage{name: name, cancel: cancel, done: make(chan struct{})}
	errs := make(chan error, len(fns))
	for _, fn := range fns {
		go func() {
			err := fn(ctx)
			if ctx.Err() == nil {
				if err == nil {
					err = errors.New("ended unexpectedly")
				}
				failed(fmt.Errorf("%s: %w", name, err))
			}
			errs <- err
		}()
	}
	go func() {
		defer close(s.done)
		for range fns {
			if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
				s.err = errors.Join(s.err, err)
			}
		}
	}()
	return s
}

// stop ends the stage and says what it left.
func (s *stage) stop() error {
	s.cancel()
	select {
	case <-s.done:
		return s.err
	case <-time.After(2 * grace):
		return fmt.Errorf("%s: not stopped after %s", s.name, 2*grace)
	}
}

// heapFloor is the size that the heap has at the least for the collector.
const heapFloor = 32 << 20

// Run opens the doors and works until ctx ends, then stops in order.
func (g *Gateway) Run(ctx context.Context) error {
	// The live heap of a gateway is small and its transactions allocate much, so
	// that the collector would run many times a second. Bytes that nobody touches
	// take no memory, and let it run as if the heap were this large.
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fail := func(err error) { cancel(err) }
	listener, err := g.listen()
	if err != nil {
		return errors.Join(err, g.Close())
	}
	socket, err := g.listenSocket()
	if err != nil {
		return errors.Join(err, listener.Close(), g.Close())
	}
	mailDoors, err := g.listenDoors()
	if err != nil {
		return errors.Join(err, socket.Close(), listener.Close(), g.Close())
	}
	g.room.check(ctx) // before anything is pulled
	disk := start(ctx, "store", fail, g.store.Watch)
	plugins := start(ctx, "plugins", fail, g.plugins.Run)
	outbox := start(ctx, "outbox", fail, g.outbox.Run)
	sync := start(ctx, "sync", fail, g.afterPlugins(g.mirror.Run), g.accounts.Run, g.afterPlugins(g.submit.Run), g.maintain, g.room.run, g.access.Run, g.text.Run)
	handler := httpd.Handler(httpd.Options{
		Log: g.log, Accounts: g.accounts, Providers: g.plugins, Version: g.opts.Version, Registerer: g.registry,
		Secure:  g.cfg.Public().Scheme == "https",
		GraphQL: g.graph.Handler(), Blobs: g.graph.Blobs(), Messages: g.graph.Messages(), GraphiQL: g.graphiQL(listener.Addr()),
		WebhookKeys: g.hooks.PublicKeys(), Prove: g.prover.prove,
		Metrics: promhttp.HandlerFor(g.registry, promhttp.HandlerOpts{Registry: g.registry}), Ready: g.ready, Warnings: g.warnings,
		Authority: g.authority(),
	})
	doors := start(ctx, "doors", fail,
		func(ctx context.Context) error {
			return httpd.Serve(ctx, listener, g.tracing.middleware(handler), grace)
		},
		func(ctx context.Context) error { return httpd.Serve(ctx, socket, g.commands(), grace) })
	programs := start(ctx, "mail programs", fail, g.serving(mailDoors)...)
	g.tellDoors(ctx, mailDoors)
	g.log.InfoContext(ctx, "gateway started", "address", listener.Addr().String(), "version", g.opts.Version)
	if g.opts.Started != nil {
		g.opts.Started(listener.Addr().String())
	}
	<-ctx.Done()
	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) {
		cause = nil
	}
	g.log.Info("gateway stopping")
	g.graph.Close()
	doors.cancel() // all doors close at once: who is at one does not hold up who is at another
	var errs []error
	for _, s := range []*stage{programs, doors, sync, outbox, plugins, disk} {
		if err := s.stop(); err != nil {
			errs = append(errs, err)
		}
		switch {
		case s == doors:
			errs = append(errs, g.endStreams())
		case s == programs && g.imap != nil:
			errs = append(errs, g.imap.Close())
			g.sessions.Close()
		}
	}
	errs = append(errs, g.tracing.close(), g.Close())
	if err := errors.Join(errs...); err != nil || cause != nil {
		return errors.Join(cause, err)
	}
	g.log.Info("gateway stopped")
	return nil
}

// endStreams waits for the subscriptions' sockets, which the HTTP server no
// longer knows.
func (g *Gateway) endStreams() error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := g.graph.Shutdown(ctx); err != nil {
		return fmt.Errorf("subscriptions: %w", err)
	}
	return nil
}

// listen opens the HTTP door. A taken port is said with its setting.
func (g *Gateway) listen() (net.Listener, error) {
	l := g.opts.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", g.cfg.HTTP.Listen); err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("http.listen: %s is taken by another program; set another address with --set http.listen=HOST:PORT", g.cfg.HTTP.Listen)
			}
			return nil, fmt.Errorf("http.listen: %w", err)
		}
	}
	return tlsListener(l, g.certs.web), nil
}

// authority serves the root that mail programs are told to trust.
func (g *Gateway) authority() http.Handler {
	if g.certs.authority == nil {
		return httpd.Authority(nil)
	}
	return httpd.Authority(g.certs.authority.RootPEM())
}

// ready says why the gateway cannot do its work.
func (g *Gateway) ready(ctx context.Context) []string {
	var reasons []string
	if err := g.store.View(ctx, func(tx store.Tx) error { _, _, err := tx.JournalBounds(); return err }); err != nil {
		reasons = append(reasons, "store: "+err.Error())
	}
	if why := g.room.why(); why != "" {
		reasons = append(reasons, "disk: no new mail is pulled: "+why)
	}
	if trouble := g.carrier.ProxyTrouble(); trouble != "" {
		reasons = append(reasons, "webhooks: "+trouble)
	}
	for _, p := range g.plugins.Status() {
		if p.State != pluginhost.StateRunning {
			reason := fmt.Sprintf("provider %s: %s", p.Name, p.State)
			if p.LastError != nil {
				reason += ": " + describe(p.LastError)
			}
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

// maintain drops what has been kept long enough, a little at a time.
func (g *Gateway) maintain(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		if err := trimRecords(ctx, g.store, g.cfg.Keep, time.Now()); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "old records not dropped", "error", err)
		}
		if err := g.trimBlobs(ctx); err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "bytes that can be fetched again not dropped", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// trimBlobs keeps what can be fetched again within its share of the disk.
func (g *Gateway) trimBlobs(ctx context.Context) error {
	limit := g.cfg.Keep.Blobs
	if limit == 0 {
		limit = math.MaxInt64
	}
	dropped, err := g.store.Blobs().Trim(ctx, limit)
	if dropped > 0 {
		g.log.InfoContext(ctx, "blobs trimmed", "bytes", dropped)
	}
	return err
}

// trimStep is how many records one transaction drops.
const trimStep = 200

// trimRecords drops what is older than its setting, from the front of what is
// in order of time, in many small transactions that others share.
func trimRecords(ctx context.Context, s store.Store, keep config.Keep, now time.Time) error {
	steps := []func(tx store.Tx) (int, error){
		func(tx store.Tx) (int, error) { return tx.TrimJournal(now.Add(-keep.Journal), trimStep) },
		func(tx store.Tx) (int, error) { return tx.TrimSubmissions(now.Add(-keep.Submissions), trimStep) },
		func(tx store.Tx) (int, error) { return tx.ExpireConnects(now, trimStep) },
	}
	for _, step := range steps {
		for n := trimStep; n == trimStep; {
			err := s.Update(ctx, func(tx store.Tx) (err error) {
				n, err = step(tx)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
