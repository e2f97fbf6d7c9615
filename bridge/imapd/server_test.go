package imapd

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// gone waits for the server's close, and gives what it said before.
func (p *peer) gone() []string {
	p.t.Helper()
	var all []string
	for {
		line, err := p.line()
		if err != nil {
			if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
				p.t.Errorf("after %q: %v", all, err)
			}
			return all
		}
		all = append(all, line)
	}
}

func (p *peer) says(what string, lines []string) {
	p.t.Helper()
	if len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], what) {
		p.t.Errorf("got %q, want %q at the end", lines, what)
	}
}

func TestConnectionCaps(t *testing.T) {
	w := newWorld(t, func(_ *world, o *Options) { o.MaxConnections, o.MaxPerAccount = 4, 2 })
	a, b := w.dial().login(), w.dial().login()
	c := w.dial()
	c.until("* OK")
	c.says("l NO [LIMIT]", c.do("l LOGIN "+ann+" "+secret))
	c.gone()
	// A place is free again once the connection is gone, which the server may
	// see after we do.
	a.ok("x LOGOUT")
	a.gone()
	for {
		d := w.dial()
		d.until("* OK")
		if got := d.do("l LOGIN " + ann + " " + secret); strings.HasPrefix(got[len(got)-1], "l OK") {
			break
		}
	}
	b.ok("n NOOP")
	var all []*peer
	for {
		p := w.dial()
		all = append(all, p)
		line, err := p.line()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "* BYE [UNAVAILABLE]") {
			break
		}
		if len(all) > 4 {
			t.Fatal("there are more connections than there may be")
		}
	}
	b.ok("n NOOP")
}

func TestTimeouts(t *testing.T) {
	early := newWorld(t, func(_ *world, o *Options) { o.LoginTimeout = 200 * time.Millisecond })
	silent := early.dial()
	silent.says("* BYE", silent.gone())
	w := newWorld(t, func(_ *world, o *Options) {
		o.CommandTimeout, o.IdleTimeout = 300*time.Millisecond, time.Second
	})
	half := w.dial().login()
	half.send("a SEL")
	half.says("* BYE nothing was heard", half.gone())
	idle := w.dial().login()
	idle.says("* BYE nothing was heard", idle.gone())
	idling := w.dial().login()
	idling.send("a IDLE\r\n")
	idling.says("* BYE nothing was heard", idling.gone())
	literal := w.dial().login()
	literal.send("a APPEND INBOX {100+}\r\nhalf of")
	literal.says("* BYE nothing was heard", literal.gone())
}

// waiting is a provider that gives a message's bytes when it is released.
type waiting struct {
	provider.Provider
	asked, released chan struct{}
}

