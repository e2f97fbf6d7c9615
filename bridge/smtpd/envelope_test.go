package smtpd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// submitted sends a message to recipients in one go, and gives the answer to it.
func submitted(p *peer, from string, to []string, raw string) string {
	p.t.Helper()
	p.play("C: MAIL FROM:<" + from + ">\nS: 250 2.0.0")
	for _, r := range to {
		p.play("C: RCPT TO:" + r + "\nS: 250 2.0.0")
	}
	p.play("C: DATA\nS: 354")
	p.send(strings.ReplaceAll("\r\n"+raw, "\r\n.", "\r\n..")[2:])
	p.send(".\r\n")
	return p.reply()
}

const plain = "From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: hello\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\nMessage-ID: <one@client.example>\r\n\r\nhello\r\n"

// TestEnvelopeDecides: who is in the envelope gets the message, and nobody else.
// What of the header is not about that stays as it is.
func TestEnvelopeDecides(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	const head, rest = "From: Ann <ann@example.com>\r\n", "Date: Mon, 02 Jan 2006 15:04:05 +0000\r\nX-Odd:   kept  \r\n\tfolded\r\n\r\n.dot\r\nno end"
	for i, c := range []struct {
		to     []string
		header string
		want   string // header lines as they are handed on
		rcpts  []string
	}{
		{[]string{"<bob@example.com>"}, "To: bob@example.com\r\n", "To: bob@example.com\r\n", []string{bob}},
		{[]string{"<bob@example.com>", "<eve@example.net>"}, "To: bob@example.com\r\n", "To: bob@example.com\r\n", []string{bob, eve}},
		{[]string{"<eve@example.net>"}, "To: bob@example.com\r\nCc: Eve <eve@example.net>\r\n", "To: bob@example.com\r\nCc: Eve <eve@example.net>\r\n", []string{eve}},
		{[]string{"<bob@example.com>"}, "To: bob@example.com\r\nBcc: eve@example.net\r\n", "To: bob@example.com\r\n", []string{bob}},
		{[]string{"<bob@example.com>"}, "bcc : eve@example.net,\r\n x@example.net\r\nTo: bob@example.com\r\n", "To: bob@example.com\r\n", []string{bob}},
		{[]string{"<bob@example.com>", "<BOB@example.com>", "<bob@example.com>"}, "To: friends: bob@example.com, eve@example.net;\r\n", "To: friends: bob@example.com, eve@example.net;\r\n", []string{bob}},
		{[]string{"<bob@example.com>"}, "To: undisclosed-recipients:;\r\n", "To: undisclosed-recipients:;\r\n", []string{bob}},
		{[]string{`<"a b"@example.com>`, "<@relay.example:bob@example.com>"}, "", "", []string{"a b@example.com", bob}},
	} {
		id := fmt.Sprintf("Message-ID: <env%d@client.example>\r\n", i)
		raw := head + c.header + id + rest + "\r\n"
		if got := submitted(p, ann, c.to, raw); !strings.HasPrefix(got, "250 2.0.0 OK: queued as s") {
			t.Errorf("%d: %s", i, got)
			continue
		}
		sent := w.sent(i + 1)[i]
		if want := head + c.want + id + rest + "\r\n"; string(sent.Raw) != want || !slices.Equal(sent.Recipients, c.rcpts) || sent.From != ann {
			t.Errorf("%d: sent from %s to %q:\n%q, want to %q:\n%q", i, sent.From, sent.Recipients, sent.Raw, c.rcpts, want)
		}
	}
}

// TestWhatIsMissing: Message-ID, Date and From come first, and the rest stays.
func TestWhatIsMissing(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	for i, c := range []struct{ from, raw, keeps, begins string }{
		{ann, "Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n", ""},
		{"sales@example.com", "Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n", "From: <sales@example.com>\r\n"},
		{ann, "just words\r\n", "\r\njust words\r\n", "From: \"Ann\" <ann@example.com>\r\n"},
		{ann, "\r\nbody\r\n", "\r\nbody\r\n", ""},
		{ann, "Subject: only a header\r\n", "Subject: only a header\r\n", ""},
		{"", "From: ann@example.com\r\nMessage-ID:\r\nSubject: x\r\n\r\nbody\r\n", "From: ann@example.com\r\nSubject: x\r\n\r\nbody\r\n", ""},
		{ann, "", "\r\n", ""},
	} {
		if got := submitted(p, c.from, []string{"<bob@example.com>"}, c.raw); !strings.HasPrefix(got, "250") {
			t.Errorf("%q: %s", c.raw, got)
			continue
		}
		got := string(w.sent(i + 1)[i].Raw)
		if !strings.HasSuffix(got, c.keeps) || !strings.HasPrefix(got, c.begins) || strings.Count(got, "From: ") != 1 ||
			strings.Count(got, "Message-Id: <") != 1 || strings.Count(got, "Date: ") != 1 {
			t.Errorf("%q is sent as %q", c.raw, got)
		}
	}
}

