package graph

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A query is the OData options of a request (OData 4.01, URL conventions 5).
type query struct {
	raw           []rawOption
	top           int // -1 when absent
	skip          int
	selects       []string
	sel           map[string]bool // lower case; nil selects everything
	filter        expr
	propIDs       []string // extended properties that $filter names
	filterPaths   []string // properties in the order in which $filter names them
	clauses       int
	orderby       []ordering
	search        string
	hasSearch     bool
	count         bool
	expand        map[string]*query
	hiddenFolders bool
	skipToken     string
	deltaToken    string
	changeType    string
}

type rawOption struct{ name, value string }

type ordering struct {
	path string
	desc bool
}

// wants says whether a property is to be in the answer.
func (q *query) wants(name string) bool { return q.sel == nil || q.sel[strings.ToLower(name)] }

// names says whether a property was asked for by name.
func (q *query) names(name string) bool { return q.sel != nil && q.sel[strings.ToLower(name)] }

func (q *query) expands(name string) bool { return q.expand[strings.ToLower(name)] != nil }

func (q *query) has(name string) bool {
	for _, o := range q.raw {
		if o.name == name {
			return true
		}
	}
	return false
}

// parseQuery reads a URL's query. It splits by hand because net/url drops what
// has a semicolon, and nested options are separated by them.
func parseQuery(raw string) (*query, error) {
	var opts []rawOption
	for item := range strings.SplitSeq(raw, "&") {
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, errBadRequest("The query string is malformed.")
		}
		opts = append(opts, rawOption{n, v})
	}
	return newQuery(opts)
}

func newQuery(opts []rawOption) (*query, error) {
	q := &query{raw: opts, top: -1, expand: map[string]*query{}}
	for i, o := range opts {
		name := strings.ToLower(o.name)
		if !strings.HasPrefix(name, "$") && systemOptions["$"+name] {
			name = "$" + name
		}
		q.raw[i].name = name
		if err := q.option(name, o.value); err != nil {
			return nil, err
		}
	}
	return q, nil
}

var systemOptions = map[string]bool{
	"$top": true, "$skip": true, "$select": true, "$filter": true, "$orderby": true, "$search": true, "$count": true,
	"$expand": true, "$skiptoken": true, "$deltatoken": true, "$format": true,
}

func (q *query) option(name, value string) (err error) {
	switch name {
	case "$top":
		q.top, err = number(name, value)
	case "$skip":
		q.skip, err = number(name, value)
	case "$count":
		switch strings.ToLower(value) {
		case "true":
			q.count = true
		case "false":
		default:
			return errBadRequest("Invalid value '%s' for $count query option found. Valid values are 'false' and 'true'.", value)
		}
	case "$select":
		q.sel = map[string]bool{}
		for s := range strings.SplitSeq(value, ",") {
			if s = strings.TrimSpace(s); s != "" && s != "*" {
				q.selects = append(q.selects, s)
				q.sel[strings.ToLower(s)] = true
			}
		}
		if len(q.selects) == 0 {
			q.sel = nil
		}
	case "$filter":
		p, err := parseFilter(value)
		if err != nil {
			return err
		}
		q.filter, q.filterPaths, q.clauses, q.propIDs = p.root, p.paths, p.clauses, p.propIDs
	case "$orderby":
		for s := range strings.SplitSeq(value, ",") {
			f := strings.Fields(s)
			if len(f) == 0 || len(f) > 2 || len(f) == 2 && !strings.EqualFold(f[1], "asc") && !strings.EqualFold(f[1], "desc") {
				return errBadRequest("Invalid $orderby clause: '%s'.", value)
			}
			q.orderby = append(q.orderby, ordering{strings.ToLower(f[0]), len(f) == 2 && strings.EqualFold(f[1], "desc")})
		}
	case "$search":
		q.search, q.hasSearch = value, true
	case "$expand":
		for _, item := range splitNested(value, ',') {
			name, inner, nested := strings.Cut(strings.TrimSpace(item), "(")
			var opts []rawOption
			if nested {
				for _, o := range splitNested(strings.TrimSuffix(inner, ")"), ';') {
					n, v, _ := strings.Cut(o, "=")
					opts = append(opts, rawOption{strings.TrimSpace(n), v})
				}
			}
			sub, err := newQuery(opts)
			if err != nil {
				return err
			}
			q.expand[strings.ToLower(strings.TrimSpace(name))] = sub
		}
	case "$skiptoken":
		q.skipToken = value
	case "$deltatoken":
		q.deltaToken = value
	case "includehiddenfolders":
		q.hiddenFolders = strings.EqualFold(value, "true")
	case "changetype":
		q.changeType = strings.ToLower(value)
		if q.changeType != "created" && q.changeType != "updated" && q.changeType != "deleted" {
			return errBadRequest("Invalid value '%s' for changeType.", value)
		}
	case "$format":
	default:
		if strings.HasPrefix(name, "$") {
			return errBadRequest("The query parameter '%s' is not supported.", name)
		}
	}
	return err
}

