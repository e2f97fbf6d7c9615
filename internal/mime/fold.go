package mime

import (
	"strings"
	"unicode"
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
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:i])
	for _, r := range s[i:] {
		b.WriteRune(foldRune(r))
	}
	return b.String()
}

// foldRune gives the least letter among those that are the same but for case,
// and of ASCII letters the small one.
func foldRune(r rune) rune {
	switch {
	case r < 'A':
		return r
	case r <= 'Z':
		return r + 'a' - 'A'
	case r < 0x80, r >= 0x2e80 && r < 0xa640, r >= 0xac00 && r < 0xd7a4: // Chinese, Japanese and Korean have no case
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
