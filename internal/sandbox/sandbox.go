package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/certs"
	"github.com/postern-mail/postern/internal/sandbox/google"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/microsoft"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// A Sandbox is a running world.
type Sandbox struct {
	opts      Options
	log       *slog.Logger
	microsoft *microsoft.Server
	google    *google.Server
	clouds    []Cloud // in the order they are asked for an address
	counters  *traffic.Counters
	faults    *traffic.Faults
	authority *certs.Authority
	state     State
	post      *post

	cancel context.CancelFunc
	done   chan struct{}
	err    error // why it ended; read after done
}

// State says where everything is: what a gateway's configuration needs.
type State struct {
	Microsoft string `json:"microsoft"` // https://localhost:8090: authority and Graph base without their paths
	Authority string `json:"authority"` // https://localhost:8090/common
	Graph     string `json:"graph"`     // https://localhost:8090/v1.0
	Control   string `json:"control"`   // http://127.0.0.1:8092
	SMTP      string `json:"smtp"`      // host:port
	CAFile    string `json:"ca_file"`   // "" when it was written nowhere
	CA        string `json:"ca"`        // PEM
	Tenant    string `json:"tenant"`
	ClientID  string `json:"client_id"`
	// ClientSecret is the default app's; the sandbox's secrets are no secrets.
	ClientSecret string `json:"client_secret"`
	// Google is the one host of that cloud, by plain http: sign-in, Gmail and
	// Pub/Sub differ by path.
	Google             string `json:"google"` // http://127.0.0.1:8091
	GoogleClientID     string `json:"google_client_id"`
	GoogleClientSecret string `json:"google_client_secret"`
	GoogleTopic        string `json:"google_topic"`        // projects/postern-sandbox/topics/gmail
	GoogleSubscription string `json:"google_subscription"` // pulls from it
	// GoogleServiceAccount is the text of a service account's key file.
	GoogleServiceAccount string `json:"google_service_account"`
	PID                  int    `json:"pid"`
	// Providers are settings for a gateway, one entry for each cloud.
	Providers []Provider `json:"providers"`
	// Taken are the addresses that something else listened on, where a free
	// port was to be used then (Options.Ports).
	Taken []string `json:"taken,omitempty"`
}

// Start opens all doors, fills the mailboxes and returns. The sandbox ends
// when ctx does, or with Close.
func Start(ctx context.Context, opts Options) (*Sandbox, error) {
	opts = opts.withDefaults()
	s := &Sandbox{
		opts: opts, log: opts.Log, counters: &traffic.Counters{}, faults: traffic.NewFaults(opts.Seed), done: make(chan struct{}),
	}
	if err := s.build(); err != nil {
		return nil, err
	}
	fresh, err := s.load()
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
	}
	doors, err := s.open()
	if err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	go s.run(ctx, doors)
	return s, nil
}

