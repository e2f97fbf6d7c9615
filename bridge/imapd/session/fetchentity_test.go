package session

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// sections are what the sections of a message must be, by their names in
// BODY[...]: known because the message was put together from them.
type sections map[string]string

// entity is a MIME entity to be put together.
type entity struct {
	header   string // without the blank line
	body     string // of a leaf
	encoded  string // what the body is with its encoding undone, where it has one
	parts    []*entity
	boundary string
	inner    *entity // of message/rfc822
}

func leafTree(header, body string) *entity { return &entity{header: header, body: body} }

func base64Tree(data string) *entity {
	text := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return &entity{header: "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n", body: b.String() + text, encoded: data}
}

func multiTree(boundary string, parts ...*entity) *entity {
	return &entity{header: fmt.Sprintf("Content-Type: multipart/mixed; boundary=%q\r\n", boundary), boundary: boundary, parts: parts}
}

func messageTree(inner *entity) *entity {
	return &entity{header: "Content-Type: message/rfc822\r\n", inner: inner}
}

// message puts a whole message together and notes its sections.
func (t *entity) message(fields string) ([]byte, sections) {
	s := sections{}
	header := fields + "MIME-Version: 1.0\r\n" + t.header + "\r\n"
	body := t.write("", s)
	s[""], s["HEADER"], s["TEXT"] = header+body, header, body
	return []byte(header + body), s
}

// write gives the body of an entity and notes the sections in it.
func (t *entity) write(path string, s sections) string {
	under := func(n string) string {
		if path == "" {
			return n
		}
		return path + "." + n
	}
	switch {
	case t.boundary != "":
		var b bytes.Buffer
		b.WriteString("preamble\r\n")
		for i, p := range t.parts {
			at := under(fmt.Sprint(i + 1))
			body := p.write(at, s)
			s[at], s[at+".MIME"] = body, p.header+"\r\n"
			fmt.Fprintf(&b, "--%s\r\n%s\r\n%s\r\n", t.boundary, p.header, body)
		}
		fmt.Fprintf(&b, "--%s--\r\nepilogue\r\n", t.boundary)
		return b.String()
	case t.inner != nil:
		header := "Subject: inner of " + path + "\r\nMIME-Version: 1.0\r\n" + t.inner.header + "\r\n"
		var body string
		if t.inner.boundary != "" { // its parts are numbered under the message
			body = t.inner.write(path, s)
		} else {
			at := under("1")
			body = t.inner.write(at, s)
			s[at] = body
		}
		s[path+".HEADER"], s[path+".TEXT"] = header, body
		return header + body
	}
	if path == "" {
		s["1"] = t.body
	}
	return t.body
}
