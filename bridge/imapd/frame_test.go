package imapd

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// TestFrameWrite: the library's responses go out as they are and its answer under
// the client's tag, wherever the library's buffer cuts them and whatever words they
// end with.
func TestFrameWrite(t *testing.T) {
	flags := func(n int) string { return "* FLAGS (" + strings.Repeat("x", n-len("* FLAGS ()")) + ")" }
	for _, first := range []string{"", flags(100), flags(4093), flags(4094), flags(4095), flags(4096), flags(4097), flags(8191), "* OK {5}", "* OK }"} {
		for _, answer := range []string{"OK done", "NO [CANNOT] the provider says {\"error\":{}}", "NO it takes {7}", "NO " + flags(4090), "NO " + flags(4091)} {
			var out bytes.Buffer
			c := &conn{out: wire.NewWriter(&out)}
			f := newFrame(c)
			library := bufio.NewWriter(f)
			f.begun = true
			var want strings.Builder
			ended := 0
			for _, tag := range []string{"c1", "c2"} {
				f.tag, f.end = tag, func(session.Status) { ended++ }
				for _, text := range []string{first, libraryTag + " " + answer} {
					if text == "" {
						continue
					}
					library.WriteString(text)
					library.WriteString("\r\n")
					if err := library.Flush(); err != nil {
						t.Fatal(err)
					}
					if rest, ok := strings.CutPrefix(text, libraryTag); ok {
						text = tag + rest
					}
					want.WriteString(text + "\r\n")
				}
				if c.out.Flush(); !bytes.Equal(out.Bytes(), []byte(want.String())) {
					t.Fatalf("%.30q and %.30q: sent %.200q", first, answer, out.Bytes()[max(0, out.Len()-200):])
				}
				if said, err := c.out.Interject("* OK Still here"); !said || err != nil {
					t.Errorf("%.30q and %.30q: a response is taken for one that goes on", first, answer)
				}
				want.WriteString("* OK Still here\r\n")
			}
			if ended != 2 {
				t.Errorf("%.30q and %.30q: %d ends", first, answer, ended)
			}
		}
	}
}

// TestUIDAppend: there is no such command, and the message that it brings is none
// either.
func TestUIDAppend(t *testing.T) {
	w := newWorld(t)
	p := w.dial().login()
	p.send("a UID APPEND INBOX {14+}\r\nx CREATE evil\r\n\r\nb NOOP\r\n")
	p.says("a BAD", p.until("a "))
	p.says("b OK", p.until("b "))
	p.send("c UID APPEND INBOX {14}\r\nd NOOP\r\n")
	p.says("c BAD", p.until("c "))
	p.says("d OK", p.until("d "))
}

// TestLongPatterns: a name is compared with so many bytes and no more, be they one
// pattern's, or those of some, or the reference's.
func TestLongPatterns(t *testing.T) {
	p := newWorld(t).dial().login()
	half := strings.Repeat("*%", maxPattern/4)
	p.ok(`a LIST "" ` + half)
	p.says("b BAD", p.do(`b LIST "" (`+half+" "+half+" %)"))
	p.says("c BAD", p.do(`c LIST "`+half+half+`" *`))
	p.says("d BAD", p.do(`d LSUB "`+half+`" `+half+"*"))
	p.ok(`e LIST "" (INBOX)`)
}
