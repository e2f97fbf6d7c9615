package session

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
)

// errCharset: the charset of a SEARCH is not known.
var errCharset = errors.New("the charset is not known")

// badCharset is the response code for it: some of those that are known
// (RFC 9051, 7.1, BADCHARSET).
const badCharset = "BADCHARSET (UTF-8 US-ASCII ISO-8859-1 ISO-8859-15 WINDOWS-1252 KOI8-R ISO-2022-JP SHIFT_JIS EUC-KR GB18030 BIG5)"

// charsetDecoder gives what decodes strings of a charset, nil where it is not
// known.
func charsetDecoder(name string) func(string) (string, bool) {
	switch strings.ToUpper(name) {
	case "UTF-8", "UTF8", "US-ASCII", "ASCII":
		// Some programs say US-ASCII and send UTF-8, which holds all of it.
		return decodeUTF8
	}
	enc, err := ianaindex.IANA.Encoding(name)
	if err != nil || enc == nil || enc == encoding.Replacement {
		return nil
	}
	return func(s string) (string, bool) {
		out, err := enc.NewDecoder().String(s)
		return out, err == nil && !strings.ContainsRune(out, utf8.RuneError)
	}
}

// decodeUTF8 is for searches without a charset, too: IMAP4rev2 has no other
// default (RFC 9051, 6.4.4), and the one of IMAP4rev1, US-ASCII, is part of it.
func decodeUTF8(s string) (string, bool) { return s, utf8.ValidString(s) }