func (p waiting) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	if req.Mode == provider.FetchRaw {
		p.asked <- struct{}{}
		select {
		case <-p.released:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.Provider.Fetch(ctx, req, sink)
}

// slow is a world whose provider gives no bytes while the test runs.
func slow(t *testing.T, change ...func(*world, *Options)) (*world, waiting) {
	p := waiting{asked: make(chan struct{}, 10), released: make(chan struct{})}
	w := newWorld(t, append(change, func(w *world, _ *Options) {
		w.Front = func(real provider.Provider) provider.Provider { p := p; p.Provider = real; return p }
	})...)
	t.Cleanup(func() { close(p.released) })
	w.letters(2)
	return w, p
}

// left waits until the server has n connections.
func (w *world) left(n int) {
	w.t.Helper()
	for {
		w.server.mu.Lock()
		have := len(w.server.conns)
		w.server.mu.Unlock()
		if have == n {
			return
		}
		if w.t.Context().Err() != nil {
			w.t.Fatalf("there are %d connections, not %d", have, n)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestClientThatLeavesEndsItsCommand(t *testing.T) {
	for name, leave := range map[string]func(net.Conn) error{
		"closes": func(c net.Conn) error { return c.Close() },
		"resets": func(c net.Conn) error {
			return errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, slow := slow(t)
			p, other := w.dial().login(), w.dial().login()
			p.ok("s SELECT INBOX")
			p.send("a FETCH 1 BODY.PEEK[]\r\n")
			<-slow.asked
			other.ok("n SELECT INBOX") // nobody else waits
			other.ok("n FETCH 1:2 (FLAGS)")
			if err := leave(p.Conn); err != nil {
				t.Fatal(err)
			}
			w.left(1)
		})
	}
}

func TestStillHere(t *testing.T) {
	w, slow := slow(t, func(_ *world, o *Options) { o.StillHere = 10 * time.Millisecond })
	p := w.dial().login()
	p.ok("s SELECT INBOX")
	p.send("a FETCH 1 BODY.PEEK[]\r\n")
	<-slow.asked
	for range 3 {
		p.until("* OK Still here")
	}
}

func TestRevocation(t *testing.T) {
	w, slow := slow(t)
	idle, idling, busy := w.dial().login(), w.dial().login(), w.dial().login()
	idling.send("a IDLE\r\n")
	idling.until("+ ")
	busy.ok("s SELECT INBOX")
	busy.send("a FETCH 1 BODY.PEEK[]\r\n")
	<-slow.asked
	close(w.revoked)
	for _, p := range []*peer{idle, idling, busy} {
		p.says("* BYE the password was revoked", p.gone())
	}
	w.left(0)
}

// TestHalfClosed plays a script that writes everything, closes its end and then
// reads.
func TestHalfClosed(t *testing.T) {
	w := newWorld(t)
	w.letters(1)
	p := w.dial()
	p.send("a LOGIN " + ann + " " + secret + "\r\nb SELECT INBOX\r\nc FETCH 1 (BODY.PEEK[])\r\nd LOGOUT\r\n")
	if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(p.gone(), "\n")
	for _, want := range []string{"\nb OK", "This is letter 1.", "\nc OK", "\nd OK"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in %q", want, all)
		}
	}
}

func TestClientThatNeverReads(t *testing.T) {
	w := newWorld(t, func(_ *world, o *Options) { o.WriteTimeout = 200 * time.Millisecond })
	w.deliver([]byte("Subject: large\r\n\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 1000)))
	other := w.dial().login()
	other.ok("s SELECT INBOX")
	other.ok("f FETCH 1 BODY.PEEK[]")
	p := w.dial().login()
	p.ok("s SELECT INBOX")
	// Some hundred megabytes are asked for and none is taken: the server's
	// write comes to its deadline, and what is written to it then fails.
	for {
		if _, err := io.WriteString(p.Conn, "a FETCH 1 BODY.PEEK[]\r\n"); err != nil {
			break
		}
	}
	other.ok("n NOOP")
}

func TestSTARTTLSTakesNothingAlong(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.until("* OK")
	p.send("a STARTTLS\r\nb LOGIN " + ann + " " + secret + "\r\n")
	for _, line := range p.gone() {
		if strings.HasPrefix(line, "b ") || strings.HasPrefix(line, "a OK") {
			t.Errorf("what came in the clear was taken along: %q", line)
		}
	}
}

func TestMechanisms(t *testing.T) {
	w := newWorld(t)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tt := range map[string]struct {
		command string
		answers []string
		want    string
	}{
		"PLAIN at once":       {"a AUTHENTICATE PLAIN " + b64("\x00"+ann+"\x00"+secret), nil, "a OK [CAPABILITY "},
		"PLAIN":               {"a AUTHENTICATE plain", []string{b64("\x00" + ann + "\x00" + secret)}, "a OK [CAPABILITY "},
		"PLAIN for oneself":   {"a AUTHENTICATE PLAIN", []string{b64(ann + "\x00" + ann + "\x00" + secret)}, "a OK [CAPABILITY "},
		"PLAIN for another":   {"a AUTHENTICATE PLAIN", []string{b64("bob\x00" + ann + "\x00" + secret)}, "a NO [AUTHORIZATIONFAILED] "},
		"PLAIN wrong":         {"a AUTHENTICATE PLAIN", []string{b64("\x00" + ann + "\x00no")}, "a NO [AUTHENTICATIONFAILED] "},
		"PLAIN of nothing":    {"a AUTHENTICATE PLAIN =", nil, "a BAD "},
		"PLAIN cancelled":     {"a AUTHENTICATE PLAIN", []string{"*"}, "a BAD "},
		"PLAIN not in base64": {"a AUTHENTICATE PLAIN", []string{"%%%"}, "a BAD "},
		"PLAIN without end":   {"a AUTHENTICATE PLAIN", []string{strings.Repeat("x", 20000)}, "a BAD "},
		"LOGIN":               {"a AUTHENTICATE LOGIN", []string{b64(ann), b64(secret)}, "a OK [CAPABILITY "},
		"OAUTHBEARER":         {"a AUTHENTICATE OAUTHBEARER " + b64("n,a="+ann+",\x01host=x\x01auth=Bearer "+secret+"\x01\x01"), nil, "a OK [CAPABILITY "},
		"OAUTHBEARER wrong":   {"a AUTHENTICATE OAUTHBEARER " + b64("n,a="+ann+",\x01auth=Bearer no\x01\x01"), []string{"AQ=="}, "a NO [AUTHENTICATIONFAILED] "},
		"XOAUTH2":             {"a AUTHENTICATE XOAUTH2 " + b64("user="+ann+"\x01auth=Bearer "+secret+"\x01\x01"), nil, "a OK [CAPABILITY "},
		"XOAUTH2 wrong":       {"a AUTHENTICATE XOAUTH2", []string{b64("user=" + ann + "\x01auth=Bearer no\x01\x01"), ""}, "a NO [AUTHENTICATIONFAILED] "},
		"unknown":             {"a AUTHENTICATE CRAM-MD5", nil, "a NO [CANNOT] "},
		"dead grant":          {"a LOGIN gone@example.com x", nil, "a NO [UNAVAILABLE] "},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.dial()
			p.until("* OK")
			p.send(tt.command + "\r\n")
			for _, a := range tt.answers {
				p.until("+ ")
				p.send(a + "\r\n")
			}
			p.says(tt.want, p.until("a "))
		})
	}
}

func TestReadersAndMasks(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Options) {
		w.readers, w.hidden = true, []string{"IDLE", "APPENDLIMIT", "utf8=accept"}
	})
	w.letters(1)
	p := w.dial()
	p.until("* OK")
	caps := p.ok("l LOGIN " + ann + " " + secret)[0]
	if strings.Contains(caps, "IDLE") || strings.Contains(caps, "APPENDLIMIT") || strings.Contains(caps, "UTF8") || !strings.Contains(caps, "MOVE") {
		t.Errorf("the mask is not heeded: %q", caps)
	}
	if got := p.ok("e ENABLE UTF8=ACCEPT IMAP4rev2"); strings.TrimSpace(got[0]) != "* ENABLED IMAP4rev2" {
		t.Errorf("ENABLE of what is hidden: %q", got)
	}
	p.says("s OK [READ-ONLY] SELECT completed", p.do("s SELECT INBOX"))
	p.says("a NO", p.do(`a STORE 1 +FLAGS (\Seen)`))
	p.says("b NO", p.do("b APPEND INBOX {2+}\r\nhi"))
}