// TestSenders: MAIL FROM and whom the message is from are held against what the
// account may send from, unless that is left to the provider.
func TestSenders(t *testing.T) {
	strict, relaxed := newWorld(t, nil), newWorld(t, func(s *setup) { s.Relaxed = true })
	for _, from := range []string{"eve@example.net", "ann@example.com.evil.example"} {
		login(t, strict).play("C: MAIL FROM:<" + from + ">\nS: 550 5.7.60 the account may not send")
		login(t, relaxed).play("C: MAIL FROM:<" + from + ">\nS: 250 2.0.0")
	}
	p := login(t, strict)
	for header, want := range map[string]string{
		"From: sales@example.com":                                       "250 2.0.0",
		"From: ANN@EXAMPLE.COM":                                         "250 2.0.0",
		"From: ann@example.com\r\nSender: sales@example.com":            "250 2.0.0",
		"From: eve@example.net":                                         "550 5.7.60",
		"From: ann@example.com, eve@example.net":                        "550 5.7.60",
		"From: \"ann@example.com\" <eve@example.net>":                   "550 5.7.60",
		"From: ann@example.com\r\nFrom: sales@example.com":              "554 5.6.0",
		"From: ann@example.com\r\nSender: eve@example.net":              "550 5.7.60",
		"From: <<ann@example.com>>":                                     "554 5.6.0",
		"From: ":                                                        "554 5.6.0",
		"From: ann@example.com\r\nSubject: x\rBcc: eve@example.net":     "554 5.6.0",
		"From: ann@example.com\r\nno field\r\nBcc: eve@example.net":     "554 5.6.0",
		"From: ann@example.com\r\nSubject: \x00":                        "554 5.6.0",
		"From: ann@example.com\r\nFrom : eve@example.net":               "550 5.7.60",
		"From: sales@example.com\r\nX: " + strings.Repeat("x", 100_000): "250 2.0.0",
	} {
		if got := submitted(p, "", []string{"<bob@example.com>"}, header+"\r\n\r\nx\r\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%.100q: %s", header, got)
		}
	}
	n := len(relaxed.cloud.Sent())
	if got := submitted(login(t, relaxed), eve, []string{"<bob@example.com>"}, "From: eve@example.net\r\n\r\nx\r\n"); !strings.HasPrefix(got, "250") {
		t.Errorf("relaxed: %s", got)
	}
	relaxed.sent(n + 1)
}

// TestRecipients: what is no address, and who is one too many.
func TestRecipients(t *testing.T) {
	w := newWorld(t, nil)
	p := login(t, w)
	p.play(`
C: RCPT TO:<bob@example.com>
S: 502 5.5.1
C: MAIL FROM:<ann@example.com> BODY=8BITMIME RET=HDRS ENVID=abc
S: 250 2.0.0
C: MAIL FROM:<ann@example.com>
S: 503 5.5.1
C: DATA
S: 502 5.5.1
C: RCPT TO:<nobody>
S: 501 5.5.2
C: RCPT TO:<a b@example.com>
S: 501
C: RCPT TO:<ü@example.com>
S: 250 2.0.0
C: RCPT TO:<bob@example.com> NOTIFY=NEVER,FAILURE
S: 501 5.5.4
C: RCPT TO:<bob@example.com> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob+2Bx@example.com
S: 250 2.0.0
C: RSET
S: 250 2.0.0
C: MAIL FROM:<ü@example.com>
S: 553 5.6.7
C: MAIL FROM:<ann@example.com> SMTPUTF8 SIZE=2000000
S: 552 5.3.4
C: MAIL FROM:<ann@example.com> SMTPUTF8 SIZE=1000
S: 250 2.0.0
`)
	for i := range 500 {
		p.play(fmt.Sprintf("C: RCPT TO:<u%d@example.com>\nS: 250 2.0.0", i))
	}
	p.play("C: RCPT TO:<onemore@example.com>\nS: 452 4.5.3\nC: DATA\nS: 354\nC: " + `Subject: x\r\n\r\nx\r\n.` + "\nS: 250 2.0.0")
	if got := w.sent(1)[0].Recipients; len(got) != 500 {
		t.Errorf("sent to %d", len(got))
	}
}

