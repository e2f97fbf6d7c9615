package mimetree

import (
	"bytes"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// maxDepth and maxParts bound what a hostile structure can cost.
const (
	maxDepth = 40
	maxParts = 5000
)

// A Part is a node of a message's MIME structure. Its bytes are slices of the
// message; nothing is decoded before it is asked for.
type Part struct {
	Header      Header
	Type        string // lower case, "text/plain" when missing or broken
	Params      map[string]string
	Disposition string
	Filename    string
	Body        []byte // still in its transfer encoding
	Parts       []*Part
}

// Parse reads a message or part with its children. It never fails: what is
// no multipart in spite of its name is text.
func Parse(raw []byte) *Part {
	budget := maxParts
	h, body := ParseHeader(raw)
	return newPart(h, body, "text/plain", 0, &budget)
}

func newPart(h Header, body []byte, fallback string, depth int, budget *int) *Part {
	*budget--
	p := &Part{Header: h, Body: body}
	p.Type, p.Params = ParseParams(h.Get("Content-Type"))
	if major, minor, ok := strings.Cut(p.Type, "/"); !ok || major == "" || minor == "" {
		if p.Type == "text" {
			p.Type = "text/plain"
		} else {
			p.Type = fallback
		}
	}
	var dparams map[string]string
	p.Disposition, dparams = ParseParams(h.Get("Content-Disposition"))
	charset := p.Params["charset"]
	if n := dparams["filename"]; n != "" {
		p.Filename = DecodeWords(n, charset)
	} else if n := p.Params["name"]; n != "" {
		p.Filename = DecodeWords(n, charset)
	}
	if !strings.HasPrefix(p.Type, "multipart/") || depth >= maxDepth {
		return p
	}
	boundary := p.Params["boundary"]
	childType := "text/plain"
	if p.Type == "multipart/digest" {
		childType = "message/rfc822"
	}
	pieces := splitParts(body, boundary)
	if len(pieces) == 0 {
		pieces = splitParts(body, findBoundary(body))
	}
	for _, b := range pieces {
		if *budget <= 0 {
			break
		}
		ch, cb := ParseHeader(b)
		p.Parts = append(p.Parts, newPart(ch, cb, childType, depth+1, budget))
	}
	if len(p.Parts) == 0 {
		p.Type = "text/plain"
	}
	return p
}

// findBoundary guesses a boundary that the header does not name or names wrongly:
// the first line that could be one and comes again.
func findBoundary(body []byte) string {
	for b := body; len(b) > 0; {
		var line []byte
		line, b = CutLine(b)
		line = bytes.TrimRight(line, " \t")
		if len(line) > 6 && bytes.HasPrefix(line, []byte("--")) && bytes.Contains(b, line) {
			return string(line[2:])
		}
	}
	return ""
}

// splitParts cuts a multipart's body at its boundary lines (RFC 2046, 5.1.1). A
// missing last boundary ends the last part at the end of the body. The line end
// before a boundary belongs to the boundary.
func splitParts(body []byte, boundary string) [][]byte {
	if boundary == "" {
		return nil
	}
	marker := []byte("--" + boundary)
	var parts [][]byte
	start := -1
	for pos := 0; pos < len(body); {
		line, rest := CutLine(body[pos:])
		next := len(body) - len(rest)
		if bytes.HasPrefix(line, marker) {
			tail := bytes.TrimRight(line[len(marker):], " \t")
			last := bytes.Equal(tail, []byte("--"))
			if len(tail) == 0 || last {
				if start >= 0 {
					parts = append(parts, trimLineEnd(body[start:max(pos, start)]))
				}
				start = next
				if last {
					return parts
				}
			}
		}
		pos = next
	}
	if start >= 0 && start < len(body) {
		parts = append(parts, body[start:])
	}
	return parts
}

func trimLineEnd(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// Decoded are the part's bytes without their transfer encoding.
func (p *Part) Decoded() []byte {
	cte := strings.ToLower(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding")))
	if i := strings.IndexAny(cte, " ;("); i >= 0 {
		cte = cte[:i]
	}
	switch strings.Trim(cte, `"`) {
	case "base64":
		return DecodeBase64(p.Body)
	case "quoted-printable":
		return decodeQP(p.Body)
	}
	return p.Body
}

// Text is the part as text, in the charset that it declares or that its HTML
// names.
func (p *Part) Text() string {
	b := p.Decoded()
	charset := p.Params["charset"]
	if charset == "" && p.Type == "text/html" {
		charset = metaCharset(b)
	}
	return strings.TrimPrefix(decodeCharset(b, charset), "\uFEFF")
}

func (p *Part) ContentID() string {
	return strings.Trim(strings.TrimSpace(p.Header.Get("Content-ID")), "<>")
}

// ParseParams reads "value; name=value; ..." with the continuations and
// charsets of RFC 2231.
func ParseParams(s string) (string, map[string]string) {
	value, rest, _ := strings.Cut(s, ";")
	value, _ = cutComment(value)
	value = strings.ToLower(strings.Join(strings.Fields(value), ""))
	params := map[string]string{}
	extended := map[string]map[int]string{}
	for rest != "" {
		var item string
		item, rest = cutParam(rest)
		name, v, ok := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" {
			continue
		}
		v = unquote(strings.TrimSpace(v))
		base, section, star := strings.Cut(name, "*")
		if !star {
			if _, dup := params[name]; !dup {
				params[name] = v
			}
			continue
		}
		n, _ := strconv.Atoi(strings.TrimSuffix(section, "*"))
		if extended[base] == nil {
			extended[base] = map[int]string{}
		}
		if section == "" || strings.HasSuffix(section, "*") {
			v = "*" + v // to be unescaped once joined
		}
		extended[base][n] = v
	}
	for base, sections := range extended {
		params[base] = joinExtended(sections)
	}
	return value, params
}

// cutParam cuts at the next semicolon that is not quoted.
func cutParam(s string) (item, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func unquote(s string) string {
	if len(s) == 0 || s[0] != '"' {
		if i := strings.IndexAny(s, " \t"); i >= 0 && !strings.Contains(s, "=?") {
			s = s[:i]
		}
		return strings.Trim(s, `'`)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String()
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func joinExtended(sections map[int]string) string {
	order := make([]int, 0, len(sections))
	for n := range sections {
		order = append(order, n)
	}
	sort.Ints(order)
	charset := ""
	var b []byte
	for i, n := range order {
		v := sections[n]
		if !strings.HasPrefix(v, "*") {
			b = append(b, v...)
			continue
		}
		v = v[1:]
		if i == 0 {
			if cs, rest, ok := strings.Cut(v, "'"); ok {
				if _, text, ok := strings.Cut(rest, "'"); ok {
					charset, v = cs, text
				}
			}
		}
		if u, err := url.PathUnescape(v); err == nil {
			v = u
		}
		b = append(b, v...)
	}
	return decodeCharset(b, charset)
}
