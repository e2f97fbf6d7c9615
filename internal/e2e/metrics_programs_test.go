package e2e

import (
	"bytes"
	"io"
	"net"
	"net/smtp"
	"testing"
)

// movePrograms has mail programs log in, read, send, and be turned away.
func movePrograms(t *testing.T, d, g *demo, m *meter, s settings, account string) {
	t.Helper()
	// The bytes are wanted now, and the provider does not give them.
	d.fault(ada, map[string]any{"match": `\$value$`, "status": 503, "retry_after": 1})
	secret := g.appPassword(account)
	m.until("postern_bodies_missing", nil)
	d.noFaults()
	m.until("postern_bodies_ahead_total", nil)
	imap, submission := s.section("imap")["listen"].(string), s.section("smtp")["listen"].(string)
	program, err := dialMail(imap, ada, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer program.close()
	if err := program.must("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postern_logins_total", "postern_imap_connections", "postern_imap_commands_total", "postern_imap_command_seconds", "postern_imap_indexes", "postern_imap_index_messages"} {
		m.until(name, nil)
	}
	c, err := smtp.Dial(submission)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.until("postern_smtp_connections", nil)
	m.until("postern_smtp_messages_total", func() {
		if err := c.Auth(smtp.PlainAuth("", ada, secret, "127.0.0.1")); err != nil {
			t.Fatal(err)
		}
		if err := c.Mail(ada); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt(grace); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader([]byte(letter(grace, "counted")))); err != nil {
			t.Fatal(err)
		}
		_ = w.Close() // whatever it is answered is counted
	})
	m.until("postern_smtp_connections_refused_total", func() {
		for range smtpConnections { // one is there
			conn, err := net.Dial("tcp", submission)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	})
}

// smtpConnections is how many the gateway takes whose metrics are looked at.
const smtpConnections = 3