// TestChildInfo: with RECURSIVEMATCH a name says which of the options asked for one
// below it meets (RFC 9051, 6.3.9.6), whether it meets them itself or not.
func TestChildInfo(t *testing.T) {
	w := newWorld(t)
	w.sync()
	w.run()
	p := w.dial().login()
	is := func(command, want string) {
		t.Helper()
		if got := p.ok(command); len(got) != 2 || got[0] != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	p.ok("a CREATE Work/Old")
	is(`b LIST (RECURSIVEMATCH SUBSCRIBED) "" Wor%`, `* LIST (\HasChildren \Subscribed) "/" Work (CHILDINFO ("SUBSCRIBED"))`)
	p.ok("c UNSUBSCRIBE Work")
	is(`d LIST (RECURSIVEMATCH SUBSCRIBED) "" Wor%`, `* LIST (\HasChildren) "/" Work (CHILDINFO ("SUBSCRIBED"))`)
	p.ok("e UNSUBSCRIBE Work/Old")
	if all := p.ok(`f LIST (RECURSIVEMATCH SUBSCRIBED) "" Wor%`); len(all) != 1 {
		t.Errorf("listed for nothing: %q", all)
	}
}

// TestManyPatterns: LIST compares names with so many patterns and no more.
func TestManyPatterns(t *testing.T) {
	w := newWorld(t)
	p := w.dial().login()
	p.ok("a LIST \"\" (" + strings.TrimSpace(strings.Repeat("% ", maxPatterns)) + ")")
	p.says("b BAD", p.do("b LIST \"\" ("+strings.TrimSpace(strings.Repeat("% ", maxPatterns+1))+")"))
	p.says("c BAD", p.do("c LIST \"\" "+strings.Repeat("%*", maxPattern)))
}

// TestRefusedEnable: what was refused is not on, or a program that did not ask
// for it would be answered in IMAP4rev2's words.
func TestRefusedEnable(t *testing.T) {
	w := newWorld(t)
	w.letters(1)
	p := w.dial().login()
	p.says("a BAD", p.do("a ENABLE IMAP4rev2 ("))
	p.ok("b SELECT INBOX")
	p.says("c BAD", p.do("c ENABLE IMAP4rev2"))
	if got := p.ok("d SEARCH ALL"); strings.TrimSpace(got[0]) != "* SEARCH 1" {
		t.Errorf("SEARCH of IMAP4rev1: %q", got)
	}
}

// TestDeletedMailbox: whoever has it open is told BYE, by any way there is.
func TestDeletedMailbox(t *testing.T) {
	for name, ask := range map[string]string{"IDLE": "", "NOOP": "a NOOP\r\n", "LIST": "a LIST \"\" *\r\n", "FETCH": "a UID FETCH 1:* (FLAGS)\r\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.run()
			p, other := w.dial().login(), w.dial().login()
			other.ok("c CREATE Brief")
			p.ok("s SELECT Brief")
			if ask == "" {
				p.send("i IDLE\r\n")
				p.until("+ ")
			}
			other.ok("d DELETE Brief")
			w.sync()
			p.send(ask)
			p.says("* BYE The mailbox was deleted", p.gone())
		})
	}
}

