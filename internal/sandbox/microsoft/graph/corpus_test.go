package graph

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/jhillyerd/enmime/v2"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// sharedDir finds ../shared beside the module root.
func sharedDir(t testing.TB, sub string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	p := filepath.Join(dir, "..", "shared", sub)
	if _, err := os.Stat(p); err != nil {
		t.Skip("../shared is not present")
	}
	return p
}

// A comparison counts how far two parsers agree. They may differ in how they
// read bytes that no declaration fits, in what they make of text that has no
// type, and where one of them gives up; how often is limited by the test.
type parserComparison struct {
	t                             *testing.T
	seen                          int
	charset, gaveUp, dates, froms int
}

func TestCorpus(t *testing.T) {
	dir := sharedDir(t, "corpus")
	c := &parserComparison{t: t}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".eml" {
			return err
		}
		raw, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		c.compare(filepath.Base(p), raw)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.seen < 1500 {
		t.Errorf("%d messages compared, expected 1,500 and more", c.seen)
	}
	c.limit(40, 20, 12, 25)
}

func TestUglyMail(t *testing.T) {
	c := &parserComparison{t: t}
	for i, raw := range uglyMail() {
		c.compare(fmt.Sprintf("ugly %d", i), raw)
	}
	c.limit(8, 4, 4, 4)
}

func (c *parserComparison) limit(charset, gaveUp, dates, froms int) {
	c.t.Logf("%d messages: %d with bytes that fit no declared charset, %d bodies, %d dates and %d senders that only we read", c.seen, c.charset, c.gaveUp, c.dates, c.froms)
	if c.charset > charset || c.gaveUp > gaveUp || c.dates > dates || c.froms > froms {
		c.t.Errorf("more disagreements than expected (%d, %d, %d, %d)", charset, gaveUp, dates, froms)
	}
}

func (c *parserComparison) compare(name string, raw []byte) {
	c.t.Helper()
	c.seen++
	norm := mimetree.Normalise(raw)
	if again := mimetree.Normalise(norm); !bytes.Equal(norm, again) {
		c.t.Errorf("%s: normalising twice changes the message", name)
	}
	got := parseContent(norm)
	got.load()
	want, err := enmime.ReadEnvelope(bytes.NewReader(norm))
	if err != nil {
		c.t.Errorf("%s: enmime: %v", name, err)
		return
	}
	if subject := want.GetHeader("Subject"); !strings.Contains(subject, "=?") && !c.same(got.subject, subject) {
		c.t.Errorf("%s: subject\n got %q\nwant %q", name, got.subject, subject)
	}
	if from, err := want.AddressList("From"); err == nil && len(from) > 0 {
		if got.from == nil || !strings.EqualFold(got.from.Address, from[0].Address) || !c.same(got.from.Name, from[0].Name) {
			c.t.Errorf("%s: from\n got %+v\nwant %+v", name, got.from, from[0])
		}
	} else {
		c.froms++
		if want.GetHeader("From") != "" && got.from == nil {
			c.t.Errorf("%s: no sender read of %q", name, want.GetHeader("From"))
		}
	}
	if date, err := want.Date(); err == nil {
		if !date.Equal(got.sent) {
			c.t.Errorf("%s: date\n got %v\nwant %v", name, got.sent, date)
		}
	} else {
		c.dates++
		if want.GetHeader("Date") != "" && got.sent.IsZero() {
			c.t.Errorf("%s: no date read of %q", name, want.GetHeader("Date"))
		}
	}
	body := want.Text
	if got.html {
		body = want.HTML
	}
	if want.Text == "" && want.HTML == "" && got.bodyText() != "" {
		c.gaveUp++
	} else if !c.same(got.bodyText(), body) {
		c.t.Errorf("%s: body html=%v\n got %s\nwant %s", name, got.html, brief(got.bodyText()), brief(body))
	}
}

