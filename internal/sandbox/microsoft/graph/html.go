package graph

import (
	"bytes"
	"html"
	"regexp"
	"strings"

	xhtml "golang.org/x/net/html"
)

var metaCharsetPattern = regexp.MustCompile(`(?i)<meta[^>]+charset\s*=\s*["']?\s*([a-z0-9_:.-]+)`)

// metaCharset is the charset that an HTML document names itself, looked for
// where browsers look: in its first kilobyte.
func metaCharset(b []byte) string {
	m := metaCharsetPattern.FindSubmatch(b[:min(len(b), 1024)])
	if m == nil {
		return ""
	}
	return string(m[1])
}

// htmlToText is what a person reads of an HTML document.
func htmlToText(s string) string {
	var b strings.Builder
	z := xhtml.NewTokenizer(strings.NewReader(s))
	skip := ""
	for {
		switch z.Next() {
		case xhtml.ErrorToken:
			return tidyText(b.String())
		case xhtml.TextToken:
			if skip == "" {
				b.WriteString(collapse(html.UnescapeString(string(z.Raw()))))
			}
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			name, _ := z.TagName()
			switch tag := string(name); tag {
			case "script", "style", "title":
				if skip == "" {
					skip = tag
				}
			case "br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote", "hr", "ul", "ol", "pre":
				b.WriteByte('\n')
			case "td", "th":
				b.WriteByte(' ')
			}
		case xhtml.EndTagToken:
			name, _ := z.TagName()
			switch tag := string(name); {
			case tag == skip:
				skip = ""
			case tag == "p" || tag == "div" || tag == "tr" || tag == "table" || tag == "blockquote":
				b.WriteByte('\n')
			}
		}
	}
}

// collapse makes every run of white space one space.
func collapse(s string) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch r {
		case ' ', '\t', '\r', '\n', '\f', '\u00a0':
			space = true
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	if space {
		b.WriteByte(' ')
	}
	return b.String()
}

// tidyText trims lines and keeps at most one empty line between two.
func tidyText(s string) string {
	var out []string
	empty := true
	for _, line := range strings.Split(s, "\n") {
		line = strings.TrimSpace(line)
		if line == "" && empty {
			continue
		}
		empty = line == ""
		out = append(out, line)
	}
	return strings.TrimSpace(strings.Join(out, "\r\n"))
}

const htmlHead = `<meta http-equiv="Content-Type" content="text/html; charset=utf-8">`

// textToHTML shows text as the service does for who asks for HTML.
func textToHTML(s string) string {
	s = html.EscapeString(strings.ReplaceAll(s, "\r\n", "\n"))
	return "<html><head>\r\n" + htmlHead + "</head><body>\r\n<div class=\"PlainText\">" +
		strings.ReplaceAll(s, "\n", "<br>\r\n") + "</div>\r\n</body></html>"
}

// dropped are the elements that sanitising removes with what they hold.
var dropped = map[string]bool{"script": true, "object": true, "embed": true, "applet": true, "iframe": true, "frame": true, "frameset": true}

// void are dropped elements that have no end tag.
var void = map[string]bool{"embed": true, "frame": true}

// sanitizeHTML drops scripts, handlers and script addresses, and puts the
// document into the frame that the service writes around every HTML body.
func sanitizeHTML(s string) string {
	var head, body bytes.Buffer
	out := &body
	z := xhtml.NewTokenizer(strings.NewReader(s))
	skip, depth := "", 0
	for {
		tt := z.Next()
		if tt == xhtml.ErrorToken {
			return "<html><head>\r\n" + htmlHead + head.String() + "</head><body>" + body.String() + "</body></html>"
		}
		raw := append([]byte(nil), z.Raw()...)
		if tt != xhtml.StartTagToken && tt != xhtml.EndTagToken && tt != xhtml.SelfClosingTagToken {
			if skip == "" && tt == xhtml.TextToken {
				out.Write(raw)
			}
			continue
		}
		t := z.Token()
		if skip != "" {
			if t.Data == skip {
				if tt == xhtml.StartTagToken {
					depth++
				} else if tt == xhtml.EndTagToken {
					if depth--; depth == 0 {
						skip = ""
					}
				}
			}
			continue
		}
		switch {
		case dropped[t.Data]:
			if tt == xhtml.StartTagToken && !void[t.Data] {
				skip, depth = t.Data, 1
			}
		case t.Data == "html" || t.Data == "body" || t.Data == "base":
			out = &body
		case t.Data == "head":
			if tt == xhtml.StartTagToken {
				out = &head
			} else {
				out = &body
			}
		case t.Data == "meta":
		case unsafe(t):
			out.WriteString(cleanTag(t).String())
		default:
			out.Write(raw)
		}
	}
}

func unsafe(t xhtml.Token) bool {
	for _, a := range t.Attr {
		if unsafeAttr(a) {
			return true
		}
	}
	return false
}

func unsafeAttr(a xhtml.Attribute) bool {
	if strings.HasPrefix(a.Key, "on") {
		return true
	}
	v := strings.ToLower(strings.TrimSpace(a.Val))
	return strings.HasPrefix(v, "javascript:") || strings.HasPrefix(v, "vbscript:")
}

func cleanTag(t xhtml.Token) xhtml.Token {
	attrs := t.Attr[:0]
	for _, a := range t.Attr {
		if !unsafeAttr(a) {
			attrs = append(attrs, a)
		}
	}
	t.Attr = attrs
	return t
}