// TestRefusedAtOnce: what the provider refuses while the program waits is told,
// and not sent later; what may pass is queued.
func TestRefusedAtOnce(t *testing.T) {
	for _, c := range []struct {
		kind   mail.Kind
		want   string
		queued int
	}{
		{mail.KindForbidden, "550 5.7.60", 0},
		{mail.KindInvalid, "554 5.6.0", 0},
		{mail.KindTooLarge, "552 5.3.4", 0},
		{mail.KindNotFound, "554 5.0.0", 0},
		{mail.KindGrantExpired, "454 4.7.0", 0},
		{mail.KindThrottled, "250 2.0.0", 1},
		{mail.KindUnavailable, "250 2.0.0", 1},
		{mail.KindMisconfigured, "250 2.0.0", 1},
		{mail.KindOverQuota, "250 2.0.0", 1},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			w := newWorld(t, nil)
			w.cloud.FailNext("prepare", c.kind)
			p := login(t, w)
			if got := submitted(p, ann, []string{"<bob@example.com>"}, plain); !strings.HasPrefix(got, c.want) {
				t.Errorf("the answer is %s", got)
			}
			if n := w.waiting(); n != c.queued {
				t.Errorf("%d submissions wait", n)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.inbox) > 0 {
				t.Errorf("what was told is reported, too: %s", w.inbox)
			}
		})
	}
}

// TestRefusedLater: what fails after it was taken comes back as a report.
func TestRefusedLater(t *testing.T) {
	for name, c := range map[string]struct {
		mail, rcpt string
		want       []string
		without    string
	}{
		"as a whole": {"", "", []string{"Content-Type: message/rfc822", "\r\n\r\nhello\r\n", "Final-Recipient: rfc822; bob@example.com", "Action: failed", "Status: 5.7.1",
			"Diagnostic-Code: x-postern; forbidden", "To: <ann@example.com>", "In-Reply-To: <one@client.example>"}, "Original-"},
		"its header": {" RET=HDRS ENVID=a+2Bb", " ORCPT=rfc822;bobby@example.com", []string{"Content-Type: text/rfc822-headers", "Subject: hello", "Original-Envelope-Id: a+2Bb",
			"Original-Recipient: rfc822;bobby@example.com"}, "\r\n\r\nhello\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			held, refuse := make(chan struct{}), make(chan struct{})
			w := newWorld(t, func(s *setup) { s.Wait = time.Millisecond })
			w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
				if verb != "prepare" {
					return nil
				}
				close(held)
				<-refuse
				return &mail.Error{Kind: mail.KindForbidden, Op: "prepare", Message: "not from you"}
			})
			p := login(t, w)
			p.play("C: MAIL FROM:<ann@example.com>" + c.mail + "\nS: 250\nC: RCPT TO:<bob@example.com>" + c.rcpt + "\nS: 250\nC: DATA\nS: 354")
			p.send(plain + ".\r\n")
			if got := p.reply(); !strings.HasPrefix(got, "250 2.0.0") {
				t.Fatalf("the answer is %s", got)
			}
			<-held
			close(refuse)
			got := w.report()
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("the report has no %q:\n%s", want, got)
				}
			}
			if strings.Contains(got, c.without) {
				t.Errorf("the report has %q:\n%s", c.without, got)
			}
		})
	}
}

// TestNoReport: nobody is told who did not want to be.
func TestNoReport(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Wait = time.Millisecond })
	ended := w.bus.Listen(nil)
	refuse := make(chan struct{})
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "prepare" {
			<-refuse
			return &mail.Error{Kind: mail.KindForbidden, Message: "no"}
		}
		return nil
	})
	p := login(t, w)
	p.play("C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<bob@example.com>\nS: 250\nC: DATA\nS: 354")
	p.send(plain + ".\r\n")
	p.play("S: 250\nC: MAIL FROM:<ann@example.com>\nS: 250\nC: RCPT TO:<bob@example.com> NOTIFY=NEVER\nS: 250\nC: DATA\nS: 354")
	p.send(plain + ".\r\n")
	p.play("S: 250")
	close(refuse)
	for failed := 0; failed < 2; {
		<-ended.C
		failed = 0
		must(t, w.store.View(t.Context(), func(tx store.Tx) error {
			list, err := tx.EventsAfter(0, 100)
			failed = len(list)
			return err
		}))
	}
	w.stop() // what is under way is finished
	if len(w.inbox) != 0 {
		t.Errorf("reports: %q", w.inbox)
	}
}
