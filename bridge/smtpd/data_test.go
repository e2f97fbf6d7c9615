package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// headed is a message that needs nothing added.
func headed(id, body string) string {
	return "From: ann@example.com\r\nTo: bob@example.com\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <" + id + "@client.example>\r\n\r\n" + body
}

const envelope = "C: MAIL FROM:<ann@example.com>\nS: 250\nC: RCPT TO:<bob@example.com>\nS: 250\n"

// TestBytesAsTheyCome: whatever a body is made of is handed on as it is, without
// the dots that were put in front of its lines.
func TestBytesAsTheyCome(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	for i, c := range []struct{ wire, body string }{
		{"hello\r\n", "hello\r\n"},
		{"..\r\n...\r\n.x\r\n", ".\r\n..\r\nx\r\n"},
		{"bare\nline\rends \r\r\n", "bare\nline\rends \r\r\n"},
		{"x\r\r\n", "x\r\r\n"}, // ends the message where CRLF.CRLF is, behind a CR
		{"\r\n\r\n\r\n", "\r\n\r\n\r\n"},
		{"\x00\xff\xfe\x7f\r\n", "\x00\xff\xfe\x7f\r\n"},
		{strings.Repeat("x", 900_000) + "\r\n", strings.Repeat("x", 900_000) + "\r\n"}, // one line
		{strings.Repeat("..\r\n", 20_000), strings.Repeat(".\r\n", 20_000)},
		{"..dot\n.dot\r.dot\r\n", ".dot\n.dot\r.dot\r\n"},
	} {
		id := fmt.Sprint("bytes", i)
		p.play(envelope + "C: DATA\nS: 354")
		p.send(headed(id, c.wire) + ".\r\n")
		p.play("S: 250 2.0.0")
		if got := string(w.sent(i + 1)[i].Raw); got != headed(id, c.body) {
			t.Errorf("%.60q is handed on as %.300q", c.wire, got)
		}
	}
}

// TestOneEnd: a message ends at CRLF.CRLF alone; one that would end elsewhere for
// others is read to that end, and refused, and what is in it is not taken for
// commands.
func TestOneEnd(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	for _, end := range []string{"\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\r\n.\r\r\n"} {
		p.play(envelope + "C: DATA\nS: 354")
		p.send(headed("smuggled", "x"+end+"MAIL FROM:<ann@example.com>\r\nRCPT TO:<eve@example.net>\r\nDATA\r\n\r\n.\r\n"))
		if got := p.reply(); !strings.HasPrefix(got, "554 5.6.0 The message has a line of a dot") {
			t.Errorf("%q: %s", end, got)
		}
		p.play("C: NOOP\nS: 250 2.0.0 I have")
	}
	if n := len(w.cloud.Sent()); n != 0 || w.waiting() != 0 {
		t.Errorf("%d messages were sent, %d wait", n, w.waiting())
	}
}

