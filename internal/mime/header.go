package mime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // teaches go-message every charset of the WHATWG
	"golang.org/x/text/encoding/charmap"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// headerBlock reads up to the empty line and gives back what a strict parser
// accepts of it: an mbox From line and lines that are no field are left out,
// bare line feeds become CRLF.
func headerBlock(br *bufio.Reader) ([]byte, error) {
	var out bytes.Buffer
	seen := 0
	kept := false
	for {
		line, err := br.ReadBytes('\n')
		seen += len(line)
		trimmed := bytes.TrimRight(line, "\r\n")
		if len(trimmed) == 0 && len(line) > 0 {
			break
		}
		if len(trimmed) > 0 && out.Len() < MaxHeader {
			switch {
			case trimmed[0] == ' ' || trimmed[0] == '\t':
				if kept {
					out.Write(trimmed)
					out.WriteString("\r\n")
				}
			case isField(trimmed):
				kept = true
				out.Write(trimmed)
				out.WriteString("\r\n")
			default:
				kept = false
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	out.WriteString("\r\n")
	return out.Bytes(), nil
}

// isField reports whether a line begins with a field name (RFC 5322, 2.2):
// printable ASCII but space and colon, then a colon.
func isField(line []byte) bool {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return false
	}
	for _, c := range bytes.TrimRight(line[:i], " \t") {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return true
}

// headers gives all fields in order, decoded (RFC 2047) and unfolded.
func headers(h message.Header) []mail.Header {
	var out []mail.Header
	for f := h.Fields(); f.Next(); {
		value, err := f.Text()
		if err != nil {
			value = toUTF8([]byte(f.Value()))
		}
		out = append(out, mail.Header{Name: f.Key(), Value: toUTF8([]byte(value))})
	}
	return out
}

// disposition gives how a part wants to be shown, and its file name
// (RFC 2183, RFC 2231; the name parameter of Content-Type where there is none).
func disposition(h *message.Header, params map[string]string) (string, string) {
	disp, dparams, err := h.ContentDisposition()
	if err != nil {
		disp = ""
	}
	name := dparams["filename"]
	if name == "" {
		name = params["name"]
	}
	return strings.ToLower(disp), toUTF8([]byte(name))
}

// toUTF8 gives text as it is where it is UTF-8, and as windows-1252 where it
// is not: what undeclared 8-bit mail almost always is.
func toUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}
