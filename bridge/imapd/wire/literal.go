package wire

// literalHead reads "{n}", "{n+}" or "{n-}" and CRLF at the start of b: the
// literal's size and how many bytes the head takes.
func literalHead(b []byte) (size int64, head int, ok bool) {
	if len(b) == 0 || b[0] != '{' {
		return 0, 0, false
	}
	i := 1
	for ; i < len(b) && isDigit(b[i]); i++ {
		if size = size*10 + int64(b[i]-'0'); size > maxLiteral {
			return 0, 0, false
		}
	}
	if i == 1 {
		return 0, 0, false
	}
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		i++
	}
	if i+3 > len(b) || b[i] != '}' || b[i+1] != '\r' || b[i+2] != '\n' {
		return 0, 0, false
	}
	return size, i + 3, true
}

// maxLiteral is the largest size that a literal may name: RFC 9051, section 9,
// "number64", and room to add without a sign flipping.
const maxLiteral = 1<<62 - 1