// TestChunks sends by BDAT (RFC 3030), in all kinds of pieces.
func TestChunks(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.PerMinute = 1000 })
	p := login(t, w)
	raw := headed("chunks", "a line\r\n.\r\n..dots stay\r\nQUIT\r\n\x00no end")
	half := len(raw) / 2
	p.play(envelope)
	p.send(fmt.Sprintf("BDAT %d\r\n%s", half, raw[:half]))
	p.play("S: 250 2.0.0\nC: MAIL FROM:<ann@example.com>\nS: 502 5.5.1\nC: RCPT TO:<eve@example.net>\nS: 502 5.5.1\nC: DATA\nS: 502 5.5.1\nC: NOOP\nS: 250")
	p.send("BDAT 0\r\n")
	p.play("S: 250 2.0.0")
	p.send(fmt.Sprintf("bdat %d last\r\n%s", len(raw)-half, raw[half:]))
	p.play("S: 250 2.0.0 OK: queued as")
	if got := string(w.sent(1)[0].Raw); got != raw {
		t.Errorf("handed on as %q", got)
	}
	// In one, with everything else in the same packet.
	one := headed("chunks2", "x")
	p.send("MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n" + fmt.Sprintf("BDAT %d LAST\r\n%sNOOP\r\n", len(one), one))
	p.play("S: 250\nS: 250\nS: 250 2.0.0 OK: queued\nS: 250 2.0.0 I have")
	if got := string(w.sent(2)[1].Raw); got != one {
		t.Errorf("handed on as %q", got)
	}
	// What is not wanted is read all the same.
	p.play("C: BDAT 6\\r\\nQUIT\nS: 502 5.5.1\nC: NOOP\nS: 250")
	p.play(envelope)
	p.send("BDAT 2000000\r\n" + strings.Repeat("QUIT\r\n", 400_000)[:2_000_000])
	p.play("S: 552 5.3.4\nC: BDAT 4 LAST\\r\\nQU\nS: 502 5.5.1\nC: NOOP\nS: 250")
	// A reset forgets what came.
	p.play(envelope + "C: BDAT 6\\r\\nQUIT\nS: 250\nC: RSET\nS: 250\nC: BDAT 0 LAST\nS: 502 5.5.1\n" + envelope + "C: BDAT 6\\r\\nQUIT\nS: 250\nC: EHLO again.example\nS: 250")
	// Whoever gives up again and again hears of each message what became of it.
	for i := range 100 {
		given := headed(fmt.Sprint("given up ", i), "x")
		p.send("MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n" + fmt.Sprintf("BDAT %d\r\n%sRSET\r\n", len(given), given))
		p.play("S: 250\nS: 250\nS: 250 2.0.0 Continue\nS: 250 2.0.0 Session reset")
	}
	// One chunk too many.
	p.play(envelope + "C: BDAT 6\\r\\nQUIT\nS: 250 2.0.0 Continue")
	p.send("BDAT 1048576 LAST\r\n" + strings.Repeat("QUIT\r\n", 200_000)[:1<<20])
	p.play("S: 552 5.3.4\nC: BDAT 4\\r\\nQU\nS: 502 5.5.1")
	p.play(envelope + "C: BDAT 0 LAST\nS: 250") // nothing at all is a message, too
	w.sent(3)
	// What was given up is none of them, nor will it be.
	if n, more := len(w.cloud.Sent()), w.waiting(); n != 3 || more > 1 { // the last may be about to end
		t.Errorf("%d messages were sent, %d wait", n, more)
	}
	for _, bad := range []string{"BDAT", "BDAT x", "BDAT -1", "BDAT 6 FIRST", "BDAT 6 LAST LAST", "BDAT 99999999999999999999999", "BDAT 5000000000"} {
		p := login(t, w)
		p.play(envelope)
		p.send(bad + "\r\nQUIT\r\n")
		if got := p.reply(); !strings.HasPrefix(got, "5") || p.reply() != "" {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

// TestBrokenOff: a message that the connection breaks off in is no message,
// though its chunk was announced as the last.
func TestBrokenOff(t *testing.T) {
	w := newWorld(t, nil)
	for _, half := range []string{
		"BDAT 1000 LAST\r\n" + headed("broken1", "half of it"),
		"DATA\r\n" + headed("broken2", "half of it\r\n"),
		"DATA\r\n" + headed("broken3", "half of it\r\n."),
		"DATA\r\n" + headed("broken4", "half of it\r\n.\r"),
	} {
		p := login(t, w)
		p.play(envelope)
		p.send(half)
		type halfCloser interface{ CloseWrite() error }
		must(t, p.c.(halfCloser).CloseWrite())
		_, err := io.Copy(io.Discard, p.c) // until we are through with it
		must(t, err)
	}
	w.stop()
	if n := len(w.cloud.Sent()); n != 0 || w.waiting() != 0 {
		t.Errorf("%d messages were sent, %d wait", n, w.waiting())
	}
}

// TestTooLarge: a message past the provider's limit is refused, before it comes
// where that is said, and after it otherwise; the next one is taken.
func TestTooLarge(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.limit = 100_000 })
	p := login(t, w)
	p.play("C: MAIL FROM:<ann@example.com> SIZE=100001\nS: 552 5.3.4\nC: MAIL FROM:<ann@example.com> SIZE=99999999999\nS: 552 5.3.4\nC: MAIL FROM:<ann@example.com> SIZE=99999999999999999999999 BODY=8BITMIME\nS: 552 5.3.4\n" + envelope + "C: DATA\nS: 354")
	p.send(headed("large", strings.Repeat("x\r\n", 1_000_000)) + ".\r\n")
	p.play("S: 552 5.3.4")
	if got := submitted(p, ann, []string{"<bob@example.com>"}, headed("fits", strings.Repeat("x", 99_000)+"\r\n")); !strings.HasPrefix(got, "250") {
		t.Errorf("the answer is %s", got)
	}
	if got := submitted(p, ann, []string{"<bob@example.com>"}, "X: "+strings.Repeat("x", 99_990)+"\r\n\r\n"); !strings.HasPrefix(got, "552 5.3.4") {
		t.Errorf("what does not fit with what is missing: %s", got)
	}
	if w.door.spooled.Load() != 0 {
		t.Errorf("%d bytes are left", w.door.spooled.Load())
	}
}

// TestLargeHeader: a header that is too large is refused.
func TestLargeHeader(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.limit = 4 << 20 })
	p := login(t, w)
	if got := submitted(p, ann, []string{"<bob@example.com>"}, strings.Repeat("X-Filler: "+strings.Repeat("x", 60)+"\r\n", 20_000)+"\r\nx\r\n"); !strings.HasPrefix(got, "552 5.3.4 the message's header") {
		t.Errorf("the answer is %s", got)
	}
}

// TestUnstuff holds the reader of messages against what it is to do, however the
// bytes are split.
func TestUnstuff(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{".", "\r", "\n", "\r\n", "\r\n.", "x", "\r\n.\r"}
	for range 2000 {
		var wire strings.Builder
		for range r.IntN(20) {
			wire.WriteString(alphabet[r.IntN(len(alphabet))])
		}
		s := wire.String()
		if !strings.Contains("\r\n"+s, "\r\n.\r\n") {
			s += "\r\n.\r\n"
		}
		want, used := unstuffed(s)
		for name, in := range map[string]io.Reader{"at once": strings.NewReader(s), "byte by byte": iotest.OneByteReader(strings.NewReader(s))} {
			for _, room := range []int{1, 2, 3, 100} {
				c := fakeConn(in)
				var got bytes.Buffer
				_, err := io.CopyBuffer(&got, struct{ io.Reader }{c.message()}, make([]byte, room))
				if err != nil || got.String() != want || c.message().total != int64(used) {
					t.Fatalf("%q %s, %d at a time: %q, %v, want %q", s, name, room, got.String(), err, want)
				}
				in = strings.NewReader(s)
			}
		}
	}
}

// unstuffed is RFC 5321, 4.5.2, in the plainest words: the message that a stream
// begins with, and how much of the stream it is.
func unstuffed(s string) (message string, used int) {
	end := strings.Index("\r\n"+s, "\r\n.\r\n")
	return strings.ReplaceAll("\r\n"+s[:end], "\r\n.", "\r\n")[2:], end + 3
}
