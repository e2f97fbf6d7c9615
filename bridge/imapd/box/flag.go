package box

import (
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// System flags of RFC 9051, 2.3.2.
const (
	Seen     = `\Seen`
	Answered = `\Answered`
	Flagged  = `\Flagged`
	Draft    = `\Draft`
	Deleted  = `\Deleted`
)

// system are the keywords that IMAP has a system flag for (RFC 8621, 4.1.1).
var system = []struct{ keyword, flag string }{
	{mail.Answered, Answered},
	{mail.Flagged, Flagged},
	{mail.Draft, Draft},
	{mail.Seen, Seen},
}

// registered are keywords whose registered spelling has capitals (RFC 5788).
// Flags are compared without regard to case, but programs that do not know
// that know these.
var registered = []struct{ keyword, flag string }{
	{mail.Forwarded, "$Forwarded"},
	{"$mdnsent", "$MDNSent"},
	{"$junk", "$Junk"},
	{"$notjunk", "$NotJunk"},
	{"$phishing", "$Phishing"},
	{"$submitpending", "$SubmitPending"},
	{"$submitted", "$Submitted"},
}

// escaped begins the flag of a keyword that is no atom. What follows is the
// keyword with each octet that an atom must not have, and each "=", written
// "=hh". A legal keyword that begins so is escaped as well, so every flag
// stands for one keyword.
const escaped = "$x="

// Known reports whether a keyword is one of IMAP's own flags, or a registered
// one: not one that a mail program, its owner or the provider has made up.
func Known(keyword string) bool {
	for _, s := range system {
		if s.keyword == keyword {
			return true
		}
	}
	for _, r := range registered {
		if r.keyword == keyword {
			return true
		}
	}
	return false
}

// FlagOf gives the IMAP flag of a keyword: a legal one, whatever the keyword.
func FlagOf(keyword string) string {
	for _, s := range system {
		if s.keyword == keyword {
			return s.flag
		}
	}
	for _, r := range registered {
		if r.keyword == keyword {
			return r.flag
		}
	}
	legal := keyword != "" && !strings.HasPrefix(keyword, escaped)
	for i := 0; i < len(keyword) && legal; i++ {
		legal = atomChar(keyword[i])
	}
	if legal {
		return keyword
	}
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.WriteString(escaped)
	for i := 0; i < len(keyword); i++ {
		c := keyword[i]
		if c != '=' && atomChar(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// KeywordOf gives the keyword of a flag. Flags are compared without regard to
// case (RFC 9051, 2.3.2), keywords are lower case. ok is false for \Deleted,
// which is no keyword, and for system flags that are not known.
func KeywordOf(flag string) (keyword string, ok bool) {
	for _, s := range system {
		if strings.EqualFold(s.flag, flag) {
			return s.keyword, true
		}
	}
	if flag == "" || flag[0] == '\\' {
		return "", false
	}
	flag = strings.ToLower(flag)
	if rest, cut := strings.CutPrefix(flag, escaped); cut {
		if keyword := unescape(rest); FlagOf(keyword) == flag {
			return keyword, true
		}
	}
	return flag, true
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '=' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0 {
			b.WriteByte(byte(hexDigit(s[i+1])<<4 | hexDigit(s[i+2])))
			i += 2
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789abcdef", c) }

// atomChar reports whether an atom may have the octet (RFC 9051, 9).
func atomChar(c byte) bool {
	return c > 0x20 && c < 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c))
}

// flagsOf gives the flags of a message: system flags first.
func flagsOf(keywords []string, deleted bool) []string {
	out := make([]string, 0, len(keywords)+1)
	for _, s := range system {
		if slices.Contains(keywords, s.keyword) {
			out = append(out, s.flag)
		}
	}
	if deleted {
		out = append(out, Deleted)
	}
	for _, k := range keywords {
		if flag := FlagOf(k); flag[0] != '\\' {
			out = append(out, flag)
		}
	}
	return out
}
