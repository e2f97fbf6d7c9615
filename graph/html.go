package graph

import (
	"html"
	"net/url"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
)

// sanitiser cleans the HTML of messages: strangers wrote it, and our callers show
// it to people.
//
// What stays: text, tables, lists, links, images, and styles that say how
// something looks in its place. What goes: everything that runs, frames, forms,
// style sheets, positions, and anything in a style that asks for a URL. Images of
// the message itself (`cid:`) become signed URLs. Remote images stay, since whether
// to load them is for whoever shows the message to decide; they are asked for
// without referrer, and so are links.
type sanitiser struct{ policy *bluemonday.Policy }

func newSanitiser() *sanitiser {
	p := bluemonday.UGCPolicy()
	p.AllowURLSchemes("http", "https", "mailto", "tel", "cid")
	p.AllowRelativeURLs(false)
	p.AllowDataURIImages()
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	p.AllowElements("center", "font", "u", "s", "big", "address", "wbr")
	p.AllowAttrs("color", "face", "size").OnElements("font")
	p.AllowAttrs("align", "valign", "bgcolor", "width", "height", "border", "cellpadding", "cellspacing").
		Matching(regexp.MustCompile(`^[#%.a-zA-Z0-9-]*$`)).
		OnElements("table", "thead", "tbody", "tfoot", "tr", "td", "th", "col", "colgroup", "p", "div", "img", "hr", "h1", "h2", "h3", "h4", "h5", "h6")
	p.AllowAttrs("dir").Matching(regexp.MustCompile(`^(?i:ltr|rtl|auto)$`)).Globally()
	p.AllowStyles(
		"color", "background-color", "opacity",
		"font", "font-family", "font-size", "font-style", "font-weight", "font-variant",
		"line-height", "letter-spacing", "word-spacing", "white-space", "direction",
		"text-align", "text-decoration", "text-indent", "text-transform", "vertical-align",
		"width", "height", "max-width", "max-height", "min-width", "min-height",
		"margin", "margin-top", "margin-right", "margin-bottom", "margin-left",
		"padding", "padding-top", "padding-right", "padding-bottom", "padding-left",
		"border", "border-top", "border-right", "border-bottom", "border-left",
		"border-color", "border-style", "border-width", "border-radius", "border-collapse", "border-spacing",
		"display", "list-style-type", "table-layout", "clear", "float",
	).MatchingHandler(harmless).Globally()
	return &sanitiser{policy: p}
}

// harmless refuses values that could ask for something, hide from this check by
// escapes, or run in browsers of old.
func harmless(value string) bool {
	value = strings.ToLower(value)
	return len(value) < 500 && !strings.ContainsAny(value, `\<>{}@`) &&
		!strings.Contains(value, "url") && !strings.Contains(value, "expression") &&
		!strings.Contains(value, "image") && !strings.Contains(value, "javascript") &&
		!strings.Contains(value, "/*") && !strings.Contains(value, "var(") && !strings.Contains(value, "attr(")
}

// The policy writes attributes in double quotes and escapes quotes and `<` in
// text, so these match attributes and tags only.
var (
	cidSource = regexp.MustCompile(` src="cid:([^"]*)"`)
	cidLink   = regexp.MustCompile(` href="cid:[^"]*"`)
	imgTag    = regexp.MustCompile(`<img `)
)

// clean sanitises. resolve gives the URL of the part with a Content-ID, empty
// where the message has none.
func (s *sanitiser) clean(body string, resolve func(contentID string) string) string {
	body = s.policy.Sanitize(body)
	body = cidLink.ReplaceAllString(body, "")
	body = cidSource.ReplaceAllStringFunc(body, func(attr string) string {
		id := html.UnescapeString(cidSource.FindStringSubmatch(attr)[1])
		if plain, err := url.PathUnescape(id); err == nil { // RFC 2392, 2
			id = plain
		}
		to := resolve(id)
		if to == "" {
			return ""
		}
		return ` src="` + html.EscapeString(to) + `"`
	})
	return imgTag.ReplaceAllString(body, `<img referrerpolicy="no-referrer" `)
}