func number(name, value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, errBadRequest("Invalid value '%s' for %s query option found. The %s query option requires a non-negative integer value.", value, name, name)
	}
	return n, nil
}

// splitNested splits at sep outside parentheses and quotes.
func splitNested(s string, sep byte) []string {
	var items []string
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == sep && depth == 0:
			items = append(items, s[start:i])
			start = i + 1
		}
	}
	return append(items, s[start:])
}

// checkSelect refuses names that the type does not have.
func (q *query) checkSelect(kind string, known map[string]bool) error {
	for _, s := range q.selects {
		if !known[strings.ToLower(s)] {
			return errBadRequest("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.%s'.", s, kind)
		}
	}
	return nil
}

// page is the size of this page: what was asked for, within the limits.
func (q *query) page(normal, most int) (int, error) {
	if q.top < 0 {
		return normal, nil
	}
	if q.top > most {
		return 0, errBadRequest("The limit of '%d' for Top query has been exceeded. The value from the incoming request is '%d'.", most, q.top)
	}
	return q.top, nil
}

// nextLink is the request's own address with one option replaced.
func (c *call) nextLink(name, value string) string {
	var b strings.Builder
	b.WriteString(c.base + "/v1.0/" + c.spelled + "?")
	for _, o := range c.query.raw {
		if o.name != "$skip" && o.name != "$skiptoken" {
			b.WriteString(o.name + "=" + url.QueryEscape(o.value) + "&")
		}
	}
	b.WriteString(name + "=" + url.QueryEscape(value))
	return b.String()
}

// preferences are what the Prefer header asks for (RFC 7240).
type preferences struct {
	immutable  bool
	bodyType   string // "text" or "html"
	unsafeHTML bool
	maxPage    int
}

func parsePrefer(h http.Header) preferences {
	var p preferences
	for _, line := range h.Values("Prefer") {
		for item := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "idtype":
				p.immutable = strings.EqualFold(value, "ImmutableId")
			case "outlook.body-content-type":
				if v := strings.ToLower(value); v == "text" || v == "html" {
					p.bodyType = v
				}
			case "outlook.allow-unsafe-html":
				p.unsafeHTML = value == "" || strings.EqualFold(value, "true")
			case "odata.maxpagesize":
				if n, err := strconv.Atoi(value); err == nil && n > 0 {
					p.maxPage = n
				}
			}
		}
	}
	return p
}

// applied is the Preference-Applied header.
func (p preferences) applied() string {
	var a []string
	if p.immutable {
		a = append(a, "IdType=ImmutableId")
	}
	if p.bodyType != "" {
		a = append(a, `outlook.body-content-type="`+p.bodyType+`"`)
	}
	if p.unsafeHTML {
		a = append(a, "outlook.allow-unsafe-html")
	}
	if p.maxPage > 0 {
		a = append(a, "odata.maxpagesize="+strconv.Itoa(p.maxPage))
	}
	return strings.Join(a, ", ")
}
