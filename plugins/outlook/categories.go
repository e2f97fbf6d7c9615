package outlook

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Free keywords are kept as categories. A category is any text in any case
// ("Red category"), a keyword is lower-case ASCII without a few characters
// (RFC 8621, 4.1.1, after RFC 9051's atoms). What a keyword cannot hold is
// written _xHEX_, as in "red_x0020_category"; so is an underscore that would
// be read as the beginning of that, and a $ in front, which marks keywords of
// the system.

// categoryKeyword gives the keyword of a category.
func categoryKeyword(category string) string {
	var b strings.Builder
	lower := strings.ToLower(category)
	for i, r := range lower {
		switch {
		case r == '_' && i+1 < len(lower) && lower[i+1] == 'x',
			r == '$' && i == 0,
			r <= ' ' || r >= utf8.RuneSelf || r == 0x7f,
			strings.ContainsRune(`(){]%*"\`, r):
			fmt.Fprintf(&b, "_x%04x_", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// keywordCategory gives the category that a new keyword becomes.
func keywordCategory(keyword string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(keyword, "_x")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		hex, after, ok := strings.Cut(rest, "_")
		n, err := strconv.ParseUint(hex, 16, 32)
		if !ok || err != nil || len(hex) < 4 || !utf8.ValidRune(rune(n)) {
			b.WriteString("_x")
			keyword = rest
			continue
		}
		b.WriteRune(rune(n))
		keyword = after
	}
}
