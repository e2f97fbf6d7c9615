package smtpd

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// bare is the library by itself, with a backend that takes everything.
type bare struct {
	mu    sync.Mutex
	from  string
	to    []string
	taken []string
}

func (b *bare) AuthMechanisms() []string { return []string{mechPlain} }
func (b *bare) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(string, string, string) error { return nil }), nil
}
func (b *bare) Mail(from string, _ *smtp.MailOptions) error { b.from = from; return nil }
func (b *bare) Rcpt(to string, _ *smtp.RcptOptions) error   { b.to = append(b.to, to); return nil }
func (b *bare) Reset()                                      { b.from, b.to = "", nil }
func (b *bare) Logout() error                               { return nil }
func (b *bare) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.taken = append(b.taken, fmt.Sprintf("%s %v %q", b.from, b.to, raw))
	}
	return err
}

// playedBare runs what a client sends against the library alone.
func playedBare(t *testing.T, in string) (answers string, taken []string) {
	t.Helper()
	b := &bare{}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return b, nil }))
	s.AllowInsecureAuth, s.MaxLineLength = true, 0
	c := &script{in: strings.NewReader(in)}
	end := make(chan struct{})
	l := &once{c: &ending{script: c, end: end}, end: end}
	_ = s.Serve(l)
	_ = s.Shutdown(t.Context())
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.out.String(), slices.Clone(b.taken)
}

// ending is a connection that tells when it is closed.
type ending struct {
	*script
	end  chan struct{}
	once sync.Once
}

func (e *ending) Close() error { e.once.Do(func() { close(e.end) }); return nil }

// once is a listener of one connection.
type once struct {
	c   net.Conn
	end chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	if c := l.c; c != nil {
		l.c = nil
		return c, nil
	}
	<-l.end
	return nil, net.ErrClosed
}
func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

// TestEdges: what the library gets wrong on the wire, and the door does not. Where
// the library gets it right, what is done about it here may go.
func TestEdges(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		// right reports whether it went as RFC 5321 and RFC 3030 have it.
		right func(answers string, taken []string) bool
	}{
		"a last chunk that breaks off": {opening + "BDAT 1000 LAST\r\nhalf of it",
			func(_ string, taken []string) bool { return len(taken) == 0 }},
		"a chunk of a size past 32 bits": {opening + "BDAT 4294967296\r\nRSET\r\nVRFY injected\r\n",
			func(answers string, _ []string) bool { return !strings.Contains(answers, "\n252 ") }},
		"a chunk whose command is refused": {opening + "BDAT 15 FIRST\r\nVRFY injected\r\n",
			func(answers string, _ []string) bool { return !strings.Contains(answers, "\n252 ") }},
		"a line of a dot and more behind a CR": {opening + "DATA\r\n.\rx\r\n.\r\nQUIT\r\n",
			func(answers string, taken []string) bool {
				return strings.Contains(answers, "\n554 ") || len(taken) == 1 && strings.HasSuffix(taken[0], `"\rx\r\n"`)
			}},
		"an end behind a bare CR": {opening + "DATA\r\nx\r\r\n.\r\nQUIT\r\n",
			func(answers string, taken []string) bool {
				return len(taken) == 1 && strings.HasSuffix(taken[0], `"x\r\r\n"`) && strings.Contains(answers, "\n221 ")
			}},
		"a second MAIL": {opening + "MAIL FROM:<other@b.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
			func(answers string, _ []string) bool { return strings.Contains(answers, "\n503 ") }},
		"a carriage return in a command": {"EHLO a\rb\r\nQUIT\r\n",
			func(answers string, _ []string) bool { return !strings.Contains(answers, "a\rb") }},
		"a command that begins like STARTTLS": {"EHLO x\r\nSTARTTLSX\r\nQUIT\r\n",
			func(answers string, _ []string) bool { return !strings.Contains(answers, "TLS not supported") }},
	} {
		t.Run(name, func(t *testing.T) {
			if answers, taken := played(t, strings.NewReader(c.wire)); !c.right(answers, taken) {
				t.Errorf("the door answers\n%sand takes %q", answers, taken)
			}
			if answers, taken := playedBare(t, c.wire); c.right(answers, taken) {
				t.Errorf("the library has learnt it: it answers\n%sand takes %q", answers, taken)
			}
		})
	}
}