// TestAnswerBeforeBye: who has changed something is told so though its mailbox is
// gone meanwhile, or it would do it again.
func TestAnswerBeforeBye(t *testing.T) {
	w := newWorld(t)
	w.run()
	p, other := w.dial().login(), w.dial().login()
	other.ok("c CREATE Brief")
	p.ok("s SELECT Brief")
	other.ok("d DELETE Brief")
	w.sync()
	p.send("a APPEND INBOX {9+}\r\nA: b\r\n\r\nx\r\n")
	got := p.gone()
	if n := len(got); n < 2 || !strings.HasPrefix(got[n-2], "a OK [APPENDUID ") {
		t.Errorf("APPEND: %q", got)
	}
	p.says("* BYE The mailbox was deleted", got)
}

// TestAppendCutShort: a message that did not come whole is no message.
func TestAppendCutShort(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		read bool // what is answered
	}{
		"client leaves":     {"a APPEND INBOX {1000+}\r\nSubject: half", false},
		"argument is wrong": {"a APPEND INBOX (\\*) {15+}\r\nSubject: half\r\n\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial().login()
			p.send(tt.text)
			if tt.read {
				p.says("a BAD", p.until("a "))
			}
			w.must(p.Close())
			w.left(0)
			list, err := w.cloud.Messages(ann)
			w.must(err)
			if len(list) != 0 {
				t.Errorf("there are %d messages", len(list))
			}
		})
	}
}

// TestImplicitTLS: whoever does not speak TLS gets nothing, and holds up nobody.
func TestImplicitTLS(t *testing.T) {
	w := newWorld(t, func(_ *world, o *Options) { o.Cleartext, o.LoginTimeout = false, 3*time.Second })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, l, true) }()
	silent, rubbish := dial(t, l.Addr().String()), dial(t, l.Addr().String())
	rubbish.send("a LOGIN " + ann + " " + secret + "\r\n")
	p := dial(t, l.Addr().String())
	p.secure(w.roots)
	if line := p.until("* OK")[0]; strings.Contains(line, "STARTTLS") || !strings.Contains(line, "AUTH=PLAIN") {
		t.Errorf("it greets with %q", line)
	}
	p.says("s BAD", p.do("s STARTTLS"))
	p.ok("l LOGIN " + ann + " " + secret)
	p.ok("a SELECT INBOX")
	for _, c := range []*peer{silent, rubbish} {
		b, err := io.ReadAll(c.Conn)
		if strings.Contains(string(b), "OK") || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("in the clear it says %q, %v", b, err)
		}
	}
	p.ok("b NOOP")
	other := w.dial() // of another listener
	other.until("* OK")
	cancel()
	p.says("* BYE the server is shutting down", p.gone())
	if err := <-served; err != nil {
		t.Error(err)
	}
	other.ok("a NOOP")
}

// tickets is a client's cache of TLS sessions that counts those it is sent.
type tickets struct {
	tls.ClientSessionCache
	n atomic.Int64
}

func (t *tickets) Put(key string, s *tls.ClientSessionState) {
	if s != nil {
		t.n.Add(1)
	}
	t.ClientSessionCache.Put(key, s)
}

// TestNoTickets: after the handshake the server says nothing until it is asked.
func TestNoTickets(t *testing.T) {
	w := newWorld(t, func(_ *world, o *Options) { o.Cleartext = false })
	p := w.dial()
	p.until("* OK")
	p.ok("s STARTTLS")
	cache := &tickets{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	c := tls.Client(p.Conn, &tls.Config{RootCAs: w.roots, ServerName: "localhost", ClientSessionCache: cache})
	p.Conn, p.lines = c, newLines(c)
	p.ok("c CAPABILITY")
	if n := cache.n.Load(); n != 0 {
		t.Errorf("it sent %d session tickets", n)
	}
}

// TestWithoutCertificate: there is no TLS to be had, and none is promised.
func TestWithoutCertificate(t *testing.T) {
	w := newWorld(t, func(_ *world, o *Options) { o.Certificate = nil })
	p := w.dial()
	if line := p.until("* OK")[0]; strings.Contains(line, "STARTTLS") {
		t.Errorf("it greets with %q", line)
	}
	p.says("s BAD", p.do("s STARTTLS"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	if err := w.server.Serve(t.Context(), l, true); err == nil {
		t.Error("it serves TLS without a certificate")
	}
}
