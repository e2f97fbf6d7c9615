package mime

import (
	"fmt"
	"strconv"
	"strings"
)

// partFields are the fields of an entity that BODYSTRUCTURE tells, unfolded and
// otherwise as they stand in the header.
type partFields struct {
	contentType, encoding, disposition, id, description, md5, language, location string
}

// wanted are the fields that the rows are made of.
func wanted(name string) bool {
	switch name {
	case "content-type", "content-transfer-encoding", "content-disposition", "content-id", "content-description",
		"content-md5", "content-language", "content-location",
		"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id":
		return true
	}
	return false
}

// take notes a field of the header, the first where there are several, and
// gives how much may still be kept of the fields to come.
func (e *entity) take(name string, value []byte, kept int) int {
	f := &e.fields
	var to *string
	switch name {
	case "content-type":
		to = &f.contentType
	case "content-transfer-encoding":
		to = &f.encoding
	case "content-disposition":
		to = &f.disposition
	case "content-id":
		to = &f.id
	case "content-description":
		to = &f.description
	case "content-md5":
		to = &f.md5
	case "content-language":
		to = &f.language
	case "content-location":
		to = &f.location
	default:
		if e.env == nil || len(value) > kept {
			return kept
		}
		return kept - e.env.take(name, string(value))
	}
	if *to != "" || len(value) > kept {
		return kept
	}
	*to = string(value)
	return kept - len(value)
}

// rows makes the rows of a message from its root.
func (e *entity) rows(size int64) *Rows {
	r := &Rows{Size: size, Header: e.header.Length, Envelope: e.env.append(nil)}
	r.Body = e.structure(nil, false)
	r.BodyStructure = e.structure(nil, true)
	r.Parts = e.sections(nil, "", false)
	return r
}

// sections numbers what is in an entity (RFC 9051, 6.4.5.1). The entity itself
// has the number path where it is a part of a multipart; one that is a message
// of its own is numbered through what is in it, and has part 1 at least.
func (e *entity) sections(list []Section, path string, part bool) []Section {
	if !part && !e.multipart() {
		path = join(path, 1)
	}
	if part || !e.multipart() {
		s := Section{Path: path, Type: e.kind, Encoding: e.encoding(), MIME: e.header, Body: e.body}
		if e.message() {
			s.Message, s.Inner = true, e.children[0].header.Length
		}
		list = append(list, s)
	}
	for i, c := range e.children {
		if e.message() {
			list = c.sections(list, path, false)
		} else {
			list = c.sections(list, join(path, i+1), true)
		}
	}
	return list
}

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return fmt.Sprint(path, ".", n)
}

// encoding is the transfer encoding as clients compare it: in lower case,
// without what does not belong to it, 7bit where none is named (RFC 2045, 6.1).
func (e *entity) encoding() string {
	enc, _, _ := strings.Cut(e.fields.encoding, ";")
	enc, _, _ = strings.Cut(enc, "(")
	enc = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '"' || r == '\'' || r == '\\' {
			return -1
		}
		return r
	}, strings.ToLower(enc))
	if enc == "" {
		return "7bit"
	}
	return enc
}

// structure appends BODY, or with all extension data BODYSTRUCTURE (RFC 9051,
// 7.5.2). Media types, names of parameters and encodings are in lower case, and
// nothing stands between two parts: some clients compare and split so.
func (e *entity) structure(b []byte, extended bool) []byte {
	b = append(b, '(')
	major, minor, _ := strings.Cut(e.kind, "/")
	if e.multipart() {
		for _, c := range e.children {
			b = c.structure(b, extended)
		}
		b = appendWord(append(b, ' '), minor)
		if extended {
			b = appendParams(append(b, ' '), params(e.fields.contentType))
			b = e.extension(b)
		}
		return append(b, ')')
	}
	b = appendWord(b, major)
	b = appendWord(append(b, ' '), minor)
	list := params(e.fields.contentType)
	if e.fields.contentType == "" && e.kind == "text/plain" {
		list = []param{{"charset", "us-ascii"}} // RFC 2045, 5.2
	}
	b = appendParams(append(b, ' '), list)
	b = appendNWord(append(b, ' '), e.fields.id)
	b = appendNWord(append(b, ' '), e.fields.description)
	b = appendWord(append(b, ' '), e.encoding())
	b = strconv.AppendInt(append(b, ' '), e.body.Length, 10)
	switch {
	case e.message():
		inner := e.children[0]
		b = inner.env.append(append(b, ' '))
		b = inner.structure(append(b, ' '), extended)
		b = strconv.AppendInt(append(b, ' '), e.lines, 10)
	case major == "text":
		b = strconv.AppendInt(append(b, ' '), e.lines, 10)
	}
	if extended {
		b = appendNWord(append(b, ' '), e.fields.md5)
		b = e.extension(b)
	}
	return append(b, ')')
}

