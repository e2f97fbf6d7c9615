// Package plainmail is for tests: mail in many charsets, and a reader of it
// that shares nothing with internal/mime, so that the two can be held against
// each other. It is made of Go's own mime and of x/text, and reads well-formed
// mail alone.
package plainmail

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	gomime "mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/encoding/htmlindex"
)

// tongues are charsets, with words that each can write.
var tongues = []struct {
	charset string
	words   []string
}{
	{"utf-8", []string{"Straße", "naïve", "日本", "привет", "Ωmega", "emoji😀", "invoice", "Voice"}},
	{"iso-8859-1", []string{"Größe", "déjà", "señor", "Übung", "Rechnung", "ÅNGSTRÖM"}},
	{"iso-8859-2", []string{"Zażółć", "gęślą", "jaźń", "PŘÍLIŠ", "žluťoučký"}},
	{"iso-8859-7", []string{"Καλημέρα", "ΤΙΜΟΛΟΓΙΟ", "σας", "ευχαριστώ"}},
	{"windows-1251", []string{"Счёт", "ОПЛАТА", "договор", "письмо"}},
	{"koi8-r", []string{"Привет", "СЧЁТ", "встреча", "завтра"}},
	{"windows-1256", []string{"فاتورة", "مرحبا", "اجتماع"}},
	{"iso-2022-jp", []string{"請求書", "発注", "会議の案内", "メール"}},
	{"shift_jis", []string{"請求書", "株式会社", "テスト", "お世話"}},
	{"euc-jp", []string{"東京", "大阪府", "カタカナ"}},
	{"gb18030", []string{"发票", "会议", "中文邮件", "你好"}},
	{"big5", []string{"發票", "會議", "您好"}},
	{"euc-kr", []string{"안녕하세요", "회의", "청구서"}},
}

// Compose makes a message of one charset, the n-th.
func Compose(r *rand.Rand, n int) ([]byte, error) {
	tongue := tongues[r.IntN(len(tongues))]
	some := func(n int) string {
		var words []string
		for range n {
			w := tongue.words[r.IntN(len(tongue.words))]
			switch r.IntN(4) {
			case 0:
				w = fmt.Sprintf("ref%05d", r.IntN(100_000))
			case 1:
				w = strings.ToUpper(w)
				if tongue.charset == "iso-8859-1" {
					w = strings.ReplaceAll(w, "SS", "ß")
				}
			}
			words = append(words, w)
		}
		return strings.Join(words, []string{" ", ", ", ".\r\n"}[r.IntN(3)])
	}
	enc, err := htmlindex.Get(tongue.charset)
	if err != nil {
		return nil, err
	}
	var failed error
	encode := func(s string) []byte {
		b, err := enc.NewEncoder().Bytes([]byte(s))
		if err != nil {
			failed = fmt.Errorf("%s cannot write %q: %w", tongue.charset, s, err)
		}
		return b
	}
	word := func(s string) string {
		return "=?" + tongue.charset + "?b?" + base64.StdEncoding.EncodeToString(encode(s)) + "?="
	}
	var b bytes.Buffer
	leaf := func(kind, text string) {
		fmt.Fprintf(&b, "Content-Type: %s; charset=%s\r\n", kind, tongue.charset)
		switch r.IntN(3) {
		case 0:
			b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
			e := base64.StdEncoding.EncodeToString(encode(text))
			for len(e) > 76 {
				b.WriteString(e[:76] + "\r\n")
				e = e[76:]
			}
			b.WriteString(e + "\r\n")
		case 1:
			b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
			q := quotedprintable.NewWriter(&b)
			_, _ = q.Write(encode(text))
			_ = q.Close()
			b.WriteString("\r\n")
		default:
			b.WriteString("Content-Transfer-Encoding: 8bit\r\n\r\n")
			b.Write(encode(text))
			b.WriteString("\r\n")
		}
	}
	fmt.Fprintf(&b, "From: %s <sender%d@example.org>\r\nSubject: %s\r\n %s\r\nMessage-ID: <%d.%d@example.org>\r\nMIME-Version: 1.0\r\n",
		word(tongue.words[0]), r.IntN(50), word(some(2)), word(some(1)), n, r.Uint32())
	if r.IntN(2) == 0 {
		leaf("text/plain", some(5+r.IntN(60)))
		return b.Bytes(), failed
	}
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\nnobody sees this\r\n", n)
	for i := range 1 + r.IntN(3) {
		fmt.Fprintf(&b, "--b%d\r\n", n)
		leaf([]string{"text/plain", "text/html"}[i%2], some(5+r.IntN(40)))
	}
	fmt.Fprintf(&b, "--b%d\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--b%d--\r\n", n, base64.StdEncoding.EncodeToString([]byte("ref99999 inside of a file")), n)
	return b.Bytes(), failed
}

// Text decodes header and text parts of a message.
func Text(raw []byte) (string, error) {
	words := gomime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		enc, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return enc.NewDecoder().Reader(r), nil
	}}
	var out strings.Builder
	header := func(h map[string][]string) {
		for name, values := range h {
			for _, v := range values {
				if d, err := words.DecodeHeader(v); err == nil {
					v = d
				}
				fmt.Fprintf(&out, "%s: %s\n", name, v)
			}
		}
	}
	leaf := func(kind, encoding string, body io.Reader) error {
		media, params, err := gomime.ParseMediaType(kind)
		if err != nil || !strings.HasPrefix(media, "text/") {
			return err
		}
		switch encoding {
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		}
		enc, err := htmlindex.Get(params["charset"])
		if err != nil {
			return err
		}
		b, err := io.ReadAll(enc.NewDecoder().Reader(body))
		out.Write(b)
		out.WriteString("\n\n")
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	header(m.Header)
	kind := m.Header.Get("Content-Type")
	_, params, _ := gomime.ParseMediaType(kind)
	if params["boundary"] == "" {
		err := leaf(kind, m.Header.Get("Content-Transfer-Encoding"), m.Body)
		return out.String(), err
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		header(p.Header)
		if err := leaf(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p); err != nil {
			return "", err
		}
	}
}

// Fold folds by the smallest of the letters that are one (Unicode's simple
// case folding, by way of its orbits).
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, s)
}

// Words are n words of the texts, pieces of them, and some that are in
// none; many in another case.
func Words[ID cmp.Ordered](r *rand.Rand, texts map[ID]string, n int) []string {
	ids := slices.Sorted(maps.Keys(texts))
	var out []string
	for len(out) < n {
		tokens := strings.FieldsFunc(texts[ids[r.IntN(len(ids))]], func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if len(tokens) == 0 {
			continue
		}
		w := []rune(tokens[r.IntN(len(tokens))])
		switch r.IntN(4) {
		case 0:
			from := r.IntN(len(w))
			w = w[from : from+1+r.IntN(len(w)-from)]
		case 1:
			w = append(w, w[r.IntN(len(w))]) // rarely anywhere
		}
		s := string(w)
		if r.IntN(3) == 0 {
			s = strings.Map(unicode.ToUpper, s)
		}
		out = append(out, s)
	}
	return out
}
