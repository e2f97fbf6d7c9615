package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"
)

// TestRevoked: who may not be here any more is told so and put out at once,
// whatever it was at, and what it had begun is not sent.
func TestRevoked(t *testing.T) {
	w := newWorld(t, nil)
	at := map[string]*peer{}
	for name, begun := range map[string]string{
		"nothing": "", "a command": "C: MAIL FROM:<ann@example.com>\nS: 250", "a message": envelope + "C: DATA\nS: 354\nC: Subject: begun",
		"a chunk": envelope + "C: BDAT 100\nC: Subject: begun", "chunks": envelope + "C: BDAT 9\nC: Subject\nS: 250",
	} {
		p := login(t, w)
		if begun != "" {
			p.play(begun)
		}
		at[name] = p
	}
	at["a line"] = login(t, w)
	at["a line"].send("NOO")
	for name, addr := range map[string]string{"TLS": w.tls, "STARTTLS": w.addr} {
		p := dial(t, addr)
		if name == "STARTTLS" {
			p.play("S: 220\nC: EHLO x\nS: 250\nC: STARTTLS\nS: 220")
		}
		p.c = tls.Client(p.c, w.trust())
		p.in = bufio.NewReader(p.c)
		if name == "TLS" {
			p.play("S: 220")
		}
		p.play("C: EHLO x\nS: 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235")
		at[name] = p
	}
	close(w.revoked)
	for name, p := range at {
		if all, err := io.ReadAll(p.in); string(all) != lastWord+"\r\n" || err != nil {
			t.Errorf("at %s: %q, %v", name, all, err)
		}
	}
	if n := len(w.cloud.Sent()); n != 0 || w.waiting() != 0 {
		t.Errorf("%d messages were sent, %d are to be", n, w.waiting())
	}
	// It does not come in again as it was.
	dial(t, w.addr).play("S: 220\nC: EHLO x\nS: 250\nC: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235\nS: 421 4.7.0\nS!")
}

// TestRevokedSending: a program that sends on for longer than any buffer hears
// why, too.
func TestRevokedSending(t *testing.T) {
	for _, with := range []string{"DATA", "BDAT 16000000 LAST"} {
		w := newWorld(t, func(s *setup) { s.limit = 64 << 20 })
		p := login(t, w)
		p.play(envelope)
		p.send(with + "\r\n")
		if with == "DATA" {
			p.play("S: 354")
		}
		line := strings.Repeat("x", 998) + "\r\n"
		p.send(line)
		close(w.revoked)
		for range 16_000_000/len(line) - 1 {
			p.send(line)
		}
		if with == "DATA" {
			p.send(".\r\n")
		}
		p.play("S: 421 4.7.0\nS!")
		if n := len(w.cloud.Sent()); n != 0 || w.waiting() != 0 {
			t.Errorf("%s: %d messages were sent, %d are to be", with, n, w.waiting())
		}
	}
}

// TestRevokedWaiting: a message that is on disk while its provider takes its
// time is answered first, and sent.
func TestRevokedWaiting(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Wait = time.Hour })
	asked, goOn := make(chan struct{}, 8), make(chan struct{})
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "send" {
			asked <- struct{}{}
			<-goOn
		}
		return nil
	})
	p := login(t, w)
	p.play(envelope + "C: DATA\nS: 354\nC: Subject: kept\\r\\n\\r\\nx\\r\\n.")
	<-asked
	close(w.revoked)
	p.play("S: 250 2.0.0 OK: queued\nS: 421 4.7.0\nS!")
	close(goOn)
	w.sent(1)
}

// TestRevokedDeaf: who does not go is cut off.
func TestRevokedDeaf(t *testing.T) {
	w := newWorld(t, func(s *setup) {
		long := longTimes
		long.farewell = time.Second // within which the last word is said
		s.times = &long
	})
	p := login(t, w)
	close(w.revoked)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		w.door.mu.Lock()
		left := w.door.conns
		w.door.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is here still")
		}
	}
	if all, _ := io.ReadAll(p.in); string(all) != lastWord+"\r\n" {
		t.Errorf("it hears %q", all)
	}
}
