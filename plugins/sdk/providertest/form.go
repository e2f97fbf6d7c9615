package providertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxPages is how many pages and redirects lie between authorize URL and
// redirect URL at most, maxPage how large a page is.
const (
	maxPages = 20
	maxPage  = 4 << 20
)

// form drives a sign-in by its pages' forms, as an owner does who has no
// script: it presses the button, page after page, until it is sent back.
type form struct {
	// Button is the name, value or text of the button to press.
	Button string `yaml:"button"`
	// Fields are values to fill in. A choice that is not named is the one that
	// is checked, or the one that is the account's address.
	Fields map[string]string `yaml:"fields"`
}

// drive goes from the authorize URL to the redirect URL and gives the
// parameters with which the browser arrives there.
func (f *form) drive(ctx context.Context, w *worldFile, v values, authorizeURL string) (url.Values, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := *w.http
	browser.Jar = jar
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, authorizeURL, nil)
	if err != nil {
		return nil, err
	}
	for range maxPages {
		if back, ok := arrived(req.URL, w.RedirectURL()); ok {
			return back, nil
		}
		resp, err := browser.Do(req)
		if err != nil {
			return nil, err
		}
		page, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
		if closed := resp.Body.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, fmt.Errorf("read page: %w", err)
		}
		if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
			next, err := req.URL.Parse(to)
			if err != nil {
				return nil, fmt.Errorf("follow redirect: %w", err)
			}
			req, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
			if err != nil {
				return nil, err
			}
			continue
		}
		if resp.StatusCode/100 != 2 {
			return nil, fmt.Errorf("%s answers %s: %s", req.URL.Host+req.URL.Path, resp.Status, brief(page))
		}
		sub, err := f.fillIn(page, v)
		if err != nil {
			return nil, fmt.Errorf("page %s: %w: %s", req.URL.Host+req.URL.Path, err, words(page))
		}
		next, err := req.URL.Parse(sub.action)
		if err != nil {
			return nil, fmt.Errorf("form action: %w", err)
		}
		if _, ok := arrived(next, w.RedirectURL()); ok {
			return sub.data, nil // OAuth 2.0 Form Post Response Mode
		}
		req, err = sub.request(ctx, next)
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("not back at the redirect url after %d pages", maxPages)
}

// arrived reports whether an address is the redirect URL.
func arrived(at *url.URL, redirect string) (url.Values, bool) {
	want, err := url.Parse(redirect)
	if err != nil || at.Scheme != want.Scheme || at.Host != want.Host || at.Path != want.Path {
		return nil, false
	}
	return at.Query(), true
}

// filled is a form that is ready to be sent.
type filled struct {
	action, method string
	data           url.Values
}

func (s *filled) request(ctx context.Context, to *url.URL) (*http.Request, error) {
	if !strings.EqualFold(s.method, http.MethodPost) {
		u := *to
		u.RawQuery = s.data.Encode()
		return http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(s.data.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", to.Scheme+"://"+to.Host)
	}
	return req, err
}

// fillIn finds the form with the button and fills it in. A page whose forms
// have no such button is sent on where it has nothing to decide: one form with
// at most one button.
func (f *form) fillIn(page []byte, v values) (*filled, error) {
	doc, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	forms := find(doc, atom.Form)
	for _, node := range forms {
		for _, b := range buttons(node) {
			if f.means(b) {
				return f.fill(node, b, v)
			}
		}
	}
	if len(forms) == 1 && len(buttons(forms[0])) <= 1 {
		return f.fill(forms[0], nil, v)
	}
	return nil, fmt.Errorf("there is no form with a button %q", f.Button)
}

func (f *form) means(button *html.Node) bool {
	for _, s := range []string{attr(button, "name"), attr(button, "value"), attr(button, "id"), text(button)} {
		if strings.EqualFold(strings.TrimSpace(s), f.Button) {
			return true
		}
	}
	return false
}

func (f *form) fill(node, button *html.Node, v values) (*filled, error) {
	out := &filled{action: attr(node, "action"), method: attr(node, "method"), data: url.Values{}}
	choices := map[string][]*html.Node{}
	for _, in := range append(find(node, atom.Input), find(node, atom.Textarea)...) {
		name := attr(in, "name")
		switch kind := strings.ToLower(attr(in, "type")); {
		case name == "" || kind == "submit" || kind == "button" || kind == "image" || kind == "reset" || kind == "file":
		case kind == "radio":
			choices[name] = append(choices[name], in)
		case kind == "checkbox":
			if has(in, "checked") {
				out.data.Add(name, attr(in, "value"))
			}
		default:
			out.data.Set(name, attr(in, "value"))
		}
	}
	for _, sel := range find(node, atom.Select) {
		if name := attr(sel, "name"); name != "" {
			choices[name] = append(choices[name], find(sel, atom.Option)...)
		}
	}
	for name, options := range choices {
		if picked := choose(options, v["address"]); picked != nil {
			out.data.Set(name, attr(picked, "value"))
		}
	}
	for name, template := range f.Fields {
		value, err := v.fill(template, plain)
		if err != nil {
			return nil, err
		}
		if !out.data.Has(name) && choices[name] == nil {
			continue // a field of another page
		}
		out.data.Set(name, value)
	}
	if button != nil && attr(button, "name") != "" {
		out.data.Set(attr(button, "name"), attr(button, "value"))
	}
	if out.action == "" && len(out.data) == 0 {
		return nil, errors.New("the form has nothing to send")
	}
	return out, nil
}

// choose picks what is the address, what is checked, or the only one.
func choose(options []*html.Node, address string) *html.Node {
	for _, o := range options {
		if strings.EqualFold(attr(o, "value"), address) {
			return o
		}
	}
	for _, o := range options {
		if has(o, "checked") || has(o, "selected") {
			return o
		}
	}
	if len(options) == 1 {
		return options[0]
	}
	return nil
}

func buttons(node *html.Node) []*html.Node {
	out := find(node, atom.Button)
	for _, in := range find(node, atom.Input) {
		if strings.EqualFold(attr(in, "type"), "submit") {
			out = append(out, in)
		}
	}
	return out
}

func find(node *html.Node, what atom.Atom) []*html.Node {
	var out []*html.Node
	for n := range node.Descendants() {
		if n.Type == html.ElementNode && n.DataAtom == what {
			out = append(out, n)
		}
	}
	return out
}

func has(node *html.Node, name string) bool {
	for _, a := range node.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func attr(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(node *html.Node) string {
	var b strings.Builder
	for n := range node.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return b.String()
}

// words is what a page says, for an error.
func words(page []byte) string {
	doc, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		return brief(page)
	}
	for _, skip := range append(find(doc, atom.Style), find(doc, atom.Script)...) {
		skip.Parent.RemoveChild(skip)
	}
	return brief([]byte(strings.Join(strings.Fields(text(doc)), " ")))
}
