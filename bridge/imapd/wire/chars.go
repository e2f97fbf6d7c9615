package wire

// isAtom reports an ATOM-CHAR: RFC 9051, section 9. Bytes above 127 are none.
func isAtom(c byte) bool {
	switch c {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
		return false
	}
	return c > 0x1f && c < 0x7f
}

func isAString(c byte) bool { return c == ']' || isAtom(c) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isKeyword(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '_' || c == '='
}

// isTag reports a byte that a tag may hold: an ASTRING-CHAR but "+".
func isTag(c byte) bool { return c != '+' && isAString(c) }

// IsAtom reports whether s is an atom as a whole, so that it may go on the wire
// bare, as a flag does.
func IsAtom(s string) bool {
	for i := range len(s) {
		if !isAtom(s[i]) {
			return false
		}
	}
	return s != ""
}

// isPattern reports a list-char.
func isPattern(c byte) bool { return c == '*' || c == '%' || isAString(c) }
