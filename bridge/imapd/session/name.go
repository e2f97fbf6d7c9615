package session

import (
	"strings"
	"unicode/utf8"
)

// Delimiter separates the levels of mailbox names.
const Delimiter = '/'

// A mailbox's name in IMAP is its path: the names of its parents and its own,
// with the delimiter between them. The mailbox with the role inbox is INBOX,
// whatever the provider calls it. Names at the provider may hold what a path
// cannot, so in each of them
//
//	"/"               is written =2F,
//	a control octet   =00 to =1F, =7F,
//	an octet that is not UTF-8   =80 to =FF,
//	a "=" before two digits that would be read as one of these   =3D,
//	an empty name     =
//
// and of two siblings of one name, the one that came later gets "=~" and the
// end of its id behind its name. A path so names one mailbox, and what is
// created by a path has the name that the path was written from.
//
// The name of a label is a path itself: "Projects/Travel" is below "Projects",
// whether there is a label of that name or not. Only where a level of it would
// be empty is each "/" of it written =2F.

// encodeName writes one level of a path.
func encodeName(name string) string {
	if name == "" {
		return "="
	}
	if name == "=" {
		return "=3D"
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		c := name[i]
		switch {
		case c == Delimiter, c < 0x20, c == 0x7f, r == utf8.RuneError && size == 1,
			c == '=' && escapes(name[i:]):
			const hex = "0123456789ABCDEF"
			b.WriteString(string([]byte{'=', hex[c>>4], hex[c&15]}))
		default:
			b.WriteString(name[i : i+size])
		}
		i += size
	}
	return b.String()
}

// encodeLabel writes the path that a label's name is.
func encodeLabel(name string) string {
	levels := strings.Split(name, string(Delimiter))
	for i, level := range levels {
		if strings.TrimSpace(level) == "" {
			return encodeName(name)
		}
		levels[i] = encodeName(level)
	}
	return strings.Join(levels, string(Delimiter))
}

// decodeName reads one level of a path.
func decodeName(level string) string {
	if level == "=" {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(level); i++ {
		if level[i] == '=' && escapes(level[i:]) {
			b.WriteByte(octet(level[i+1:]))
			i += 2
			continue
		}
		b.WriteByte(level[i])
	}
	return b.String()
}

// escapes reports whether s begins with an escape.
func escapes(s string) bool {
	if len(s) < 3 || upperHex(s[1]) < 0 || upperHex(s[2]) < 0 {
		return false
	}
	c := octet(s[1:])
	return c == Delimiter || c == '=' || c < 0x20 || c >= 0x7f
}

func octet(s string) byte { return byte(upperHex(s[0])<<4 | upperHex(s[1])) }

func upperHex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

// inbox is the name that every account has (RFC 9051, 5.1).
const inbox = "INBOX"

// foldInbox writes INBOX, which is the same in any case, in capitals, where a
// name begins with it.
func foldInbox(name string) string {
	first, rest, more := strings.Cut(name, string(Delimiter))
	if !strings.EqualFold(first, inbox) {
		return name
	}
	if !more {
		return inbox
	}
	return inbox + string(Delimiter) + rest
}
