package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"

	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/store"
)

// script is a connection whose other side is written down.
type script struct {
	net.Conn
	in  io.Reader
	mu  sync.Mutex
	out bytes.Buffer
}

func (s *script) Read(b []byte) (int, error) { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1587} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }

var longTimes = times{time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Second}

func fakeConn(in io.Reader) *conn {
	return newConn(&script{in: in}, longTimes, nil, make(chan struct{}))
}

// taker takes letters, and keeps what they are.
type taker struct {
	mu    sync.Mutex
	taken []string
}

func (k *taker) Take(_ context.Context, l submission.Letter) (*store.Submission, error) {
	raw, err := io.ReadAll(l.Raw)
	if err != nil || int64(len(raw)) != l.Size || sha256.Sum256(raw) != l.Digest {
		return nil, fmt.Errorf("%d bytes of %d: %w", len(raw), l.Size, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.taken = append(k.taken, fmt.Sprintf("%s %v %q", l.From, l.Recipients, raw))
	return &store.Submission{ID: "s1"}, nil
}
func (k *taker) Limit(context.Context, string) (int64, error)        { return 1 << 20, nil }
func (k *taker) Largest() int64                                      { return 1 << 20 }
func (k *taker) MaySend(context.Context, string, string) error       { return nil }
func (k *taker) Revoked(*access.Principal) (<-chan struct{}, func()) { return nil, func() {} }
func (k *taker) Login(context.Context, access.Login) (*access.Principal, error) {
	return &access.Principal{Account: "account-1"}, nil
}

// played runs what a client sends against a door, and gives the answers and what
// was taken.
func played(t testing.TB, in io.Reader) (answers string, taken []string) {
	t.Helper()
	k := &taker{}
	s, err := New(Options{Auth: k, Submissions: k, Cleartext: true, Spool: t.TempDir()})
	must(t, err)
	s.times = longTimes
	c := &script{in: in}
	d := &door{s: s, closing: make(chan struct{}), open: map[*conn]context.CancelFunc{}}
	d.serve(t.Context(), c)
	return c.out.String(), k.taken
}

const opening = "EHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"

// FuzzData: a message is handed on exactly as it was sent, however it is sent.
func FuzzData(f *testing.F) {
	for _, s := range []string{"", "hello\r\n", ".\r\n", "..\r\n.x", "\r", "x\r\r\n.\r\n", "\x00\xff", "QUIT\r\n"} {
		f.Add([]byte(s), uint8(3))
	}
	seeds, _ := filepath.Glob("../../../shared/corpus/*/*.eml") // where it is there
	for i, name := range seeds {
		if b, err := os.ReadFile(name); err == nil && i%25 == 0 && len(b) < 20_000 {
			f.Add(b, uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, pieces uint8) {
		if len(body) > 500_000 {
			return
		}
		// In chunks: every byte as it is.
		var wire bytes.Buffer
		wire.WriteString(opening)
		size := max(1, len(body)/(int(pieces)+1))
		rest := body
		for len(rest) > size {
			fmt.Fprintf(&wire, "BDAT %d\r\n%s", size, rest[:size])
			rest = rest[size:]
		}
		fmt.Fprintf(&wire, "BDAT %d LAST\r\n%sQUIT\r\n", len(rest), rest)
		want := fmt.Sprintf("a@b.example [{c@d.example false false false }] %q", body)
		answers, taken := played(t, &wire)
		if len(taken) != 1 || taken[0] != want || !strings.Contains(answers, "\r\n221 2.0.0") {
			t.Fatalf("in chunks %q became %q: %s", body, taken, answers)
		}
		// After DATA: with an end to the last line.
		if len(body) > 0 && !bytes.HasSuffix(body, []byte("\r\n")) {
			body = append(bytes.Clone(body), "\r\n"...)
		}
		stuffed := bytes.ReplaceAll(append([]byte("\r\n"), body...), []byte("\r\n."), []byte("\r\n.."))[2:]
		want = fmt.Sprintf("a@b.example [{c@d.example false false false }] %q", body)
		for name, split := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "half": iotest.HalfReader} {
			if name == "byte by byte" && len(stuffed) > 10_000 {
				continue
			}
			answers, taken := played(t, split(strings.NewReader(opening+"DATA\r\n"+string(stuffed)+".\r\nQUIT\r\n")))
			if refused := strings.Contains(answers, "\r\n554 5.6.0"); refused && len(taken) == 0 && loneDot(stuffed) {
				continue
			}
			if len(taken) != 1 || taken[0] != want || !strings.Contains(answers, "\r\n221 2.0.0") {
				t.Fatalf("%s, %q became %q: %s", name, body, taken, answers)
			}
		}
	})
}

// loneDot reports whether there is a line of a dot for who ends lines at CR or LF.
func loneDot(wire []byte) bool {
	for _, line := range strings.FieldsFunc(string(wire), func(r rune) bool { return r == '\r' || r == '\n' }) {
		if line == "." {
			return true
		}
	}
	return false
}

// FuzzSession: whatever a client sends, the answers are answers, and it does not
// matter how it comes.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"", "\r\n", "EHLO x\r\nQUIT\r\n", opening + "DATA\r\nx\r\n.\r\nQUIT\r\n", opening + "BDAT 3\r\nx\r\nBDAT 0 LAST\r\n", "EHLO x\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\n",
		"EHLO x\r\nAUTH XOAUTH2 =\r\n\r\n", "EHLO x\r\nAUTH OAUTHBEARER\r\n\x00\r\n", "STARTTLS\r\n", "MAIL FROM:<\"\\\r\n", opening + "BDAT 18446744073709551616\r\n",
		"HELO x\nMAIL FROM:<a@b>\n", "\xff\xfe\x00\r\n", opening + "RSET\r\nMAIL FROM:<> SMTPUTF8 RET=FULL ENVID=+\r\n", strings.Repeat("x", 5000) + "\r\nNOOP\r\n",
		"EHLO x\r\nAUTH PLAIN AGEAYg==\t\nMAIL FROM:<> SMTPUTF8 RET=F!LL ENVID=+\r\n", opening + "BDAT 3\r\nabcRSET\r\nBDAT 3 LAST\r\nabc",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 100_000 {
			return
		}
		answers, taken := played(t, bytes.NewReader(in))
		for sc := bufio.NewScanner(strings.NewReader(answers)); sc.Scan(); {
			line := sc.Text()
			if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' || strings.ContainsAny(line, "\x00\r\x7f") {
				t.Fatalf("%q is no answer to %q", line, in)
			}
		}
		if strings.Contains(answers, "421 4.0.0") {
			t.Fatalf("%q made it panic", in)
		}
		if len(in) > 5000 {
			return
		}
		again, takenAgain := played(t, iotest.OneByteReader(bytes.NewReader(in)))
		if classes(again) != classes(answers) || fmt.Sprint(taken) != fmt.Sprint(takenAgain) {
			t.Fatalf("%q is answered by\n%s\nand byte by byte by\n%s", in, answers, again)
		}
	})
}

// classes are the first digits of the answers: of two mistakes in one command the
// library tells either.
func classes(answers string) string {
	var all strings.Builder
	for _, line := range strings.SplitAfter(answers, "\r\n") {
		if len(line) > 3 && line[3] == ' ' {
			all.WriteByte(line[0])
		}
	}
	return all.String()
}
