package mime

import (
	"unicode"
	"unicode/utf8"
)

// Fold gives a string in which letters that differ in case alone are the same
// (Unicode simple case folding, which strings.EqualFold goes by): what is
// indexed and what is looked for both go through it. Bytes that are no UTF-8
// become U+FFFD. Folding twice is folding once.
func Fold(s string) string {
	i := 0
	for i < len(s) && s[i] < 0x80 && (s[i] < 'A' || s[i] > 'Z') {
		i++
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, i, len(s)+8)
	copy(b, s)
	for i < len(s) {
		if c := s[i]; c < 0x80 {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b = utf8.AppendRune(b, foldRune(r))
		i += n
	}
	return string(b)
}

// foldRune gives, of a letter beyond ASCII, the least among those that are the
// same but for case; of ASCII letters the small one.
func foldRune(r rune) rune {
	switch {
	case r >= 0x2e80 && r < 0xa640, r >= 0xac00 && r < 0xd7a4: // Chinese, Japanese and Korean have no case
		return r
	}
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	if least >= 'A' && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}
