package smtpd

import (
	"crypto/tls"
	"net/smtp"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/access"
)

// TestGreeting: what EHLO offers, before and after STARTTLS and the login.
func TestGreeting(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Cleartext = false })
	p := dial(t, w.addr)
	p.play("S: 220 localhost ESMTP\nC: EHLO client.example")
	offers := func(want string) {
		t.Helper()
		var got []string
		for _, l := range strings.Split(strings.TrimSpace(p.reply()), "\r\n")[1:] {
			got = append(got, l[4:])
		}
		if slices.Sort(got); strings.Join(got, ",") != want {
			t.Errorf("offers %q, want %q", strings.Join(got, ","), want)
		}
	}
	offers("8BITMIME,CHUNKING,DSN,ENHANCEDSTATUSCODES,LIMITS RCPTMAX=500,PIPELINING,SIZE 1048576,SMTPUTF8,STARTTLS")
	p.play(`
C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=
S: 530 5.7.0 STARTTLS first
C: STARTTLS now
S: 501 5.5.4
C: STARTTLSnow
S: 501
C: STARTTLS
S: 220 2.0.0
`)
	secured := tls.Client(p.c, w.trust())
	must(t, secured.Handshake())
	p.c = secured
	p.in.Reset(secured)
	p.play(`
C: MAIL FROM:<ann@example.com>
S: 503 5.5.1 EHLO first
C: EHLO client.example
`)
	offers("8BITMIME,AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2,CHUNKING,DSN,ENHANCEDSTATUSCODES,LIMITS RCPTMAX=500,PIPELINING,SIZE 1048576,SMTPUTF8")
	p.play(`
C: STARTTLS
S: 503 5.5.1 TLS is active
C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=
S: 235 2.0.0
C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=
S: 503 5.5.1
C: EHLO client.example
`)
	offers("8BITMIME,CHUNKING,DSN,ENHANCEDSTATUSCODES,LIMITS RCPTMAX=500,PIPELINING,SIZE 1048576,SMTPUTF8")
	p.play("C: QUIT\nS: 221 2.0.0\nS!")
}

// TestNoTLSAfterTheLogin: who has logged in in the clear is not offered what would be
// refused.
func TestNoTLSAfterTheLogin(t *testing.T) {
	w := newWorld(t, nil)
	p := dial(t, w.addr)
	p.play("S: 220\nC: EHLO client.example")
	if offers := p.reply(); !strings.Contains(offers, "STARTTLS") {
		t.Errorf("before: %q", offers)
	}
	p.play("C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235\nC: EHLO client.example")
	if offers := p.reply(); strings.Contains(offers, "STARTTLS") {
		t.Errorf("after: %q", offers)
	}
}

// TestCommandsBeforeTLS: what was sent in the clear behind STARTTLS is not taken
// for what came after it.
func TestCommandsBeforeTLS(t *testing.T) {
	w := newWorld(t, nil)
	p := dial(t, w.addr)
	p.play(`
S: 220
C: EHLO client.example
S: 250
C: STARTTLS\r\nRSET
S: 554 5.5.1
S!
`)
}

