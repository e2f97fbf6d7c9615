package session

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// A preview is the provider's: it needs no bytes, marks nothing as read, and is
// the same once the bytes are here.
func TestFetchPreview(t *testing.T) {
	w := newFetchWorld(t)
	w.deliver([]byte("Subject: plain\r\n\r\nThe engine \"runs\".\r\n"))
	w.deliver([]byte("Subject: umlauts\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße aus Köln\r\n"))
	w.deliver([]byte("Subject: empty\r\n\r\n"))
	w.deliver([]byte("Subject: long\r\n\r\n" + strings.Repeat("word ", 400) + "\r\n"))
	w.deliver([]byte("Subject: draft\r\n\r\nnot yet\r\n"), mail.Draft)
	w.sync()
	for _, here := range []bool{false, true} {
		m := &watchedMirror{}
		answers, tagged := w.watched(m, "(UID PREVIEW (LAZY))", nil)
		if tagged.Status != OK || len(answers) != 5 || len(m.hydrated)+len(m.read) != 0 {
			t.Fatalf("%v, %v, brought %v, read %v", tagged, answers, m.hydrated, m.read)
		}
		for seq, want := range map[int]string{1: `The engine "runs".`, 2: "Grüße aus Köln", 3: "", 5: "not yet"} {
			if got := answers[seq]["PREVIEW"]; got != want {
				t.Errorf("the preview of %d is %q, want %q", seq, got, want)
			}
		}
		if n := utf8.RuneCountInString(answers[4]["PREVIEW"]); n == 0 || n > maxPreview {
			t.Errorf("the long one has %d characters", n)
		}
		if !here {
			w.hydrate()
		}
		answers, tagged = w.watched(&watchedMirror{}, "(PREVIEW RFC822.SIZE ENVELOPE BODY.PEEK[])", nil)
		if tagged.Status != OK || answers[2]["PREVIEW"] != "Grüße aus Köln" || answers[1]["RFC822.SIZE"] != fmt.Sprint(len(answers[1]["BODY[]"])) {
			t.Errorf("among others: %v, %v", tagged, answers[2])
		}
	}
}

// Whatever a provider calls a preview, a client gets a bounded line of UTF-8.
func TestPreviewText(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a\r\nb\x00c": "a  b c", "bad \xff": "bad \uFFFD", "é": "é",
		strings.Repeat("é", 300): strings.Repeat("é", 256), strings.Repeat("x", 256): strings.Repeat("x", 256),
	} {
		if got := previewText(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
