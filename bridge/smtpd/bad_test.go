package smtpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestBadCommands: what is no command is answered, and does not get far.
func TestBadCommands(t *testing.T) {
	w := newWorld(t, nil)
	for name, script := range map[string]string{
		"rubbish":           "C: \\0\\0\\0\nS: 501\nC: \\xff\\xfe MAIL\nS: 501\nC: FOOBAR\nS: 501\nC: x\nS: 501\nS: 500 5.5.1\nS!",
		"8-bit":             "C: EHLO \\xff\nS: 501\nC: MAIL FROM:<\\xff@example.com>\nS: 501\nC: NOOP\nS: 250",
		"control":           "C: EHLO a\\rb\nS: 501\nC: EHLO \\tx\nS: 250",
		"long line":         "C: " + strings.Repeat("x", 1<<20) + "\nS: 500 5.5.2 Line too long\nC: NOOP\nS: 250",
		"long lines":        strings.Repeat("C: "+strings.Repeat("x", 3000)+"\nS: 500 5.5.2 Line too long\n", 4) + "S!",
		"long greeting":     "C: EHLO " + strings.Repeat("x", 2100) + "\nS: 500 5.5.2\nC: EHLO " + strings.Repeat("x", 1900) + "\nS: 250",
		"long answer":       "C: EHLO x\nS: 250\nC: AUTH LOGIN\nS: 334\nC: " + strings.Repeat("A", 13000) + "\nS: 500 5.5.2\nS!",
		"long password":     "C: EHLO x\nS: 250\nC: AUTH PLAIN " + strings.Repeat("A", 12000) + "\nS: 501 5.5.2",
		"nothing":           "C: \nS: 500 5.5.2\nC: \nS: 500\nC: \nS: 500\nC: \nS: 500\nS: 500\nS!",
		"line feeds":        "C: EHLO x\\nNOOP\\nNOOP\nS: 250\nS: 250\nS: 250",
		"not implemented":   "C: EHLO x\nS: 250\nC: EXPN x\nS: 502\nC: HELP\nS: 502\nC: TURN\nS: 502\nC: VRFY x\nS: 252",
		"unknown parameter": "C: EHLO x\nS: 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235\nC: MAIL FROM:<ann@example.com> X=Y\nS: 500 5.5.4\nC: MAIL FROM:<ann@example.com> BODY=BINARYMIME\nS: 504 5.5.4\nC: MAIL FROM:ann@example.com\nS: 250",
		"for nothing":       "C: " + strings.Repeat(`NOOP\r\n`, 5000) + "NOOP\n" + strings.Repeat("S: 250\n", 5000) + "S: 421 4.7.0\nS!",
		"after QUIT":        "C: QUIT\\r\\nEHLO x\\r\\nMAIL FROM:<a@b>\nS: 221\nS!",
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, w.addr)
			p.play("S: 220\n" + script)
		})
	}
}

// TestPipelining: many commands in one packet are answered one by one, in order
// (RFC 2920).
func TestPipelining(t *testing.T) {
	w := newWorld(t, nil)
	p := dial(t, w.addr)
	raw := headed("pipelined", "x\r\n")
	p.send("EHLO x\r\nAUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\r\nMAIL FROM:<ann@example.com>\r\nRCPT TO:<nobody>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n" + raw + ".\r\nNOOP\r\nrubbish\r\nQUIT\r\n")
	p.play("S: 220\nS: 250\nS: 235\nS: 250\nS: 501\nS: 250\nS: 354\nS: 250 2.0.0 OK: queued\nS: 250\nS: 501\nS: 221\nS!")
	if got := string(w.sent(1)[0].Raw); got != raw {
		t.Errorf("handed on as %q", got)
	}
}

// waits is a world where one wait is short, and no other is over in a test.
func waits(t *testing.T, short func(*times)) *world {
	return newWorld(t, func(s *setup) {
		long := longTimes
		short(&long)
		s.times = &long
	})
}

