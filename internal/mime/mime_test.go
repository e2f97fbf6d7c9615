package mime

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

const mixed = "From: a@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=o\r\n\r\n" +
	"--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n" +
	"--i\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n" +
	"--i\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hi</p>\r\n--i--\r\n" +
	"--o\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n" +
	"--o\r\nContent-Type: image/png\r\nContent-ID: <img@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--o--\r\n"

func TestParse(t *testing.T) {
	c, err := Parse(strings.NewReader(mixed))
	if err != nil {
		t.Fatal(err)
	}
	want := []Attachment{
		{ID: "2", Name: "ü.pdf", Type: "application/pdf", Size: 4},
		{ID: "3", Type: "image/png", Size: 3, Inline: true, ContentID: "img@x"},
	}
	if d := cmp.Diff(want, c.Attachments); d != "" {
		t.Error(d)
	}
	if strings.TrimSpace(c.Text) != "Grüße" || strings.TrimSpace(c.HTML) != "<p>hi</p>" {
		t.Errorf("text %q, html %q", c.Text, c.HTML)
	}
	if d := cmp.Diff(mail.Header{Name: "Subject", Value: "Grüße"}, c.Headers[1]); d != "" {
		t.Error(d)
	}
}

func TestUglyMailIsStillMail(t *testing.T) {
	for name, tc := range map[string]struct{ raw, text string }{
		"empty":            {"", ""},
		"no header":        {"\r\njust text\r\n", "just text\n"},
		"mbox line":        {"From x Mon Jan 1\nSubject: s\n\nbody\n", "body\n"},
		"line of no field": {"Subject: s\nnonsense here\nTo: x\n\nbody\n", "body\n"},
		"8 bit":            {"Subject: s\n\nGr\xfc\xdfe\n", "Grüße\n"},
		"unknown charset":  {"Content-Type: text/plain; charset=x-nobody\n\nbody\n", "body\n"},
		"bad type":         {"Content-Type: nonsense\n\nbody\n", "body\n"},
		"bad base64":       {"Content-Transfer-Encoding: base64\n\n!!!\n", ""},
		"no boundary":      {"Content-Type: multipart/mixed\n\nbody\n", "body\n"},
		"bare delimiters":  {"Content-Type: multipart/mixed\n\nbody\n--\nsignature\n", "body\n--\nsignature\n"},
		"cut multipart":    {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nbody", "body"},
	} {
		c, err := Parse(strings.NewReader(tc.raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Text != tc.text {
			t.Errorf("%s: text %q, want %q", name, c.Text, tc.text)
		}
	}
}

func TestReaderErrorsAreErrors(t *testing.T) {
	broken := errors.New("disk gone")
	for _, cut := range []int{5, len(mixed) / 2, len(mixed) - 5} {
		_, err := Parse(io.MultiReader(strings.NewReader(mixed[:cut]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("cut at %d: %v, want the reader's error", cut, err)
		}
	}
}

func TestOpen(t *testing.T) {
	var got string
	err := Open(strings.NewReader(mixed), "2", func(a Attachment, r io.Reader) error {
		b, err := io.ReadAll(r)
		got = a.Name + " " + string(b)
		return err
	})
	if err != nil || got != "ü.pdf %PDF" {
		t.Errorf("got %q, %v", got, err)
	}
	err = Open(strings.NewReader(mixed), "9", func(Attachment, io.Reader) error { return nil })
	if mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("missing part: %v", err)
	}
}

// TestCorpus: no message of the corpus fails, and none comes out empty that
// has a body.
func TestCorpus(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpus", "mail", "*"))
	if len(files) == 0 {
		t.Skip("../shared is not present")
	}
	empty := 0
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(strings.NewReader(string(raw)))
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
			continue
		}
		if strings.TrimSpace(c.Text+c.HTML) == "" && len(c.Attachments) == 0 {
			empty++
		}
	}
	if empty > len(files)/100 {
		t.Errorf("%d of %d messages came out empty", empty, len(files))
	}
}