// TestNetSMTP sends by the standard library's client, over STARTTLS and TLS.
func TestNetSMTP(t *testing.T) {
	w := newWorld(t, func(s *setup) { s.Cleartext = false })
	cfg := w.trust()
	msg := func(subject string) string {
		return "From: ann@example.com\r\nTo: bob@example.com\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@client.example>\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\n.dot\r\n..\r\nend\r\n"
	}
	send := func(c *smtp.Client, raw string) {
		t.Helper()
		must(t, c.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1")))
		must(t, c.Mail(ann))
		must(t, c.Rcpt(bob))
		d, err := c.Data()
		must(t, err)
		_, err = d.Write([]byte(raw))
		must(t, err)
		must(t, d.Close())
		must(t, c.Quit())
	}
	c, err := smtp.Dial(w.addr)
	must(t, err)
	must(t, c.StartTLS(cfg))
	send(c, msg("starttls"))
	secure, err := tls.Dial("tcp", w.tls, cfg)
	must(t, err)
	c, err = smtp.NewClient(secure, "127.0.0.1")
	must(t, err)
	send(c, msg("tls"))
	for i, s := range w.sent(2) {
		if want := msg([]string{"starttls", "tls"}[i]); string(s.Raw) != want {
			t.Errorf("sent %q, want %q", s.Raw, want)
		}
	}
}

// TestLogins goes through the mechanisms.
func TestLogins(t *testing.T) {
	w := newWorld(t, nil)
	for name, script := range map[string]string{
		"plain":             "C: AUTH PLAIN\nS: 334 \nC: AGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235 2.0.0",
		"plain, wrong":      "C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQB3cm9uZw==\nS: 535 5.7.8",
		"plain, for self":   "C: AUTH PLAIN QW5uQEV4YW1wbGUuY29tAGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 235 2.0.0",
		"plain, rubbish":    "C: AUTH PLAIN YW5u\nS: 501 5.5.2\nC: AUTH PLAIN =\nS: 501 5.5.2\nC: AUTH PLAIN\nS: 334 \nC: \nS: 501 5.5.2",
		"plain, for others": "C: AUTH PLAIN Ym9iAGFubkBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 535 5.7.8",
		"login":             "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YW5uQGV4YW1wbGUuY29t\nS: 334 UGFzc3dvcmQ6\nC: YXBwLXBhc3N3b3Jk\nS: 235 2.0.0",
		"login, at once":    "C: AUTH login YW5uQGV4YW1wbGUuY29t\nS: 334 UGFzc3dvcmQ6\nC: YXBwLXBhc3N3b3Jk\nS: 235 2.0.0",
		"cancelled":         "C: AUTH LOGIN\nS: 334\nC: *\nS: 501 5.0.0\nC: NOOP\nS: 250",
		"no base64":         "C: AUTH LOGIN\nS: 334\nC: ???\nS: 501 5.5.2\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: *\nS: 501",
		"no base64 at once": "C: AUTH PLAIN ???\nS: 501 5.5.2\nC: NOOP\nS: 250",
		"no mechanism":      "C: AUTH\nS: 501 5.5.4\nC: AUTH  \nS: 501 5.5.4",
		"xoauth2":           "C: AUTH XOAUTH2 dXNlcj1hbm5AZXhhbXBsZS5jb20BYXV0aD1CZWFyZXIgcHNrX3Rva2VuAQE=\nS: 235 2.0.0",
		"xoauth2, wrong":    "C: AUTH XOAUTH2 dXNlcj1hbm5AZXhhbXBsZS5jb20BYXV0aD1CZWFyZXIgcHNrX290aGVyAQE=\nS: 334 eyJzdGF0dXMiOiI0MDEi\nC: \nS: 535 5.7.8",
		"xoauth2, rubbish":  "C: AUTH XOAUTH2 dXNlcj0=\nS: 501 5.5.2",
		"oauthbearer":       "C: AUTH OAUTHBEARER bixhPWFubkBleGFtcGxlLmNvbSwBaG9zdD1sb2NhbGhvc3QBcG9ydD0xNTg3AWF1dGg9QmVhcmVyIHBza190b2tlbgEB\nS: 235 2.0.0",
		"oauthbearer, none": "C: AUTH OAUTHBEARER bixhPWFubkBleGFtcGxlLmNvbSwBYXV0aD1CZWFyZXIgbm9uZQEB\nS: 334 eyJzdGF0dXMiOiI0MDEi\nC: AQ==\nS: 535 5.7.8",
		"not there":         "C: AUTH CRAM-MD5\nS: 504 5.5.4",
		"grant is dead":     "C: AUTH PLAIN AGV4cGlyZWRAZXhhbXBsZS5jb20AYXBwLXBhc3N3b3Jk\nS: 454 4.7.0 the account must be connected again",
		"not for smtp":      "C: AUTH PLAIN AHJlYWRlckBleGFtcGxlLmNvbQBhcHAtcGFzc3dvcmQ=\nS: 535 5.7.1 this app password is not for smtp",
		"guessing":          strings.Repeat("C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQB3cm9uZw==\nS: 535 5.7.8\n", 2) + "C: AUTH PLAIN AGFubkBleGFtcGxlLmNvbQB3cm9uZw==\nS: 421 4.7.0\nS!",
		"without":           "C: MAIL FROM:<ann@example.com>\nS: 530 5.7.0\nC: RCPT TO:<bob@example.com>\nS: 502\nC: DATA\nS: 502",
		"without greeting":  "C: QUIT\nS: 221",
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, w.addr)
			p.play("S: 220\nC: EHLO client.example\nS: 250")
			p.play(script)
		})
	}
	if i := slices.IndexFunc(w.logins, func(l access.Login) bool {
		return l.Bearer && l.Mechanism == mechXOAuth2 && l.Client == "client.example" && l.Remote.IsLoopback()
	}); i < 0 {
		t.Errorf("what is presented: %+v", w.logins)
	}
}
