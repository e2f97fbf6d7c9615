package mimetree

import (
	"strings"
)

// A Recipient is a name and an address, either of which may be missing.
type Recipient struct {
	Name    string
	Address string
}

// ParseAddresses reads an address list (RFC 5322, 3.4) and whatever stands
// where one should be: it never fails, and nothing that could be an address is
// lost.
func ParseAddresses(s, charset string) []Recipient {
	var rs []Recipient
	for _, item := range splitAddresses(s) {
		if r, ok := parseAddress(item, charset); ok {
			rs = append(rs, r)
		}
	}
	return rs
}

// splitAddresses cuts at the commas, and at the semicolons and colons of
// groups, that are not inside quotes, comments or angle brackets.
func splitAddresses(s string) []string {
	var items []string
	start, depth := 0, 0
	quoted, angle := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case angle:
		case c == ',' || c == ';':
			items = append(items, s[start:i])
			start = i + 1
		case c == ':' && !strings.Contains(s[start:i], "@") && !strings.Contains(s[start:i], "=?"):
			start = i + 1 // the name of a group
		}
	}
	return append(items, s[start:])
}

func parseAddress(s, charset string) (Recipient, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Recipient{}, false
	}
	var r Recipient
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		r.Name = phrase(s[:i], charset)
		addr := s[i+1:]
		if j := strings.IndexByte(addr, '>'); j >= 0 {
			addr = addr[:j]
		}
		if j := strings.LastIndexByte(addr, ':'); j >= 0 && strings.HasPrefix(addr, "@") {
			addr = addr[j+1:] // an obsolete route
		}
		r.Address = DecodeWords(strings.Join(strings.Fields(addr), ""), charset)
		return r, r.Name != "" || r.Address != ""
	}
	bare, comment := cutComment(s)
	bare = strings.TrimSpace(bare)
	if fields := strings.Fields(bare); len(fields) > 1 {
		// Words without brackets: the one with an @ is the address.
		for i, f := range fields {
			if strings.Contains(strings.Trim(f, `"'`), "@") {
				r.Address = DecodeWords(strings.Trim(f, `"'`), charset)
				r.Name = phrase(strings.Join(append(append([]string{}, fields[:i]...), fields[i+1:]...), " "), charset)
				break
			}
		}
		if r.Address == "" {
			r.Name = phrase(bare, charset)
		}
	} else if !strings.Contains(bare, "@") && strings.Contains(bare, "=?") {
		r.Name = phrase(bare, charset)
	} else {
		r.Address = DecodeWords(strings.Trim(bare, `"`), charset)
	}
	if r.Name == "" {
		r.Name = phrase(comment, charset)
	}
	return r, r.Name != "" || r.Address != ""
}

// cutComment takes the comments out: "joe@x (Joe)".
func cutComment(s string) (bare, comment string) {
	var b, c strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '(':
			if depth > 0 {
				c.WriteByte('(')
			}
			depth++
		case s[i] == ')' && depth > 0:
			if depth--; depth > 0 {
				c.WriteByte(')')
			}
		case depth > 0:
			c.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), c.String()
}

// phrase is a display name: quotes and comments taken out, encoded words read.
// A name that is nothing but a comment is the comment.
func phrase(s, charset string) string {
	var name, comment strings.Builder
	quoted, depth := false, 0
	balanced := strings.Count(s, "(") == strings.Count(s, ")")
	for i := 0; i < len(s); i++ {
		out := &name
		if depth > 0 {
			out = &comment
		}
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			out.WriteByte(s[i])
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted && balanced:
			depth++
		case c == ')' && depth > 0:
			depth--
		default:
			out.WriteByte(c)
		}
	}
	text := strings.TrimSpace(name.String())
	if text == "" {
		text = strings.TrimSpace(comment.String())
	}
	return strings.Join(strings.Fields(DecodeWords(text, charset)), " ")
}

// SameAddress compares addresses as mail systems do in practice.
func SameAddress(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}
