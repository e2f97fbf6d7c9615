package graph

import (
	"bytes"
	"html"
	"strings"

	xhtml "golang.org/x/net/html"
)

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
