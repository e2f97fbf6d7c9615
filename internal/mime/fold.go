package mime

import (
	"strings"
	"unicode"
)

// Fold gives a string in which letters of one kind are the same (Unicode
// simple case folding): two strings that differ in case alone fold to one.
func Fold(s string) string {
	return strings.Map(foldRune, s)
}

func foldRune(r rune) rune {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(r)
}
