package mime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/charset" // also teaches go-message every charset of the WHATWG
	"github.com/emersion/go-message/textproto"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// readHeader reads the fields up to the empty line.
func readHeader(br *bufio.Reader) (message.Header, error) {
	block, err := headerBlock(br)
	if err != nil {
		return message.Header{}, err
	}
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(block)))
	return message.Header{Header: h}, err
}

// headerBlock reads up to the empty line and gives back what a strict parser
// accepts of it: an mbox From line and lines that are no field are left out,
// bare line feeds become CRLF.
func headerBlock(br *bufio.Reader) ([]byte, error) {
	var out bytes.Buffer
	kept := false
	for {
		line, err := readLine(br, MaxHeader)
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

// readLine reads a line, of which it gives no more than limit bytes.
func readLine(br *bufio.Reader, limit int) (line []byte, err error) {
	for {
		piece, err := br.ReadSlice('\n')
		line = append(line, piece[:min(len(piece), limit-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
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
// (RFC 2183; the name parameter of Content-Type where there is none).
func disposition(field string, typeParams map[string]string) (string, string) {
	disp, params := parameters(field)
	name := params["filename"]
	if name == "" {
		name = typeParams["name"]
	}
	return disp, toUTF8([]byte(name))
}

// mediaType gives a Content-Type in lower case with its parameters. One that
// is no type is text, as section 5.2 of RFC 2045 advises.
func mediaType(field, fallback string) (string, map[string]string) {
	if strings.TrimSpace(field) == "" {
		return fallback, nil
	}
	t, params := parameters(field)
	if major, minor, ok := strings.Cut(t, "/"); !ok || major == "" || minor == "" {
		return "text/plain", params
	}
	return t, params
}

// parameters reads a field of the form `value; name=value` (RFC 2045, 5.1,
// RFC 2231), and what is meant where the grammar is broken: separators that
// are doubled or missing, a boundary that should have been quoted, a name twice.
func parameters(field string) (string, map[string]string) {
	value, params, err := mime.ParseMediaType(field)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || params == nil {
		value, params = looseParameters(field)
	}
	for k, v := range params {
		params[k] = decodeWords(v)
	}
	return strings.ToLower(value), params
}

func looseParameters(field string) (string, map[string]string) {
	value, rest := field, ""
	if i := strings.IndexAny(field, "; \t\r\n"); i >= 0 && strings.TrimSpace(field[:i]) != "" {
		value, rest = field[:i], field[i:]
	}
	params := map[string]string{}
	for rest != "" {
		rest = strings.TrimLeft(rest, "; \t\r\n")
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		after = strings.TrimLeft(after, " \t\r\n")
		var v string
		if quoted, isQuoted := strings.CutPrefix(after, `"`); isQuoted {
			v, rest, _ = strings.Cut(quoted, `"`)
		} else if i := strings.IndexAny(after, "; \t\r\n"); i >= 0 {
			v, rest = after[:i], after[i:]
		} else {
			v, rest = after, ""
		}
		if name = strings.ToLower(strings.TrimSpace(name)); params[name] == "" {
			params[name] = v
		}
	}
	return strings.TrimSpace(value), params
}

// decodeWords decodes RFC 2047 words where the standard has none: in the
// parameters of real mail.
func decodeWords(s string) string {
	words := mime.WordDecoder{CharsetReader: charset.Reader}
	out, err := words.DecodeHeader(s)
	if err != nil {
		return s
	}
	return out
}