// build makes authority and clouds.
func (s *Sandbox) build() error {
	var err error
	if s.opts.StateDir == "" {
		s.authority, err = certs.New(s.opts.Now())
	} else {
		if err = os.MkdirAll(s.opts.StateDir, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
		s.authority, err = certs.Load(s.opts.StateDir, s.opts.Now())
		if s.opts.CAFile == "" {
			s.state.CAFile = filepath.Join(s.opts.StateDir, "ca.pem")
		}
	}
	if err != nil {
		return err
	}
	s.state.CA = string(s.authority.PEM())
	if s.opts.CAFile != "" {
		if err := os.WriteFile(s.opts.CAFile, s.authority.PEM(), 0o644); err != nil {
			return fmt.Errorf("write the certificate authority: %w", err)
		}
		s.state.CAFile = s.opts.CAFile
	}
	roots, err := s.notifyRoots()
	if err != nil {
		return err
	}
	s.post = newPost(s)
	s.microsoft, err = microsoft.New(s.opts.Settings, microsoft.Options{
		Now: s.opts.Now, Log: s.log.With("cloud", microsoft.Name), Counters: s.counters, Faults: s.faults, Seed: s.opts.Seed,
		Sender: sender{s.post, microsoft.Name}, NotifyRoots: roots, Key: s.opts.Key,
	})
	if err != nil {
		return err
	}
	s.google, err = google.New(s.opts.GoogleSettings, google.Options{
		Now: s.opts.Now, Log: s.log.With("cloud", google.Name), Counters: s.counters, Faults: s.faults, Seed: s.opts.Seed,
		Sender: sender{s.post, google.Name}, NotifyRoots: roots, Key: s.opts.Key,
	})
	if err != nil {
		return err
	}
	s.clouds = []Cloud{s.microsoft, s.google}
	return nil
}

// notifyRoots are the system's certificates and those of NotifyCAFile.
func (s *Sandbox) notifyRoots() (*x509.CertPool, error) {
	if s.opts.NotifyRoots != nil || s.opts.NotifyCAFile == "" {
		return s.opts.NotifyRoots, nil
	}
	text, err := os.ReadFile(s.opts.NotifyCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authority for notifications: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the authority for notifications: no certificate in %s", s.opts.NotifyCAFile)
	}
	return roots, nil
}

// worldFile marks a state folder that was filled.
const worldFile = "world.json"

// load takes the state folder up; fresh means that there was nothing in it.
func (s *Sandbox) load() (fresh bool, err error) {
	if s.opts.StateDir == "" {
		return true, nil
	}
	if _, err := os.Stat(filepath.Join(s.opts.StateDir, worldFile)); errors.Is(err, os.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("look into the state folder: %w", err)
	}
	for _, c := range s.clouds {
		if err := c.Load(filepath.Join(s.opts.StateDir, c.Name())); err != nil {
			return false, fmt.Errorf("load %s: %w", c.Name(), err)
		}
	}
	return false, nil
}

// save writes the state folder, if there is one.
func (s *Sandbox) save() error {
	if s.opts.StateDir == "" {
		return nil
	}
	for _, c := range s.clouds {
		dir := filepath.Join(s.opts.StateDir, c.Name())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("save %s: %w", c.Name(), err)
		}
		if err := c.Save(dir); err != nil {
			return fmt.Errorf("save %s: %w", c.Name(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.opts.StateDir, worldFile), []byte("{}\n"), 0o600); err != nil {
		return fmt.Errorf("save the world: %w", err)
	}
	return nil
}

// doors are the listeners, open before anything is served.
type doors struct{ microsoft, google, control, smtp net.Listener }

func (s *Sandbox) open() (doors, error) {
	var d doors
	var opened []net.Listener
	for _, door := range []struct {
		name, address string
		l             *net.Listener
	}{
		{"microsoft", s.opts.Microsoft, &d.microsoft}, {"google", s.opts.Google, &d.google}, {"control", s.opts.Control, &d.control}, {"smtp", s.opts.SMTP, &d.smtp},
	} {
		l, err := s.listen(door.address)
		if err != nil {
			for _, o := range opened {
				_ = o.Close() // the first error is the one to tell
			}
			return doors{}, fmt.Errorf("listen for %s: %w", door.name, err)
		}
		opened = append(opened, l)
		*door.l = l
	}
	s.state.Microsoft = "https://" + named(d.microsoft.Addr())
	s.state.Authority = s.state.Microsoft + "/common"
	s.state.Graph = s.state.Microsoft + "/v1.0"
	s.state.Google = "http://" + d.google.Addr().String()
	s.state.Control = "http://" + d.control.Addr().String()
	s.state.SMTP = d.smtp.Addr().String()
	s.state.Tenant = s.microsoft.Tenant()
	s.state.PID = os.Getpid()
	app := identity.DefaultApp()
	if len(s.opts.Settings.Apps) > 0 {
		app = s.opts.Settings.Apps[0]
	}
	s.state.ClientID = app.ClientID
	if len(app.Secrets) > 0 {
		s.state.ClientSecret = app.Secrets[0].Value
	}
	if err := s.googleState(); err != nil {
		return doors{}, err
	}
	s.state.Providers = s.providers()
	return d, nil
}

// googleState says what a gateway needs of that cloud.
func (s *Sandbox) googleState() error {
	app := oauth.DefaultApp()
	if len(s.opts.GoogleSettings.Apps) > 0 {
		app = s.opts.GoogleSettings.Apps[0]
	}
	s.state.GoogleClientID = app.ClientID
	if len(app.Secrets) > 0 {
		s.state.GoogleClientSecret = app.Secrets[0].Value
	}
	s.state.GoogleTopic, s.state.GoogleSubscription = google.Topic, google.Subscription
	var err error
	s.state.GoogleServiceAccount, err = s.google.DefaultKey(s.state.Google)
	return err
}

// listen opens an address, or what Options.Ports says in its place.
func (s *Sandbox) listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	free := net.JoinHostPort(host, "0")
	if s.opts.Ports == PortsFree {
		return net.Listen("tcp", free)
	}
	l, err := net.Listen("tcp", address)
	if s.opts.Ports == PortsSpare && errors.Is(err, syscall.EADDRINUSE) {
		s.state.Taken = append(s.state.Taken, address)
		return net.Listen("tcp", free)
	}
	return l, err
}

// named is an address as clients should write it: "localhost" for loopback.
func named(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// run serves until ctx ends or a door breaks, then saves.
func (s *Sandbox) run(ctx context.Context, d doors) {
	defer close(s.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	serve := func(name string, f func() error) {
		wg.Go(func() {
			defer cancel() // one door broken ends all
			if err := f(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				s.err = errors.Join(s.err, fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	serve("microsoft", func() error {
		host, _, err := net.SplitHostPort(d.microsoft.Addr().String())
		if err != nil {
			return err
		}
		names := append([]string{"localhost", "127.0.0.1", "::1"}, microsoft.HostNames()...)
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !ip.IsLoopback() {
			names = append(names, host)
		}
		leaf, err := s.authority.Leaf(s.opts.Now(), names...)
		if err != nil {
			return err
		}
		return s.microsoft.Run(ctx, d.microsoft, leaf)
	})
	serve("google", func() error { return s.google.Run(ctx, d.google) })
	serve("control", func() error { return s.serveControl(ctx, d.control) })
	serve("smtp", func() error { return s.serveSMTP(ctx, d.smtp) })
	if s.opts.StateDir != "" {
		serve("state", func() error { return s.saveRegularly(ctx) })
	}
	s.log.Info("sandbox ready", "microsoft", s.state.Microsoft, "google", s.state.Google, "control", s.state.Control, "smtp", s.state.SMTP)
	wg.Wait()
	if err := s.save(); err != nil {
		s.err = errors.Join(s.err, err)
	}
	s.log.Info("sandbox ended")
}

// saveEvery is how much a crash may lose of a state folder.
const saveEvery = 30 * time.Second

func (s *Sandbox) saveRegularly(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.save(); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// State says where everything is.
func (s *Sandbox) State() State { return s.state }

// ControlURL is the base of the control API.
func (s *Sandbox) ControlURL() string { return s.state.Control }

// Microsoft is the cloud itself, for tests that want more than the control
// API gives.
func (s *Sandbox) Microsoft() *microsoft.Server { return s.microsoft }

// Google is that cloud itself.
func (s *Sandbox) Google() *google.Server { return s.google }

// Counters is what GET /control/counters answers from.
func (s *Sandbox) Counters() *traffic.Counters { return s.counters }

// Faults is what PUT /control/faults sets. A delta lag set here, and not
// through the control API, is not taken over by the clouds.
func (s *Sandbox) Faults() *traffic.Faults { return s.faults }

// TLS trusts the sandbox and nobody else.
func (s *Sandbox) TLS() *tls.Config {
	return &tls.Config{RootCAs: s.authority.Pool(), MinVersion: tls.VersionTLS12}
}

// Wait blocks until the sandbox has ended and says why, nil when it was asked
// to.
func (s *Sandbox) Wait() error {
	<-s.done
	return s.err
}

// Close ends the sandbox, within two seconds, and waits for it.
func (s *Sandbox) Close() error {
	s.cancel()
	return s.Wait()
}