// extension appends what multiparts and other parts have in common:
// disposition, language and location.
func (e *entity) extension(b []byte) []byte {
	disposition, _, _ := strings.Cut(e.fields.disposition, ";")
	if disposition = strings.ToLower(strings.TrimSpace(disposition)); disposition != "" {
		b = appendWord(append(b, " ("...), disposition)
		b = appendParams(append(b, ' '), params(e.fields.disposition))
		b = append(b, ')')
	} else {
		b = append(b, " NIL"...)
	}
	languages := strings.FieldsFunc(e.fields.language, func(r rune) bool { return r <= ' ' || r == ',' })
	switch len(languages) {
	case 0:
		b = append(b, " NIL"...)
	case 1:
		b = appendWord(append(b, ' '), languages[0])
	default:
		b = append(b, " ("...)
		for i, l := range languages {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendWord(b, l)
		}
		b = append(b, ')')
	}
	return appendNWord(append(b, ' '), e.fields.location)
}

func appendParams(b []byte, list []param) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i, p := range list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendWord(b, p.name)
		b = appendWord(append(b, ' '), p.value)
	}
	return append(b, ')')
}

// param is a parameter of a field, as it stands in the header: RFC 2231 is for
// the client to undo, who is told all of it (RFC 9051, 7.5.2).
type param struct{ name, value string }

// maxParams bounds how many parameters of a field are told.
const maxParams = 1000

// params reads the parameters of a field and what is meant where the grammar is
// broken, as parameters does.
func params(field string) []param {
	var list []param
	i := strings.IndexAny(field, "; \t")
	if i < 0 {
		return nil
	}
	for rest := field[i:]; len(list) < maxParams; {
		rest = strings.TrimLeft(rest, "; \t")
		eq := strings.IndexByte(rest, '=')
		if eq < 0 {
			break
		}
		name := strings.TrimSpace(rest[:eq])
		if semi := strings.LastIndexByte(name, ';'); semi >= 0 { // what has no value is no parameter
			name = strings.TrimSpace(name[semi+1:])
		}
		if space := strings.LastIndexAny(name, " \t)"); space >= 0 { // a comment before it
			name = name[space+1:]
		}
		var value string
		value, rest = paramValue(strings.TrimLeft(rest[eq+1:], " \t"))
		if name != "" {
			list = append(list, param{strings.ToLower(name), value})
		}
	}
	return list
}

// paramValue reads a value and gives what follows it.
func paramValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, ';')
		if end < 0 {
			end = len(s)
		}
		value, rest = s[:end], s[end:]
		// A space ends it where a comment or another parameter follows, and is
		// part of a name that should have been quoted elsewhere.
		if i := strings.IndexAny(value, " \t"); i >= 0 {
			if more := strings.TrimLeft(value[i:], " \t"); more == "" || more[0] == '(' || strings.ContainsRune(more, '=') {
				value, rest = value[:i], s[i:]
			}
		}
		return value, rest
	}
	var out []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			if i++; i < len(s) {
				out = append(out, s[i])
			}
		case '"':
			return string(out), s[i+1:]
		default:
			out = append(out, c)
		}
	}
	return string(out), ""
}
