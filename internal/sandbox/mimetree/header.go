package mimetree

import (
	"bytes"
	"net/mail"
	"regexp"
	"strings"
	"time"
)

// A Header is the fields of a message or part, in order.
type Header []Field

type Field struct {
	Name  string
	Value []byte // unfolded, raw: encoded words and stray 8-bit bytes included
}

// Normalise makes of a message as found one as a server holds it: line ends
// CRLF, no mbox separator line in front. It changes nothing the second time.
func Normalise(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte(">From ")) {
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			raw = raw[i+1:]
		}
	}
	bare := 0
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			bare++
		}
	}
	if bare == 0 {
		return bytes.Clone(raw)
	}
	out := make([]byte, 0, len(raw)+bare)
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// ParseHeader splits a message or part at its first empty line. A line that is
// neither a field nor a continuation is taken as one: folded badly by some
// relay, it belongs to the field before it.
func ParseHeader(raw []byte) (Header, []byte) {
	var h Header
	for len(raw) > 0 {
		line, rest := CutLine(raw)
		if len(line) == 0 {
			return h, rest
		}
		raw = rest
		if name, value, ok := CutField(line); ok && line[0] != ' ' && line[0] != '\t' {
			h = append(h, Field{name, value})
		} else {
			h.extend(line)
		}
	}
	return h, nil
}

// extend adds a line to the last field. The value is copied: it was a slice of
// the message.
func (h Header) extend(line []byte) {
	if line = bytes.TrimSpace(line); len(line) > 0 && len(h) > 0 {
		f := &h[len(h)-1]
		f.Value = append(append(f.Value[:len(f.Value):len(f.Value)], ' '), line...)
	}
}

// CutLine cuts the first line off, without its line end.
func CutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	return bytes.TrimSuffix(b[:i], []byte("\r")), b[i+1:]
}

// CutField reads "Name: value"; a name is printable ASCII without spaces
// (RFC 5322, 2.2), with the white space before the colon that RFC 822 allowed.
func CutField(line []byte) (string, []byte, bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return "", nil, false
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return "", nil, false
		}
	}
	return string(name), bytes.TrimSpace(line[i+1:]), len(name) > 0
}

// Get is the first field of a name, raw.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return string(f.Value)
		}
	}
	return ""
}

// All are the values of a field that may be repeated, joined as one list.
func (h Header) All(name string) string {
	var vs []string
	for _, f := range h {
		if strings.EqualFold(f.Name, name) && len(f.Value) > 0 {
			vs = append(vs, string(f.Value))
		}
	}
	return strings.Join(vs, ", ")
}

func (h Header) Has(name string) bool {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// MessageIDs are the ids in angle brackets of References and the like.
func MessageIDs(s string) []string {
	var ids []string
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return ids
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			return ids
		}
		ids = append(ids, s[i:i+j+1])
		s = s[i+j+1:]
	}
}

// dateLayouts are what mail programs wrote when they did not follow RFC 5322.
var dateLayouts = []string{
	"Mon, 2 Jan 2006 15:04:05 -0700",
	"Mon, 2 Jan 2006 15:04:05 MST",
	"Mon, 2 Jan 2006 15:04 -0700",
	"2 Jan 2006 15:04:05 -0700",
	"2 Jan 2006 15:04:05 MST",
	"Mon, 2 Jan 06 15:04:05 -0700",
	"Mon, 2 Jan 06 15:04:05 MST",
	"Mon, 2 Jan 2006 15:04:05",
	"2 Jan 2006 15:04:05",
	"Mon, 2 January 2006 15:04:05 -0700",
	"Mon, 2 Jan 2006 3:04:05 PM -0700",
	"2 Jan 06 3:04:05 PM",
	"2 Jan 2006 3:04:05 PM",
	"2 Jan 06 15:04:05",
	"Mon, 2 Jan 2006 15:04:05 -07:00",
	"Mon 2 Jan 2006 15:04:05 -0700",
	"Monday, 2 Jan 2006 15:04:05 -0700",
	"Monday, January 2, 2006 3:04 PM",
	"Mon Jan 2 15:04:05 2006",
	"Mon Jan 2 15:04:05 MST 2006",
	"Mon Jan 2 15:04:05 2006 -0700",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05",
	time.RFC3339,
}

// parseDate reads a Date field, forgiving what real mail does to it.
func parseDate(s string) (time.Time, bool) {
	s = strings.Join(strings.Fields(s), " ")
	if t, err := mail.ParseDate(s); err == nil {
		return t, true
	}
	if i := strings.IndexByte(s, '('); i > 0 { // a comment, perhaps not closed
		s = strings.TrimSpace(s[:i])
	}
	s = strings.TrimSpace(strings.TrimPrefix(s, ","))
	switch i := strings.LastIndexByte(s, ' ') + 1; {
	case zoneShort.MatchString(s[i:]): // "+100" for "+0100"
		s = s[:i+1] + "0" + s[i+1:]
	case zoneTwice.MatchString(s[i:]): // "+05-30" for "+0530"
		s = s[:i+3] + s[i+4:]
	}
	for name, offset := range longZones {
		s = strings.Replace(s, name, offset, 1)
	}
	for range 4 { // a zone that nobody knows, of up to three words: read as UTC
		for _, layout := range dateLayouts {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
		i := strings.LastIndexByte(s, ' ')
		if i < 0 {
			break
		}
		s = s[:i]
	}
	return time.Time{}, false
}

var (
	zoneShort = regexp.MustCompile(`^[+-]\d{3}$`)
	zoneTwice = regexp.MustCompile(`^[+-]\d\d-\d\d$`)
)

// longZones are zones as Windows spells them out.
var longZones = map[string]string{
	"Eastern Daylight Time": "-0400", "Eastern Standard Time": "-0500", "Central Daylight Time": "-0500", "Central Standard Time": "-0600",
	"Mountain Daylight Time": "-0600", "Mountain Standard Time": "-0700", "Pacific Daylight Time": "-0700", "Pacific Standard Time": "-0800",
}

// SentDate is the date that a raw message says it was sent: its Date field, or
// the newest Received line's, or false. Whoever loads mail may use it as the
// date of delivery.
func SentDate(raw []byte) (time.Time, bool) {
	h, _ := ParseHeader(Normalise(raw))
	return h.Date()
}

func (h Header) Date() (time.Time, bool) {
	if t, ok := parseDate(h.Get("Date")); ok {
		return t, true
	}
	for _, f := range h {
		if strings.EqualFold(f.Name, "Received") {
			if i := bytes.LastIndexByte(f.Value, ';'); i >= 0 {
				if t, ok := parseDate(string(f.Value[i+1:])); ok {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}
