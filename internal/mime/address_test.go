package mime

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestAddresses: every list keeps every address in it that can be understood.
func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 ``,
		" ,, , ":                           ``,
		"ann@example.org":                  `(NIL NIL "ann" "example.org")`,
		"<ann@example.org>":                `(NIL NIL "ann" "example.org")`,
		"Ann Lee <ann@example.org>":        `("Ann Lee" NIL "ann" "example.org")`,
		"Ann  Q.   Lee<ann@example.org>":   `("Ann Q. Lee" NIL "ann" "example.org")`,
		`"Lee, \"Ann\"" <ann@example.org>`: `("Lee, \"Ann\"" NIL "ann" "example.org")`,
		"ann@example.org (Ann (A.) Lee)":   `("Ann (A.) Lee" NIL "ann" "example.org")`,
		"=?utf-8?q?Gr=C3=BC,_X?= <a@b>":    `("=?utf-8?q?Gr=C3=BC,_X?=" NIL "a" "b")`,
		"=?utf-8?q?a <a@b>":                `("=?utf-8?q?a" NIL "a" "b")`,
		`"john doe"@example.org`:           `(NIL NIL "john doe" "example.org")`,
		`<"john doe"@example.org>`:         `(NIL NIL "john doe" "example.org")`,
		"a @ b":                            `(NIL NIL "a" "b")`,
		"< a @ b >":                        `(NIL NIL "a" "b")`,
		"<Undisclosed Recipients@b>":       `(NIL NIL "Undisclosed Recipients" "b")`,
		"<@relay,@other:a@b>":              `(NIL NIL "a" "b")`,
		"Ann Lee ann@example.org":          `("Ann Lee" NIL "ann" "example.org")`,
		"root":                             `(NIL NIL "root" "")`,
		"Mail Delivery System":             `("Mail Delivery System" NIL "" "")`,
		"Nobody <>":                        `("Nobody" NIL "" "")`,
		"<>":                               ``,
		"undisclosed-recipients:;":         `(NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)`,
		"us: a@b, them: c@d; e@f":          `(NIL NIL "us" NIL)(NIL NIL "a" "b")("them" NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "e" "f")`,
		"us: a@b":                          `(NIL NIL "us" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL)`,
		"a@b; c@d":                         `(NIL NIL "a" "b")(NIL NIL "c" "d")`,
		"broken <a@b, fine <c@d>":          `("broken" NIL "a" "b")("fine" NIL "c" "d")`,
		`never "closed <a@b>`:              `("never closed <a@b>" NIL "" "")`,
		"(never closed a@b":                ``,
		"a@b@c":                            `(NIL NIL "a@b" "c")`,
		"Ann) <a@b>>":                      `("Ann" NIL "a" "b")`,
		"J\xfcrgen <j@b>":                  `("=?utf-8?q?J=C3=BCrgen?=" NIL "j" "b")`,
		"Jürgen <j@b>":                     `("=?utf-8?q?J=C3=BCrgen?=" NIL "j" "b")`,
		"jürgen@köln.example":              "(NIL NIL {7}\r\njürgen {13}\r\nköln.example)",
		"a\x00b <a@b\x00>":                 `("a b" NIL "a" "b")`,
		strings.Repeat("(", 1000) + "x":    ``,
		strings.Repeat("<", 1000) + "a@b":  `(NIL NIL "a" "b")`,
		strings.Repeat("a:", 3):            `(NIL NIL "a" NIL)("a a" NIL "" "")(NIL NIL NIL NIL)`,
	} {
		got := string(appendAddresses(nil, addresses(in)))
		if want = "(" + want + ")"; want == "()" {
			want = "NIL"
		}
		if got != want {
			t.Errorf("%.80q:\n%s; want\n%s", in, got, want)
		}
		if v, rest, err := readValue(got); err != nil || rest != "" || !v.isNil && len(v.list) == 0 {
			t.Errorf("%.80q: %v", in, err)
		}
	}
}

