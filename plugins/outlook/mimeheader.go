package outlook

import (
	"bytes"
	"io"
	"mime"
	stdmail "net/mail"
	"strings"

	"golang.org/x/net/html/charset"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// field is one header field as it stands, with its folding and line end.
type field struct {
	name string // lower case; empty for a line that is no field
	raw  []byte
}

func (f *field) value() string {
	_, v, _ := strings.Cut(string(f.raw), ":")
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(v))
}

// splitHeader takes a message apart at its empty line (RFC 5322, 2.1). body
// begins with it.
func splitHeader(raw []byte) (fields []field, body []byte) {
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
			last.raw = raw[at-len(last.raw) : end]
		default:
			name, _, ok := strings.Cut(string(line), ":")
			if !ok || strings.ContainsAny(strings.TrimRight(name, " \t"), " \t") {
				name = ""
			}
			fields = append(fields, field{name: strings.ToLower(strings.TrimSpace(name)), raw: line})
		}
		at = end
	}
	return fields, nil
}

var wordDecoder = &mime.WordDecoder{CharsetReader: func(label string, r io.Reader) (io.Reader, error) {
	return charset.NewReaderLabel(label, r)
}}

// decodeText decodes encoded words (RFC 2047); what cannot be decoded stays.
func decodeText(v string) string {
	if d, err := wordDecoder.DecodeHeader(v); err == nil {
		return d
	}
	return v
}

// parseAddresses reads a field of addresses; ok is false where it cannot be
// read with certainty.
func parseAddresses(v string) (list []*stdmail.Address, ok bool) {
	if v == "" || strings.HasSuffix(strings.TrimSpace(v), ":;") {
		return nil, true // "undisclosed-recipients:;"
	}
	parser := stdmail.AddressParser{WordDecoder: wordDecoder}
	list, err := parser.ParseList(v)
	return list, err == nil
}

// forEnvelope makes the header say who the envelope says, for Graph mails to
// the header and knows no envelope. Who is in the envelope alone becomes a
// Bcc; who is in the header alone leaves it; fields that need no change keep
// their bytes, and so does everything else.
func forEnvelope(raw []byte, env provider.Envelope) []byte {
	if len(env.Recipients) == 0 {
		return raw
	}
	wanted := make(map[string]bool, len(env.Recipients))
	for _, r := range env.Recipients {
		wanted[strings.ToLower(strings.TrimSpace(r))] = true
	}
	fields, body := splitHeader(raw)
	visible := map[string]bool{}
	var out bytes.Buffer
	out.Grow(len(raw) + 256)
	for i := range fields {
		f := &fields[i]
		switch f.name {
		case "bcc", "resent-bcc":
			continue
		case "to", "cc":
			list, ok := parseAddresses(f.value())
			var keep []*stdmail.Address
			for _, a := range list {
				if key := strings.ToLower(a.Address); wanted[key] {
					visible[key] = true
					keep = append(keep, a)
				}
			}
			switch {
			case !ok || (len(list) > 0 && len(keep) == 0):
				// Exchange might read other addresses in it than we do.
			case len(keep) == len(list):
				out.Write(f.raw)
			default:
				writeAddresses(&out, map[string]string{"to": "To", "cc": "Cc"}[f.name], keep)
			}
			continue
		}
		out.Write(f.raw)
	}
	var hidden []*stdmail.Address
	for _, r := range env.Recipients {
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
