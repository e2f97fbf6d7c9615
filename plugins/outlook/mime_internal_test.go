package outlook

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
)

func crlf(lines ...string) string { return strings.Join(lines, "\r\n") }

func TestParseContent(t *testing.T) {
	type part struct {
		Name, Type, ID string
		Inline         bool
		Data           string
	}
	for _, tc := range []struct {
		name, raw      string
		bodyType, body string
		parts          []part
		sealed         bool
	}{
		{name: "plain", raw: crlf("Subject: s", "", "hello", ""), bodyType: "text", body: "hello\r\n"},
		{name: "no body", raw: "Subject: s\r\n", bodyType: "text"},
		{name: "charset", raw: crlf("Content-Type: text/plain; charset=iso-8859-15", "Content-Transfer-Encoding: quoted-printable", "", "=A4=20=E9"), bodyType: "text", body: "€ é"},
		{name: "unknown charset", raw: crlf("Content-Type: text/plain; charset=martian", "", "caf\xe9"), bodyType: "text", body: "caf\uFFFD"},
		{name: "html with picture", bodyType: "html", body: "<img src=cid:p>",
			raw: crlf("Content-Type: multipart/related; boundary=r", "", "--r", "Content-Type: multipart/alternative; boundary=a", "", "--a", "Content-Type: text/plain", "", "t", "--a", "Content-Type: text/html", "", "<img src=cid:p>", "--a--",
				"--r", "Content-Type: image/png", "Content-ID: <p>", "Content-Disposition: inline; filename=p.png", "Content-Transfer-Encoding: base64", "", "aGkg dGhl\r\ncmU=", "--r--", ""),
			parts: []part{{"p.png", "image/png", "p", true, "hi there"}}},
		{name: "html before plain", bodyType: "html", body: "<p>",
			raw: crlf("Content-Type: multipart/alternative; boundary=a", "", "--a", "Content-Type: text/html", "", "<p>", "--a", "Content-Type: text/plain", "", "t", "--a--", "")},
		{name: "text attachment", bodyType: "text", body: "t",
			raw:   crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "", "t", "--m", "Content-Type: text/csv; charset=iso-8859-1; name=\"=?utf-8?q?=C3=A4.csv?=\"", "Content-Disposition: attachment; filename=\"../../etc/a.csv\"", "", "\xe4;1", "--m--", ""),
			parts: []part{{"a.csv", "text/csv", "", false, "\xe4;1"}}},
		{name: "message inside", bodyType: "text", body: "t",
			raw:   crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "", "t", "--m", "Content-Type: message/rfc822", "", "Subject: in", "", "x", "--m--", ""),
			parts: []part{{"attachment-1.eml", "message/rfc822", "", false, "Subject: in\r\n\r\nx"}}},
		{name: "signed", bodyType: "text", body: "t", sealed: true,
			raw:   crlf("Content-Type: multipart/signed; boundary=m; protocol=x", "", "--m", "", "t", "--m", "Content-Type: application/pgp-signature; name=sig.asc", "", "S", "--m--", ""),
			parts: []part{{"sig.asc", "application/pgp-signature", "", false, "S"}}},
		// Exchange keeps one body. Only what is the same in other words may go for it.
		{name: "html, then a text of its own", bodyType: "html", body: "<p>",
			raw:   crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/html", "", "<p>", "--m", "Content-Type: text/plain", "", "and more", "--m--", ""),
			parts: []part{{"attachment-1.txt", "text/plain", "", false, "and more"}}},
		{name: "text, then html of its own", bodyType: "text", body: "t",
			raw:   crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "", "t", "--m", "Content-Type: text/html", "", "<p>", "--m--", ""),
			parts: []part{{"attachment-1.html", "text/html", "", false, "<p>"}}},
		{name: "alternatives, then a text of its own", bodyType: "html", body: "<p>",
			raw: crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: multipart/alternative; boundary=a", "", "--a", "Content-Type: text/plain", "", "t", "--a", "Content-Type: text/html", "", "<p>", "--a--",
				"--m", "", "and more", "--m--", ""),
			parts: []part{{"attachment-1.txt", "text/plain", "", false, "and more"}}},
		{name: "an alternative of several parts", bodyType: "html", body: "<1>",
			raw: crlf("Content-Type: multipart/alternative; boundary=a", "", "--a", "Content-Type: text/plain", "", "t", "--a", "Content-Type: multipart/mixed; boundary=m", "",
				"--m", "Content-Type: text/html", "", "<1>", "--m", "Content-Type: image/gif; name=g.gif", "", "G", "--m", "Content-Type: text/html", "", "<2>", "--m--", "--a--", ""),
			parts: []part{{"g.gif", "image/gif", "", false, "G"}, {"attachment-2.html", "text/html", "", false, "<2>"}}},
		{name: "a part whose header is broken", bodyType: "text", body: "t",
			raw:   crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "", "t", "--m", "what is this", "", "lost?", "--m", "Content-Type: image/gif", "", "G", "--m--", ""),
			parts: []part{{"attachment-1.txt", "text/plain", "", false, crlf("--m", "", "t", "--m", "what is this", "", "lost?", "--m", "Content-Type: image/gif", "", "G", "--m--", "")}}},
		{name: "cut off", bodyType: "text", body: "t", raw: crlf("Content-Type: multipart/mixed; boundary=m", "", "--m", "", "t", "--m", "Content-Type: image/gif", "", "GIF")},
	} {
		c := parseContent([]byte(tc.raw))
		if c.bodyType != tc.bodyType || c.body != tc.body || c.sealed != tc.sealed {
			t.Errorf("%s: %s %q sealed %v", tc.name, c.bodyType, c.body, c.sealed)
		}
		if tc.name == "cut off" {
			continue // what becomes of the rest depends on the reader
		}
		var got []part
		for i := range c.attachments {
			a := &c.attachments[i]
			data, err := a.decode()
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			got = append(got, part{a.name, a.contentType, a.contentID, a.inline, string(data)})
		}
		if diff := cmp.Diff(tc.parts, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

func TestParseHeader(t *testing.T) {
	c := parseContent([]byte(crlf("From: =?iso-8859-1?q?J=FCrgen?= <j@x>", "To: a@x, \"B, C\" <b@x>", "to: d@x", "Subject: =?utf-8?b?w6Q=?=",
		" tail", "Date: Fri, 20 Nov 2026 10:00:00 +0100 (CET)", "X-Priority: 1 (Highest)", "Importance: High", "Message-ID: <m@x>", "In-Reply-To: <p@x>", "not a field", "", "x")))
	m := c.message
	if m.Subject != "ä tail" || m.From.EmailAddress != (msgraph.EmailAddress{Name: "Jürgen", Address: "j@x"}) || len(m.To) != 3 || m.To[1].EmailAddress.Name != "B, C" ||
		m.Importance != "high" || m.InternetMessageID != "<m@x>" || !c.date.Equal(time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v date %v", m, c.date)
	}
	if diff := cmp.Diff([]msgraph.Property{{ID: propInReplyTo, Value: "<p@x>"}}, m.Properties); diff != "" {
		t.Error(diff)
	}
}

func FuzzMIME(f *testing.F) {
	f.Add("To: a@x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n")
	f.Add(" folded first\n\nbody")
	f.Fuzz(func(_ *testing.T, s string) { parseContent([]byte(s)) })
}