func TestEnvelopeOf(t *testing.T) {
	m := &mail.Message{
		Subject: "Grüße \"an\" alle", From: []mail.Address{{Name: "Jürgen", Email: "j@example.org"}}, To: []mail.Address{{Email: "nobody"}},
		MessageID: "1@example.org", InReplyTo: []string{"2@example.org", "3@example.org"}, SentAt: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC),
	}
	const j = `(("=?utf-8?q?J=C3=BCrgen?=" NIL "j" "example.org"))`
	want := `("Mon, 06 May 2024 07:08:09 +0000" "=?utf-8?q?Gr=C3=BC=C3=9Fe_\"an\"_alle?=" ` + j + " " + j + " " + j +
		` ((NIL NIL "nobody" "")) NIL NIL "<2@example.org> <3@example.org>" "<1@example.org>")`
	if got := string(EnvelopeOf(m)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(EnvelopeOf(&mail.Message{})); got != "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)" {
		t.Errorf("of nothing: %s", got)
	}
}

// TestEnvelopeFields: several fields, folded ones, and 8-bit ones.
func TestEnvelopeFields(t *testing.T) {
	for raw, want := range map[string]string{
		"Subject: a\r\nSubject: b\r\nTo: a@b\r\nTo: c@d\r\nSender: \r\nFrom:\r\n f@g\r\n\r\n": `(NIL "a" ((NIL NIL "f" "g")) ((NIL NIL "f" "g")) ((NIL NIL "f" "g")) ((NIL NIL "a" "b")(NIL NIL "c" "d")) NIL NIL NIL NIL)`,
		"subject :\tGr\xfc\xdfe \r\n\t alle  \r\nReply-To: r@s\r\n\r\n":                       `(NIL "=?utf-8?q?Gr=C3=BC=C3=9Fe_alle?=" NIL NIL ((NIL NIL "r" "s")) NIL NIL NIL NIL NIL)`,
		"Subject: \"q\\\"\x00\x01\r\nMessage-ID: no brackets\r\n\r\n":                         "(NIL \"\\\"q\\\\\\\"\x01\" NIL NIL NIL NIL NIL NIL NIL \"no brackets\")",
		"Subject: =?utf-8?q?=C3=BC?= Gr\xfc\r\n\r\n":                                          `(NIL "=?utf-8?q?=C3=BC_Gr=C3=BC?=" NIL NIL NIL NIL NIL NIL NIL NIL)`,
	} {
		if got := string(scan(t, raw).Rows.Envelope); got != want {
			t.Errorf("%q:\n%s; want\n%s", raw, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	for field, want := range map[string]string{
		"text/plain":                "NIL",
		"text/plain;":               "NIL",
		"text/plain; charset=utf-8": `("charset" "utf-8")`,
		"text/plain; CHARSET=UTF-8; format=flowed":       `("charset" "UTF-8" "format" "flowed")`,
		`a/b; name="x; \"y\" \\ z"`:                      `("name" "x; \"y\" \\ z")`,
		"a/b; name*=utf-8''%C3%BC.pdf":                   `("name*" "utf-8''%C3%BC.pdf")`,
		`a/b; name*0="a"; name*1="b"`:                    `("name*0" "a" "name*1" "b")`,
		"text/html charset=utf-8":                        `("charset" "utf-8")`,
		"text/plain; charset=us-ascii (Plain text)":      `("charset" "us-ascii")`,
		"text/plain (comment) ; charset=us-ascii":        `("charset" "us-ascii")`,
		"a/b; name=my file.pdf; x=y":                     `("name" "my file.pdf" "x" "y")`,
		"a/b; charset=a boundary=b":                      `("charset" "a" "boundary" "b")`,
		`a/b; name="never closed`:                        `("name" "never closed")`,
		"a/b; flag; x=y":                                 `("x" "y")`,
		"a/b; name=J\xfcrgen.txt":                        `("name" "=?utf-8?q?J=C3=BCrgen.txt?=")`,
		"a/b; name=":                                     `("name" "")`,
		"a/b; =x; y=z":                                   `("y" "z")`,
		`a/b; name="=?utf-8?q?=C3=BC?=.pdf"; boundary=o`: `("name" "=?utf-8?q?=C3=BC?=.pdf" "boundary" "o")`,
	} {
		if got := string(appendParams(nil, params(field))); got != want {
			t.Errorf("%q: %s, want %s", field, got, want)
		}
	}
}