// TestStrangersGo: who does not log in is let go, however busy.
func TestStrangersGo(t *testing.T) {
	w := waits(t, func(d *times) { d.login = 200 * time.Millisecond })
	p := dial(t, w.addr)
	must(t, p.c.SetDeadline(time.Now().Add(10*time.Second)))
	p.play("S: 220")
	for {
		p.send("NOOP\r\n")
		line, err := p.in.ReadString('\n')
		must(t, err)
		if strings.HasPrefix(line, "421 4.4.2") {
			break
		}
		if !strings.HasPrefix(line, "250") {
			t.Fatalf("NOOP: %q", line)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSilence: who says nothing, or too slowly, is told and let go.
func TestSilence(t *testing.T) {
	const short = 50 * time.Millisecond // for what needs nothing said in time
	told := func(t *testing.T, p *peer) {
		t.Helper()
		all, err := io.ReadAll(p.in)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) { // it closes over what it has not read
			t.Error(err)
		}
		if strings.Contains(string(all), "OK: queued") || !strings.Contains(string(all), "421 4.4.2") && !strings.Contains(string(all), "451 4.3.0") {
			t.Errorf("it hears %q", all)
		}
	}
	begun := func(what string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			p := login(t, w)
			p.send("MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n" + what)
			told(t, p)
		}
	}
	for name, c := range map[string]struct {
		short func(*times)
		run   func(*testing.T, *world)
	}{
		"a stranger": {func(d *times) { d.login = short }, func(t *testing.T, w *world) { dial(t, w.addr).play("S: 220\nS: 421 4.4.2\nS!") }},
		"a challenge": {func(d *times) { d.login = time.Second }, func(t *testing.T, w *world) {
			p := dial(t, w.addr)
			p.send("EHLO x\r\nAUTH LOGIN\r\n")
			told(t, p)
		}},
		"nothing":   {func(d *times) { d.command = short }, func(t *testing.T, w *world) { login(t, w).play("S: 421 4.4.2\nS!") }},
		"a command": {func(d *times) { d.command = time.Second }, begun("NOO")},
		"a message": {func(d *times) { d.data = time.Second }, begun("DATA\r\nx")},
		"a chunk":   {func(d *times) { d.data = time.Second }, begun("BDAT 10\r\nx")},
		"a message that comes too slowly": {func(d *times) { d.message = time.Second }, func(t *testing.T, w *world) {
			p := login(t, w)
			p.play(envelope + "C: DATA\nS: 354")
			letGo(t, p, "x")
		}},
		"TLS that does not begin": {func(d *times) { d.handshake = short }, func(t *testing.T, w *world) {
			p := dial(t, w.tls)
			if b, err := io.ReadAll(p.c); len(b) != 0 || err != nil {
				t.Errorf("who does not begin TLS hears %q, %v", b, err)
			}
		}},
		"STARTTLS that does not begin": {func(d *times) { d.handshake = short }, func(t *testing.T, w *world) {
			for _, instead := range []string{"", "C: what?\n"} {
				dial(t, w.addr).play("S: 220\nC: EHLO x\nS: 250\nC: STARTTLS\nS: 220\n" + instead + "S!")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := waits(t, c.short)
			c.run(t, w)
			if n := len(w.cloud.Sent()); n != 0 || w.waiting() != 0 {
				t.Errorf("%d messages were sent, %d wait", n, w.waiting())
			}
		})
	}
}

// letGo says the same again and again until the connection is ended.
func letGo(t *testing.T, p *peer, what string) {
	t.Helper()
	for {
		if _, err := io.WriteString(p.c, what); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it is not let go")
		} else if err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestNeverReads: who sends and never reads is let go, and costs nobody else
// anything.
func TestNeverReads(t *testing.T) {
	w := waits(t, func(d *times) { d.write = time.Second })
	p := dial(t, w.addr)
	must(t, p.c.(*net.TCPConn).SetReadBuffer(4096))
	// The answers repeat the name, and fill what there is for them before the
	// commands are too many.
	letGo(t, p, strings.Repeat("EHLO "+strings.Repeat("x", 1900)+"\r\n", 50))
	login(t, w).play("C: QUIT\nS: 221")
}

// TestHostile: connections of all bad kinds at once cost little memory, and a
// good one is served meanwhile.
func TestHostile(t *testing.T) {
	w := newWorld(t, nil)
	before := heap()
	var open []net.Conn
	for i := range 200 {
		c, err := net.Dial("tcp", w.addr)
		must(t, err)
		defer c.Close()
		open = append(open, c)
		switch i % 5 {
		case 0: // says nothing
		case 1: // a line without an end
			_, _ = io.WriteString(c, strings.Repeat("x", 200_000))
		case 2: // never reads
			must(t, c.(*net.TCPConn).SetReadBuffer(4096))
			go func() { _, _ = io.WriteString(c, strings.Repeat("EHLO x\r\n", 8_000)) }()
		case 3: // rubbish
			_, _ = c.Write(bytes.Repeat([]byte{0, 255, 13}, 1000))
		case 4: // a message that does not end
			_, _ = io.WriteString(c, opening+"DATA\r\n"+strings.Repeat("x", 60_000))
		}
	}
	if got := submitted(login(t, w), ann, []string{"<bob@example.com>"}, plain); !strings.HasPrefix(got, "250") {
		t.Errorf("the answer is %s", got)
	}
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("%d connections cost %d MiB", len(open), grown>>20)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestConnections: there are no more than are allowed, in all and of an account.
func TestConnections(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.MaxConnections, s.PerAccount = 3, 1 })
	first := login(t, w)
	second := dial(t, w.addr)
	second.play("S: 220\nC: EHLO x\nS: 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 421 4.7.0 Too many connections of this account\nS!")
	enter := func() *peer { // the place of who has left is given back in a moment
		for {
			if p := dial(t, w.addr); strings.HasPrefix(p.reply(), "220") {
				return p
			}
		}
	}
	enter()
	enter()
	dial(t, w.addr).play("S: 421 4.3.2\nS!")
	first.play("C: QUIT\nS: 221\nS!")
	enter().play("C: EHLO x\nS: 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235")
}

// TestRate: an app password submits so many messages a minute.
func TestRate(t *testing.T) {
	now := time.Now()
	w := newWorld(t, func(s *setup) { s.PerMinute, s.Now = 2, func() time.Time { return now } })
	p := login(t, w)
	p.play("C: MAIL FROM:<ann@example.com>\nS: 250\nC: RSET\nS: 250\nC: MAIL FROM:<ann@example.com>\nS: 250\nC: RSET\nS: 250\nC: MAIL FROM:<ann@example.com>\nS: 450 4.7.1 Too many messages, try again in 31 seconds")
	now = now.Add(31 * time.Second)
	p.play("C: MAIL FROM:<ann@example.com>\nS: 250")
}

// TestNoRoom: while the disk is full nothing is taken.
func TestNoRoom(t *testing.T) {
	w := newWorld(t, func(s *setup) {
		s.Room = func(context.Context) error {
			return &mail.Error{Kind: mail.KindOverQuota, Message: "the disk is nearly full"}
		}
	})
	login(t, w).play("C: MAIL FROM:<ann@example.com>\nS: 452 4.2.2 the disk is nearly full")
}

// TestDrain: at the end those that wait are told to go, and a message under way
// is finished.
func TestDrain(t *testing.T) {
	w := newWorld(t, nil)
	idle, busy, slow := login(t, w), login(t, w), dial(t, w.tls)
	busy.play(envelope + "C: DATA\nS: 354\nC: Subject: drained")
	done := make(chan struct{})
	go func() {
		w.stop()
		close(done)
	}()
	idle.play("S: 421 4.3.2\nS!")
	busy.play("C: \\r\\nx\\r\\n.\nS: 250 2.0.0 OK: queued\nS: 421 4.3.2\nS!")
	_ = slow.c.Close()
	<-done
	if _, err := net.Dial("tcp", w.addr); err == nil {
		t.Error("the door is open still")
	}
}

// TestDrainCut: who does not come to an end is cut off when the time is over.
func TestDrainCut(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Grace = 10 * time.Millisecond })
	p := login(t, w)
	p.play(envelope + "C: DATA\nS: 354\nC: Subject: never ends")
	w.stop()
	if got, _ := io.ReadAll(p.in); strings.Contains(string(got), "queued") {
		t.Errorf("%q", got)
	}
}

