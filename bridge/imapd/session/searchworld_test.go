package session

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// searched is a message as a test knows it, to compare searches with.
type searched struct {
	from, to, cc  string
	subject, body string
	latin         bool // the body travels as ISO-8859-1, in base64
	sent          string
	arrived       time.Time
	keywords      []string
	extra         string // a header line
	here          bool   // its bytes are

	id       string
	seq, uid uint32
	size     int64
	deleted  bool
}

// raw is the message as it travels.
func (m *searched) raw() []byte {
	var b bytes.Buffer
	word := func(s string) string {
		for _, r := range s {
			if r > 0x7e {
				return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
			}
		}
		return s
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\n", m.from, m.to, word(m.subject))
	if m.cc != "" {
		fmt.Fprintf(&b, "Cc: %s\r\n", m.cc)
	}
	if m.sent != "" {
		fmt.Fprintf(&b, "Date: %s\r\n", m.sent)
	}
	if m.extra != "" {
		b.WriteString(m.extra + "\r\n")
	}
	fmt.Fprintf(&b, "Message-ID: <%x@example.net>\r\nMIME-Version: 1.0\r\n", m.arrived.UnixNano())
	if m.latin {
		var latin []byte
		for _, r := range m.body {
			latin = append(latin, byte(r))
		}
		b.WriteString("Content-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		b.WriteString(base64.StdEncoding.EncodeToString(latin) + "\r\n")
	} else {
		b.WriteString("Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + m.body + "\r\n")
	}
	return b.Bytes()
}

// searchClient has the inbox with the messages selected; those that are here
// are in the index.
func searchClient(t testing.TB, messages []*searched) *client {
	t.Helper()
	w := newWorld(t, memory.Options{}, func(o *Options) {
		o.Text = textindex.New(o.Store, textindex.Options{})
		o.Now = func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }
	})
	for _, m := range messages {
		raw := m.raw()
		m.size = int64(len(raw))
		id, err := w.cloud.Deliver(ann, memory.Delivery{Raw: raw, Date: m.arrived, Keywords: m.keywords})
		w.must(err)
		m.id = mailbox.MessageID(account, id)
	}
	w.sync()
	var here []string
	for _, m := range messages {
		if m.here {
			here = append(here, m.id)
		}
	}
	w.must(w.mirror.Hydrate(t.Context(), here))
	c := w.client()
	c.open("INBOX")
	if len(messages) == 0 {
		return c
	}
	all, err := c.s.resolve(wire.Set{Ranges: []wire.Range{{First: 1, Last: 0}}}, false)
	w.must(err)
	for _, got := range all {
		for _, m := range messages {
			if m.id == got.row.Message {
				m.seq, m.uid = got.seq, got.uid
			}
		}
	}
	for _, m := range messages {
		if m.uid == 0 {
			t.Fatalf("%s is not in the mailbox", m.subject)
		}
		if m.deleted {
			c.do(fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Deleted)`, m.uid))
		}
	}
	return c
}

// ask gives a SEARCH of a client that enabled IMAP4rev2, or did not.
func (c *client) ask(command string, rev2, utf8 bool) string {
	c.w.t.Helper()
	cmd := &wire.Command{Tag: "a1", Name: "SEARCH", Rev2: rev2, UTF8: utf8}
	args, uid := strings.CutPrefix(command, "UID ")
	cmd.UID = uid
	cmd.Args = wire.NewArgs([]byte(strings.TrimPrefix(args, "SEARCH")))
	var b bytes.Buffer
	to := wire.NewWriter(&b)
	t, err := c.s.Command(c.w.t.Context(), cmd, to)
	c.w.must(err)
	c.w.must(to.Flush())
	last := string(t.Status)
	if t.Code != "" {
		last += " [" + t.Code + "]"
	}
	return strings.ReplaceAll(b.String(), "\r\n", "\n") + last
}

// answers holds a transcript: lines "C: " and what follows them as "S: ", the
// tagged one without tag and text.
func (c *client) answers(transcript string, rev2 bool) {
	c.w.t.Helper()
	var command string
	var want []string
	check := func() {
		c.w.t.Helper()
		if command == "" {
			return
		}
		if d := cmp.Diff(strings.Join(want, "\n"), c.ask(command, rev2, false)); d != "" {
			c.w.t.Errorf("%s (-want +got):\n%s", command, d)
		}
	}
	for line := range strings.Lines(transcript) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "C: "); ok {
			check()
			command, want = s, nil
		} else if s, ok := strings.CutPrefix(line, "S: "); ok {
			want = append(want, s)
		}
	}
	check()
}

// searchInbox is a small one.
func searchInbox() []*searched {
	day := func(d, h int) time.Time { return time.Date(2026, 3, d, h, 0, 0, 0, time.UTC) }
	return []*searched{
		{from: "Bob <bob@example.org>", to: ann, subject: "Invoice 1", body: "Please pay the invoice.", arrived: day(1, 9),
			sent: "Sun, 1 Mar 2026 01:30:00 +0200", keywords: []string{"$seen"}, here: true},
		{from: "Carol <carol@example.org>", to: ann, cc: "dave@example.org", subject: "Größe", body: "Schöne Grüße aus Köln", latin: true, arrived: day(2, 0),
			sent: "Sat, 28 Feb 2026 23:59:59 -0800", keywords: []string{"$flagged"}, here: true, extra: "X-Spam-Level: ***"},
		{from: "bob@example.org", to: "Everybody <all@example.org>", subject: "請求書", body: "発注の請求書", arrived: day(2, 23),
			keywords: []string{"$answered", "project-x"}, here: true, extra: "X-Empty:"},
		{from: "eve@example.org", to: ann, subject: "Not here yet", body: "voice in the dark", arrived: day(3, 9), sent: "Mon, 2 Mar 2026 08:00:00 +0000"},
		{from: "Bob <bob@example.org>", to: ann, subject: "Last", body: strings.Repeat("long ", 300), arrived: day(4, 9),
			sent: "4 Mar 26 10:00 GMT", deleted: true, here: true},
	}
}
