package mimetree

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// charsetAliases are names that mail uses and the WHATWG index does not know.
var charsetAliases = map[string]string{
	"ansi_x3.4":       "windows-1252",
	"ascii":           "windows-1252",
	"cp936":           "gbk",
	"cp949":           "euc-kr",
	"gb2312-80":       "gbk",
	"iso-8859-8-i":    "iso-8859-8",
	"iso8859_1":       "windows-1252",
	"ks_c_5601":       "euc-kr",
	"macintosh-roman": "macintosh",
	"shift-jis":       "shift_jis",
	"utf":             "utf-8",
	"x-gbk":           "gbk",
	"x-mac-roman":     "macintosh",
}

// findCharset is the decoder of a charset's name; nil when nobody knows it.
func findCharset(name string) encoding.Encoding {
	name = strings.ToLower(strings.Trim(strings.TrimSpace(name), `"'`))
	if a, ok := charsetAliases[name]; ok {
		name = a
	}
	if e, err := htmlindex.Get(name); err == nil {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e
	}
	return nil
}

// decodeCharset turns bytes of a declared charset into text. What the
// declaration says is not always what the bytes are: text that is UTF-8 in
// spite of a declaration of ASCII or of nothing is taken as UTF-8, and what
// fits nothing is read as windows-1252, which never fails.
func decodeCharset(b []byte, name string) string {
	lower := strings.ToLower(strings.TrimSpace(name))
	switch lower {
	case "utf-8", "utf8":
		if utf8.Valid(b) {
			return string(b)
		}
		return strings.ToValidUTF8(string(b), "\uFFFD")
	case "utf-7", "unicode-1-1-utf-7":
		return decodeUTF7(b)
	case "", "us-ascii", "ascii", "unknown-8bit", "x-unknown", "default", "7bit", "8bit", "binary", "unknown":
		return Guess(b)
	}
	if IsASCII(b) && !strings.HasPrefix(lower, "iso-2022") && !strings.HasPrefix(lower, "hz") && !strings.HasPrefix(lower, "utf-16") {
		return string(b)
	}
	e := findCharset(name)
	if e == nil {
		return Guess(b)
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return Guess(b)
	}
	return string(out)
}

// Guess reads bytes that nobody described.
func Guess(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

func IsASCII(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// decodeUTF7 reads RFC 2152: text in ASCII with runs of UTF-16 in base64
// between + and -.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] != '+' {
			out.WriteByte(b[i])
			continue
		}
		end := i + 1
		for end < len(b) && base64Value(b[end]) >= 0 {
			end++
		}
		if end == i+1 {
			out.WriteByte('+')
		} else {
			out.WriteString(decodeUTF16BE(DecodeBase64(b[i+1 : end])))
		}
		if end < len(b) && b[end] == '-' {
			end++
		}
		i = end - 1
	}
	return out.String()
}

func decodeUTF16BE(b []byte) string {
	e, err := htmlindex.Get("utf-16be")
	if err != nil {
		return ""
	}
	out, err := e.NewDecoder().Bytes(b[:len(b)/2*2])
	if err != nil {
		return ""
	}
	return string(out)
}
