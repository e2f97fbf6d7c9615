package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

const (
	ann, bob, eve = "ann@example.com", "bob@example.com", "eve@example.net"
	password      = "app-password"
	token         = "psk_token"
)

// world is the door in front of submissions over a real store and a provider in
// memory.
type world struct {
	t      testing.TB
	cloud  *memory.Cloud
	plugin *memory.Provider
	store  *bolt.Store
	bus    *event.Bus
	submit *submission.Service
	door   *Server
	addr   string // plain and STARTTLS
	tls    string // TLS from the first byte
	stop   func() // ends Serve, and waits
	log    *lines
	roots  *x509.CertPool

	mu      sync.Mutex
	revoked chan struct{}
	inbox   map[string][]byte // reports by operation
	came    chan struct{}
	removed []string
	logins  []access.Login
}

func (w *world) Provider(string) (provider.Provider, error) { return w.plugin, nil }
func (w *world) Info(string) (*provider.Info, error)        { return w.plugin.Describe(context.Background()) }
func (w *world) Touch(context.Context, string)              {}
func (w *world) Raw(context.Context, string) (store.Blob, *store.Message, error) {
	return nil, nil, errors.New("no message")
}
func (w *world) Mark(context.Context, string, string) error { return nil }

// Login knows one password and one token.
func (w *world) Login(_ context.Context, l access.Login) (*access.Principal, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logins = append(w.logins, l)
	right := l.Secret == password || l.Bearer && l.Secret == token
	switch {
	case !right:
		return nil, &mail.Error{Kind: mail.KindUnauthorized, Message: "user name or password is wrong"}
	case strings.EqualFold(l.User, ann), l.User == "account-1":
		return &access.Principal{Account: "account-1", Password: "p1"}, nil
	case l.User == "expired@example.com":
		return nil, &mail.Error{Kind: mail.KindGrantExpired, Message: "the account must be connected again"}
	case l.User == "reader@example.com":
		return nil, &mail.Error{Kind: mail.KindForbidden, Message: "this app password is not for smtp"}
	}
	return nil, &mail.Error{Kind: mail.KindUnauthorized, Message: "user name or password is wrong"}
}

func (w *world) Revoked(*access.Principal) (<-chan struct{}, func()) { return w.revoked, func() {} }