// same compares without white space, and without the characters whose bytes
// were read in different charsets.
func (c *parserComparison) same(a, b string) bool {
	if a, b = squeeze(a), squeeze(b); a == b {
		return true
	}
	ascii := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 0x80 || r == '?' {
				return -1
			}
			return r
		}, s)
	}
	if ascii(a) == ascii(b) && a != ascii(a) {
		c.charset++
		return true
	}
	// The separator that enmime puts between texts.
	return strings.ReplaceAll(ascii(a), "-", "") == strings.ReplaceAll(ascii(b), "-", "")
}

func brief(s string) string {
	if len(s) > 150 {
		return fmt.Sprintf("%.150q (%d)", s, len(s))
	}
	return fmt.Sprintf("%q", s)
}

func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\u00a0' || r == '\ufeff' {
			return -1
		}
		return r
	}, s)
}

// uglyMail is mail as it was found in the wild, made up: what the corpus has,
// where the corpus is not.
func uglyMail() [][]byte {
	head := "From: \"Bel Barlow\" <bel@example.com>\nTo: <hi@example.org>\nDate: Tue, 27 Oct 2009 10:34:11 +1000\nMessage-ID: <1@example.com>\n"
	mixed := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b1\"\n\n"
	return [][]byte{
		[]byte("From - Tue Oct 27 10:23:55 2009\nX-Mozilla-Keys:                 \n" + head + "Subject: mbox line in front\n\nHello\n"),
		[]byte(head + "Subject: Gr\xc3\xbc\xc3\x9fe\nContent-Type: text/plain; charset=koi8-r\n\n\xf0\xd2\n"),
		[]byte(head + "Subject: Gr\xfc\xdfe\n\nSch\xf6ne Gr\xfc\xdfe\n"),
		[]byte(head + "Subject: =?iso-8859-1?Q?Gr=FC=DFe?= =?iso-8859-1?Q?_aus_K=F6ln?=\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nSch=F6ne Gr=FC=DFe, ein langer Satz, der um=\ngebrochen ist\n"),
		[]byte(head + "Subject: folded\n very\n\tbadly\nbroken relay line without colon\nX-After: yes\n\nbody\n"),
		[]byte(head + "Subject: html only\nContent-Type: text/html\n\n<html><body><p>no charset \xe2\x80\x9cquoted\xe2\x80\x9d</p></body></html>\n"),
		[]byte(head + "Subject: alternative\nContent-Type: multipart/alternative;\n\tboundary=\"=_x y\"\n\npreamble\n--=_x y\nContent-Type: text/plain\n\nplain words\n--=_x y\nContent-Type: text/html; charset=us-ascii\n\n<b>bold words</b>\n--=_x y--\nepilogue\n"),
		[]byte(head + "Subject: never closed\n" + mixed + "--b1\nContent-Type: text/plain\n\nfirst\n--b1\nContent-Type: application/pdf; name=\"a b.pdf\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"a b.pdf\"\n\nJVBERi0xLjQK"),
		[]byte(head + "Subject: two texts\n" + mixed + "--b1\nContent-Type: text/plain\n\nfirst\n--b1\nContent-Type: text/plain\n\nsecond\n--b1--\n"),
		[]byte(head + "Subject: a message in a message\n" + mixed + "--b1\nContent-Type: text/plain\n\nsee below\n--b1\nContent-Type: message/rfc822\n\nFrom: x@example.com\nSubject: inner\n\ninner text\n--b1--\n"),
		[]byte("From: Mail Delivery Subsystem <MAILER-DAEMON>\nSubject: no date, no address\n\nbounced\n"),
		[]byte("From: Official \xa9 Shop <shop@example.com>\nDate: Wed, 16 Sep 2009 19:29:24 +05-30\nSubject: bytes in a name\n\nbuy\n"),
		[]byte("From: =?utf-8?B?SsO8cmdlbg==?= <juergen@example.com>\nDate: 27 Jun 01 3:36:25 AM\nSubject:\n\n\n"),
		[]byte(head + "Subject: =?utf-8?Q?cut_in_=C3?= =?utf-8?Q?=BC_half?=\nContent-Type: text/plain; charset=x-nobody-knows\n\ntext\n"),
	}
}
