package imapd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/mirrortest"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

const (
	ann     = mirrortest.Ann
	secret  = "rosebud"
	account = mirrortest.Account
)

// world is ann's account in a real store, mirrored from a provider in memory,
// and a Server on a loopback port.
type world struct {
	*mirrortest.World
	t       testing.TB
	cloud   *memory.Cloud
	store   store.Store
	mirror  *mailbox.Service
	server  *Server
	address string
	roots   *x509.CertPool
	stop    context.CancelFunc
	stopped chan error

	mu      sync.Mutex
	revoked chan struct{}
	readers bool // who logs in may only read
	hidden  []string
}

func (w *world) Login(_ context.Context, l access.Login) (*access.Principal, error) {
	if l.User == "gone@example.com" {
		return nil, mail.Errorf(mail.KindGrantExpired, "log in", "the grant has ended")
	}
	if l.User != ann || l.Secret != secret {
		return nil, mail.Errorf(mail.KindUnauthorized, "log in", "wrong")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &access.Principal{Account: account, Password: "p1", ReadOnly: w.readers, HideCaps: w.hidden}, nil
}

func (w *world) Revoked(*access.Principal) (<-chan struct{}, func()) { return w.revoked, func() {} }

// newWorld starts everything. change may change the options of the server.
func newWorld(t testing.TB, change ...func(*world, *Options)) *world {
	t.Helper()
	m := mirrortest.New(t, memory.Options{Kind: mail.KindFolder})
	w := &world{World: m, t: t, cloud: m.Cloud, store: m.Store, mirror: m.Mirror, revoked: make(chan struct{}), stopped: make(chan error, 1)}
	sessions, err := session.New(session.Options{Store: w.store, Mirror: w.mirror, Bus: w.Bus, Auth: w, AppendLimit: 1 << 20})
	w.must(err)
	t.Cleanup(sessions.Close)
	cert, roots := testCertificate(t)
	w.roots = roots
	opt := Options{Sessions: sessions, Revoked: w.Revoked, Cleartext: true, Version: "1.2.3",
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }}
	for _, c := range change {
		c(w, &opt)
	}
	w.server, err = New(opt)
	w.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() { w.stopped <- w.server.Serve(ctx, l, false); close(w.stopped) }()
	t.Cleanup(func() {
		cancel()
		if err := <-w.stopped; err != nil {
			t.Error(err)
		}
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.sync()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// letter is the n-th message that tests deliver.
func letter(n int) []byte { return mirrortest.Letter(n) }

// deliver puts a message into the inbox and mirrors it.
func (w *world) deliver(raw []byte) {
	w.t.Helper()
	w.Deliver("inbox", raw)
	w.sync()
}

func (w *world) letters(n int) {
	w.t.Helper()
	for range n {
		w.Deliver("inbox", letter(w.Delivered()+1))
	}
	w.sync()
}

func (w *world) sync() { w.t.Helper(); w.Sync() }

func (w *world) run() { w.t.Helper(); w.Run() }

func (w *world) dial() *peer {
	w.t.Helper()
	return dial(w.t, w.address)
}

// peer is a client that speaks IMAP by hand.
type peer struct {
	t testing.TB
	net.Conn
	*lines
}

func dial(t testing.TB, address string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &peer{t: t, Conn: c, lines: newLines(c)}
	c.SetDeadline(time.Now().Add(time.Minute))
	return p
}

// secure goes on over TLS.
func (p *peer) secure(roots *x509.CertPool) {
	p.t.Helper()
	c := tls.Client(p.Conn, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	p.Conn, p.lines = c, newLines(c)
}

func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := p.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// until reads lines up to one that starts with prefix, and gives them all.
func (p *peer) until(prefix string) []string {
	p.t.Helper()
	var all []string
	for {
		line, err := p.line()
		if err != nil {
			p.t.Fatalf("waiting for %q after %q: %v", prefix, all, err)
		}
		all = append(all, line)
		if strings.HasPrefix(line, prefix) {
			return all
		}
	}
}

// do runs a command and gives its responses, the answer last.
func (p *peer) do(command string) []string {
	p.t.Helper()
	tag, _, _ := strings.Cut(command, " ")
	p.send(command + "\r\n")
	return p.until(tag + " ")
}

// ok is do for commands that have to succeed.
func (p *peer) ok(command string) []string {
	p.t.Helper()
	all := p.do(command)
	tag, _, _ := strings.Cut(command, " ")
	if last := all[len(all)-1]; !strings.HasPrefix(last, tag+" OK") {
		p.t.Fatalf("%s: %s", command, last)
	}
	return all
}

func (p *peer) login() *peer {
	p.t.Helper()
	p.until("* OK")
	p.ok("l LOGIN " + ann + " " + secret)
	return p
}
