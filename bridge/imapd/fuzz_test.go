package imapd

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// complaints counts what is logged as an error: panics, and what the library
// did not expect.
type complaints struct {
	n    atomic.Int64
	last atomic.Value
}

func (c *complaints) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (c *complaints) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c *complaints) WithGroup(string) slog.Handler                { return c }

func (c *complaints) Handle(_ context.Context, r slog.Record) error {
	c.n.Add(1)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	c.last.Store(text)
	return nil
}

// talk sends everything, in pieces, closes its end and gives all that comes.
func (w *world) talk(t testing.TB, b []byte, piece func() int) []byte {
	c, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for len(b) > 0 {
			n := min(piece(), len(b))
			if _, err := c.Write(b[:n]); err != nil {
				return // the server hung up, as it may
			}
			b = b[n:]
		}
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	<-sent
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the server does not end: %v after %q", err, got)
	}
	return got
}

// FuzzConversation sends what may be anything behind a login. Nothing panics,
// what comes are responses, and they are the same however the bytes are split.
func FuzzConversation(f *testing.F) {
	var log complaints
	w := newWorld(f, func(w *world, o *Options) { w.readers, o.Log = true, slog.New(&log) })
	w.letters(3)
	for _, seed := range []string{
		"a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY.PEEK[]<0.10>)\r\nc UID SEARCH RETURN (ALL) OR FROM bob NOT SEEN\r\nd LOGOUT\r\n",
		"a EXAMINE \"INBOX\"\r\nb STORE 1 +FLAGS (\\Seen)\r\nc COPY 1:2 Trash\r\nd UID MOVE 1 {5+}\r\nTrash\r\ne EXPUNGE\r\nf CLOSE\r\n",
		"a LIST (SUBSCRIBED) \"\" (\"*\" \"%\") RETURN (STATUS (MESSAGES SIZE) CHILDREN)\r\nb LSUB \"\" *\r\nc STATUS INBOX (MESSAGES)\r\n",
		"a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {5+}\r\nhello\r\nb NOOP\r\n\r\n\r\nc CREATE x\r\nd RENAME x y\r\n",
		"a IDLE\r\nrubbish\r\nb IDLE\r\nDONE\r\nc ENABLE UTF8=ACCEPT\r\nd SELECT \"\xc3\xa9\"\r\ne ID (\"name\" NIL)\r\nf NAMESPACE\r\n",
		"a LIST \"\" {5000+}\r\nzz CREATE injected\r\n", "\x00\xff\r\na SELECT INBOX\r\nb FETCH 1:3 (ENVELOPE BODYSTRUCTURE BINARY[1] RFC822.SIZE)\r\n",
		"T OK\r\nT NOOP\r\n] NOOP\r\na] NOOP\r\na UNAUTHENTICATE\r\nb STARTTLS\r\nc LOGIN x y\r\n",
	} {
		f.Add([]byte(seed), uint64(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		stream := append([]byte("l LOGIN "+ann+" "+secret+"\r\n"), b...)
		before := log.n.Load()
		whole := w.talk(t, stream, func() int { return 1 << 20 })
		split := w.talk(t, stream, func() int {
			seed = seed*6364136223846793005 + 1442695040888963407
			return int(seed>>33%97) + 1
		})
		if log.n.Load() != before {
			t.Errorf("logged: %v", log.last.Load())
		}
		if d := cmp.Diff(string(whole), string(split)); d != "" {
			t.Errorf("split otherwise it answers otherwise: %s", d)
		}
		in := newLines(bytes.NewReader(whole))
		for {
			line, err := in.line()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in %q", err, whole)
			}
			tag, rest, ok := strings.Cut(line, " ")
			if !ok || tag == "" || tag != "*" && tag != "+" && !strings.HasPrefix(rest, "OK ") && !strings.HasPrefix(rest, "NO ") && !strings.HasPrefix(rest, "BAD ") {
				t.Errorf("%q is no response", line)
			}
		}
	})
}