// TestSpool: a large message is on the disk while it comes, in no words of its
// own, and leaves nothing.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	var all = &newWorld(t, nil).door.spooled
	sp := newSpool(dir, 1<<20, all)
	want := strings.Repeat("these are plain words\r\n", 40_000)
	for rest := want; rest != ""; {
		n := min(len(rest), 1777)
		_, err := io.WriteString(sp, rest[:n])
		must(t, err)
		rest = rest[n:]
	}
	b := make([]byte, len(want))
	n, err := sp.file.ReadAt(b, 0)
	if n != len(want) || err != nil || bytes.Contains(b, []byte("plain words")) || all.Load() != int64(len(want)) {
		t.Errorf("on disk: %d bytes, %v; %d counted", n, err, all.Load())
	}
	r := sp.reader()
	for _, at := range []int64{0, 1, 15, 16, 17, 700_001, int64(len(want))} {
		_, err := r.Seek(at, io.SeekStart)
		must(t, err)
		if got, err := io.ReadAll(r); err != nil || string(got) != want[at:] {
			t.Errorf("from %d: %d bytes, %v", at, len(got), err)
		}
	}
	if _, err := sp.Write(make([]byte, 1<<20)); !errors.Is(err, errTooLarge) {
		t.Errorf("too much: %v", err)
	}
	sp.close()
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) > 0 || all.Load() != 0 {
		t.Errorf("left behind: %q, %d", names, all.Load())
	}
}

// TestSwaks sends by swaks, a mail program for testing, where it is installed:
// over STARTTLS and TLS, by LOGIN and PLAIN.
func TestSwaks(t *testing.T) {
	swaks, err := exec.LookPath("swaks")
	if err != nil {
		t.Logf("swaks is not here; make test-clients has it: %v", err)
		return
	}
	w := newWorld(t, func(s *setup) { s.Cleartext = false })
	file := filepath.Join(t.TempDir(), "message")
	must(t, os.WriteFile(file, []byte(headed("swaks", "by swaks\n.\n")), 0o600))
	for i, args := range [][]string{
		{"--server", w.addr, "-tls", "--auth", "LOGIN"}, {"--server", w.tls, "--tls-on-connect", "--auth", "PLAIN", "--pipeline"},
	} {
		out, err := exec.Command(swaks, append(args, "--from", ann, "--to", fmt.Sprintf("u%d@example.com", i), "--auth-user", ann, "--auth-password", password, "--data", "@"+file)...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	w.sent(2)
}
