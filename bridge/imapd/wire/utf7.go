package wire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// modified is base64 as mailbox names have it: "," in place of "/", no padding
// (RFC 3501, section 5.1.3).
var modified = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

var (
	errUTF7 = errors.New("a mailbox name is no modified UTF-7")
	errUTF8 = errors.New("a mailbox name is no UTF-8")
	errNUL  = errors.New("a mailbox name holds NUL")
)

// MailboxName decodes a mailbox name, or a pattern of names, as a client sent it.
func MailboxName(s string, asUTF8 bool) (string, error) {
	if strings.EqualFold(s, "INBOX") {
		return "INBOX", nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", errNUL
	}
	if asUTF8 {
		// RFC 6855, section 3: names are UTF-8 then, and "&" is itself. Nothing
		// is lost on a client that goes on with ASCII.
		if !utf8.ValidString(s) {
			return "", errUTF8
		}
		return s, nil
	}
	return DecodeUTF7(s)
}

// EncodeUTF7 writes a mailbox name in modified UTF-7. What is no UTF-8 becomes
// the replacement character.
func EncodeUTF7(name string) string {
	plain := true
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c > 0x7e || c == '&' {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	var b strings.Builder
	var wide []uint16
	flush := func() {
		if wide == nil {
			return
		}
		raw := make([]byte, 0, 2*len(wide))
		for _, u := range wide {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteByte('&')
		b.WriteString(modified.EncodeToString(raw))
		b.WriteByte('-')
		wide = nil
	}
	for _, r := range name {
		switch {
		case r == '&':
			flush()
			b.WriteString("&-")
		case r >= 0x20 && r <= 0x7e:
			flush()
			b.WriteRune(r)
		default:
			wide = utf16.AppendRune(wide, r)
		}
	}
	flush()
	return b.String()
}

// DecodeUTF7 reads modified UTF-7. It takes one spelling of every name alone,
// the one that EncodeUTF7 writes: two names that differ on the wire are two
// mailboxes.
func DecodeUTF7(s string) (string, error) {
	if strings.IndexByte(s, '&') < 0 {
		for i := range len(s) {
			if s[i] < 0x20 || s[i] > 0x7e {
				return "", errUTF7
			}
		}
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '&' {
			b.WriteByte(s[i])
			i++
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", errUTF7
		}
		inner := s[i+1 : i+end]
		i += end + 1
		if inner == "" {
			b.WriteByte('&')
			continue
		}
		raw, err := modified.DecodeString(inner)
		if err != nil || len(raw)%2 != 0 {
			return "", errUTF7
		}
		wide := make([]uint16, len(raw)/2)
		for k := range wide {
			wide[k] = uint16(raw[2*k])<<8 | uint16(raw[2*k+1])
		}
		b.WriteString(string(utf16.Decode(wide)))
	}
	name := b.String()
	if EncodeUTF7(name) != s {
		return "", errUTF7
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", errNUL
	}
	return name, nil
}
