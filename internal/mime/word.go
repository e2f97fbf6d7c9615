package mime

import (
	"fmt"
	"mime"
	"strings"
)

// Strings of the rows go to clients that take quoted strings with 7-bit
// characters alone (RFC 3501, 9), and those that take more take these as well.
// So text with 8-bit bytes is told as encoded words (RFC 2047), which mean the
// same to every client; what has such words already is told as it is.

// appendWord appends text as a quoted string.
func appendWord(b []byte, s string) []byte {
	return appendQuoted(b, sevenBit(s))
}

// appendNWord appends text as a quoted string, and none as NIL.
func appendNWord(b []byte, s string) []byte {
	if s == "" {
		return append(b, "NIL"...)
	}
	return appendWord(b, s)
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case 0, '\r', '\n': // no string may have a NUL, no quoted one the others
			continue
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// appendAddrWord appends one side of an address. Encoded words may not stand
// there (RFC 2047, 5), so that what is not ASCII is a literal, in UTF-8
// (RFC 6532, 3.2).
func appendAddrWord(b []byte, s string) []byte {
	if ascii(s) {
		return appendQuoted(b, s)
	}
	s = strings.ReplaceAll(toUTF8([]byte(s)), "\x00", "")
	return append(fmt.Appendf(b, "{%d}\r\n", len(s)), s...)
}

func sevenBit(s string) string {
	if ascii(s) {
		return s
	}
	return mime.QEncoding.Encode("utf-8", decodeWords(toUTF8([]byte(s))))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
