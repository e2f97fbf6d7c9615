package mimetree

import (
	"strings"
	"unicode/utf8"
)

// DecodeWords decodes the encoded words (RFC 2047) of a header value and the
// stray 8-bit bytes around them, which are read as fallback says or, when that
// is empty, guessed. White space between two encoded words is dropped; words of
// one charset that follow each other are joined before they are decoded,
// because some programs cut characters in half.
func DecodeWords(s, fallback string) string {
	if !strings.Contains(s, "=?") {
		return decodePlain(s, fallback)
	}
	var out strings.Builder
	var pending []byte
	charset := ""
	flush := func() {
		if len(pending) > 0 {
			out.WriteString(decodeCharset(pending, charset))
		}
		pending, charset = nil, ""
	}
	afterWord := false
	for len(s) > 0 {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		cs, data, rest, ok := cutWord(s[i:])
		if !ok {
			flush()
			out.WriteString(decodePlain(s[:i+2], fallback))
			s, afterWord = s[i+2:], false
			continue
		}
		if gap := s[:i]; !(afterWord && strings.Trim(gap, " \t\r\n") == "") {
			flush()
			out.WriteString(decodePlain(gap, fallback))
		}
		if !strings.EqualFold(cs, charset) {
			flush()
			charset = cs
		}
		pending = append(pending, data...)
		s, afterWord = rest, true
	}
	flush()
	out.WriteString(decodePlain(s, fallback))
	return out.String()
}

// decodePlain decodes what is no encoded word: UTF-8 where it is that
// (RFC 6532, 3.2), and otherwise of the charset that the body has.
func decodePlain(s, fallback string) string {
	if utf8.ValidString(s) && !IsASCII([]byte(s)) {
		return s
	}
	return decodeCharset([]byte(s), fallback)
}

// cutWord reads one encoded word at the start of s. Spaces inside are against
// the rules and common.
func cutWord(s string) (charset string, data []byte, rest string, ok bool) {
	body := s[2:]
	i := strings.IndexByte(body, '?')
	if i <= 0 || i+2 >= len(body) || body[i+2] != '?' {
		return "", nil, "", false
	}
	charset, enc, text := body[:i], body[i+1], body[i+3:]
	charset, _, _ = strings.Cut(charset, "*") // RFC 2231, 5: a language
	end := strings.Index(text, "?=")
	if end < 0 || strings.ContainsAny(charset, " <>@") {
		return "", nil, "", false
	}
	rest = text[end+2:]
	text = text[:end]
	switch enc {
	case 'b', 'B':
		return charset, DecodeBase64([]byte(text)), rest, true
	case 'q', 'Q':
		return charset, decodeQ(text), rest, true
	}
	return "", nil, "", false
}

func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0:
			out = append(out, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return out
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func base64Value(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// DecodeBase64 decodes what it can: line ends and junk are skipped, missing
// padding does not matter, padding in the middle starts a new run.
func DecodeBase64(b []byte) []byte {
	out := make([]byte, 0, len(b)*3/4)
	var acc uint32
	n := 0
	end := func() {
		switch n {
		case 2:
			out = append(out, byte(acc>>4))
		case 3:
			out = append(out, byte(acc>>10), byte(acc>>2))
		}
		acc, n = 0, 0
	}
	for _, c := range b {
		if c == '=' {
			end()
			continue
		}
		v := base64Value(c)
		if v < 0 {
			continue
		}
		acc = acc<<6 | uint32(v)
		if n++; n == 4 {
			out = append(out, byte(acc>>16), byte(acc>>8), byte(acc))
			acc, n = 0, 0
		}
	}
	end()
	return out
}

// decodeQP decodes quoted-printable (RFC 2045, 6.7); what is not valid stays
// as it is.
func decodeQP(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		line, rest := CutLine(b)
		ended := len(rest) > 0 || len(line) < len(b)
		b = rest
		line = []byte(strings.TrimRight(string(line), " \t"))
		soft := false
		for i := 0; i < len(line); i++ {
			c := line[i]
			switch {
			case c == '=' && i == len(line)-1:
				soft = true
			case c == '=' && i+2 < len(line) && hexValue(line[i+1]) >= 0 && hexValue(line[i+2]) >= 0:
				out = append(out, byte(hexValue(line[i+1])<<4|hexValue(line[i+2])))
				i += 2
			default:
				out = append(out, c)
			}
		}
		if ended && !soft {
			out = append(out, '\r', '\n')
		}
	}
	return out
}
