// Package header is what plugins do with the header of a message (RFC 5322):
// take it apart without losing a byte, read addresses, ids and encoded words as
// ugly mail has them, and make it say who the envelope says.
//
// It is lenient: what cannot be read stays as it is, or is left out; nothing
// panics and nothing fails. What was taken apart and put together again is the
// same to the byte.
package header

import (
	"bytes"
	"io"
	"mime"
	stdmail "net/mail"
	"strings"

	"golang.org/x/net/html/charset"
)

// Field is one header field as it stands, with its folding and line end.
type Field struct {
	Name string // lower case; empty for a line that is no field
	Raw  []byte
}

// Value is what stands behind the colon, unfolded.
func (f *Field) Value() string {
	_, v, _ := strings.Cut(string(f.Raw), ":")
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(v))
}

// Split takes a message apart at its empty line (RFC 5322, 2.1). body
// begins with it.
func Split(raw []byte) (fields []Field, body []byte) {
	for at := 0; at < len(raw); {
		end := len(raw)
		if i := bytes.IndexByte(raw[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		line := raw[at:end]
		switch {
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return fields, raw[at:]
		case (line[0] == ' ' || line[0] == '\t') && len(fields) > 0:
			last := &fields[len(fields)-1]
			last.Raw = raw[at-len(last.Raw) : end]
		default:
			name, _, ok := strings.Cut(string(line), ":")
			if !ok || strings.ContainsAny(strings.TrimRight(name, " \t"), " \t") {
				name = ""
			}
			fields = append(fields, Field{Name: strings.ToLower(strings.TrimSpace(name)), Raw: line})
		}
		at = end
	}
	return fields, nil
}

var wordDecoder = &mime.WordDecoder{CharsetReader: func(label string, r io.Reader) (io.Reader, error) {
	return charset.NewReaderLabel(label, r)
}}

// DecodeText decodes encoded words (RFC 2047); what cannot be decoded stays.
func DecodeText(v string) string {
	if d, err := wordDecoder.DecodeHeader(v); err == nil {
		return d
	}
	return v
}

// ParseAddresses reads a field of addresses; ok is false where it cannot be
// read with certainty.
func ParseAddresses(v string) (list []*stdmail.Address, ok bool) {
	name, none := strings.CutSuffix(strings.TrimSpace(v), ":;")
	if v == "" || none && !strings.ContainsAny(name, "@,;:") {
		return nil, true // "undisclosed-recipients:;", and nobody before it
	}
	parser := stdmail.AddressParser{WordDecoder: wordDecoder}
	list, err := parser.ParseList(v)
	return list, err == nil
}

// ForEnvelope makes the header say who the envelope says, for providers that
// mail to the header and know no envelope. Who is in the envelope alone becomes a
// Bcc; who is in the header alone leaves it; fields that need no change keep
// their bytes, and so does everything else.
func ForEnvelope(raw []byte, recipients []string) []byte {
	if len(recipients) == 0 {
		return raw
	}
	wanted := make(map[string]bool, len(recipients))
	for _, r := range recipients {
		wanted[strings.ToLower(strings.TrimSpace(r))] = true
	}
	fields, body := Split(raw)
	visible := map[string]bool{}
	var out bytes.Buffer
	out.Grow(len(raw) + 256)
	for i := range fields {
		f := &fields[i]
		switch f.Name {
		case "bcc", "resent-bcc":
			continue
		case "to", "cc":
			list, ok := ParseAddresses(f.Value())
			var keep []*stdmail.Address
			for _, a := range list {
				if key := strings.ToLower(a.Address); wanted[key] {
					visible[key] = true
					keep = append(keep, a)
				}
			}
			switch {
			case !ok || (len(list) > 0 && len(keep) == 0):
				// The provider might read other addresses in it than we do.
			case len(keep) == len(list):
				out.Write(f.Raw)
			default:
				writeAddresses(&out, map[string]string{"to": "To", "cc": "Cc"}[f.Name], keep)
			}
			continue
		}
		out.Write(f.Raw)
	}
	var hidden []*stdmail.Address
	for _, r := range recipients {
		key := strings.ToLower(strings.TrimSpace(r))
		if wanted[key] && !visible[key] {
			hidden = append(hidden, &stdmail.Address{Address: strings.TrimSpace(r)})
			visible[key] = true
		}
	}
	if len(hidden) > 0 {
		writeAddresses(&out, "Bcc", hidden)
	}
	if body == nil {
		body = []byte("\r\n")
	}
	out.Write(body)
	return out.Bytes()
}

// writeAddresses writes a field, one address to a line.
func writeAddresses(out *bytes.Buffer, name string, list []*stdmail.Address) {
	out.WriteString(name + ": ")
	for i, a := range list {
		if i > 0 {
			out.WriteString(",\r\n ")
		}
		out.WriteString(a.String())
	}
	out.WriteString("\r\n")
}

// BareID is a msg-id without its angle brackets.
func BareID(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// MessageIDs reads the msg-ids of In-Reply-To and References (RFC 5322,
// 3.6.4), skipping what is between them.
func MessageIDs(v string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(v, "<")
		if !ok {
			return out
		}
		id, rest, ok := strings.Cut(rest, ">")
		if !ok {
			return out
		}
		if id = strings.Join(strings.Fields(id), ""); id != "" {
			out = append(out, id)
		}
		v = rest
	}
}

// Preview is text on one line, as short as mail.Message's preview is.
func Preview(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 256 {
		s = string(r[:256])
	}
	return s
}