// Deliver keeps reports.
func (w *world) Deliver(_ context.Context, _, operation string, _ time.Time, raw io.Reader, size int64) error {
	b, err := io.ReadAll(raw)
	if err != nil || int64(len(b)) != size {
		return fmt.Errorf("%d bytes of %d: %w", len(b), size, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox[operation] = b
	close(w.came)
	w.came = make(chan struct{})
	return nil
}

// report waits for a report.
func (w *world) report() string {
	w.t.Helper()
	for {
		w.mu.Lock()
		came := w.came
		for _, b := range w.inbox {
			w.mu.Unlock()
			return string(b)
		}
		w.mu.Unlock()
		select {
		case <-came:
		case <-time.After(time.Minute):
			w.t.Fatal("no report came")
		}
	}
}

func (w *world) RemoveCopy(_ context.Context, _, message string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removed = append(w.removed, message)
	return nil
}

type setup struct {
	Options
	limit int64
	times *times
}

func newWorld(t testing.TB, change func(*setup)) *world {
	t.Helper()
	st := bolttest.Open(t)
	w := &world{t: t, store: st, bus: &event.Bus{}, revoked: make(chan struct{}), inbox: map[string][]byte{}, came: make(chan struct{}), log: &lines{}}
	cert, roots := testCert(t)
	w.roots = roots
	set := setup{Options: Options{Auth: w, Cleartext: true, Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }, Wait: 5 * time.Second, Spool: t.TempDir(), Grace: 5 * time.Second}, limit: 1 << 20}
	if change != nil {
		change(&set)
	}
	w.plugin = memory.New(memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder, MaxMessageBytes: set.limit})
	w.cloud = w.plugin.Cloud()
	w.cloud.AddAccount(ann, "Ann")
	w.cloud.AddAccount(bob, "Bob")
	_, err := w.plugin.OpenAccount("account-1", ann)
	must(t, err)
	must(t, st.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutAccount(&store.Account{ID: "account-1", Provider: "memory", Address: ann, Name: "Ann", State: store.AccountReady})
	}))
	w.submit = submission.New(st, journal.New(st, w.bus, time.Now), w, w, submission.Options{Log: w.log.logger(), Inbox: w, Copies: w, Instances: func() []string { return []string{"memory"} },
		MaySend: func(_ context.Context, _ *store.Account, from string) error {
			if strings.HasPrefix(from, "sales@") {
				return nil
			}
			return &mail.Error{Kind: mail.KindForbidden, Code: "from_not_permitted", Message: "the account may not send from this address"}
		}})
	set.Submissions = w.submit
	w.door, err = New(set.Options)
	must(t, err)
	if set.times != nil {
		w.door.times = *set.times
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w.addr, w.tls = plain.Addr().String(), secure.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{w.submit.Run,
		func(ctx context.Context) error { return w.door.Serve(ctx, plain, false) },
		func(ctx context.Context) error { return w.door.Serve(ctx, secure, true) },
	} {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	w.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(w.stop)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// submission reads one.
func (w *world) submission(id string) (s *store.Submission) {
	w.t.Helper()
	must(w.t, w.store.View(context.Background(), func(tx store.Tx) (err error) {
		s, err = tx.Submission(id)
		return err
	}))
	return s
}

// waiting counts the submissions that are still to be sent.
func (w *world) waiting() (n int) {
	w.t.Helper()
	must(w.t, w.store.View(context.Background(), func(tx store.Tx) error {
		list, err := tx.DueSubmissions(time.Now().AddDate(1, 0, 0), 1000)
		n = 0
		for _, s := range list {
			if !s.Ended() {
				n++
			}
		}
		return err
	}))
	return n
}

// peer is a mail program.
type peer struct {
	t  testing.TB
	c  net.Conn
	in *bufio.Reader
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return &peer{t, c, bufio.NewReader(c)}
}

// login dials, and logs in.
func login(t testing.TB, w *world) *peer {
	t.Helper()
	p := dial(t, w.addr)
	p.play(`
S: 220 localhost ESMTP
C: EHLO client.example
S: 250 
C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=
S: 235 2.0.0
`)
	return p
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.c, s); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// reply reads an answer with all its lines; it is empty at the connection's end.
func (p *peer) reply() string {
	p.t.Helper()
	var all strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				p.t.Fatalf("no answer after %q", all.String())
			}
			return all.String()
		}
		if !strings.HasSuffix(line, "\r\n") {
			p.t.Fatalf("an answer ends in a bare LF: %q", line)
		}
		all.WriteString(line)
		if len(line) > 3 && line[3] == ' ' {
			return all.String()
		}
	}
}

// play goes through a transcript. "C:" is what the client sends, with \r, \n and
// the like as Go has them; "S:" is how the last line of an answer begins; "S!" is
// the connection's end.
func (p *peer) play(script string) {
	p.t.Helper()
	for _, line := range strings.Split(strings.Trim(script, "\n"), "\n") {
		switch text := strings.TrimPrefix(line[min(2, len(line)):], " "); {
		case strings.HasPrefix(line, "C:"):
			text = strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\0`, "\x00", `\xff`, "\xff", `\t`, "\t").Replace(text)
			p.send(text + "\r\n")
		case strings.HasPrefix(line, "S:"):
			got := p.reply()
			last := got[strings.LastIndex(strings.TrimSuffix(got, "\r\n"), "\n")+1:]
			if !strings.HasPrefix(last, text) {
				p.t.Fatalf("answer %q, want %q", got, text)
			}
		case strings.HasPrefix(line, "S!"):
			if got := p.reply(); got != "" {
				p.t.Fatalf("answer %q, want the end", got)
			}
		default:
			p.t.Fatalf("what is %q?", line)
		}
	}
}

// sent waits until so many messages were sent, and gives them.
func (w *world) sent(n int) []memory.Sent {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if list := w.cloud.Sent(); len(list) >= n {
			return list
		}
	}
	w.t.Fatalf("%d messages were sent, want %d", len(w.cloud.Sent()), n)
	return nil
}

func (w *world) trust() *tls.Config { return &tls.Config{RootCAs: w.roots, ServerName: "127.0.0.1"} }

// lines is a log that can be read.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
