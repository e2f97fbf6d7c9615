package graph

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// $filter (OData 4.01, URL conventions 5.1.1): comparisons, and/or/not,
// startswith, endswith, contains, any and all. An expression is evaluated
// against whatever gives values to property paths.

// lookup gives the value of a lower-case property path: string, bool, float64,
// time.Time, nil, or for a collection []lookup. False: there is no such property.
type lookup func(path string) (any, bool)

type expr interface {
	eval(l lookup) (any, error)
}

type (
	literal  struct{ value any }
	property struct{ path string }
	not      struct{ x expr }
	logical  struct {
		and  bool
		a, b expr
	}
	comparison struct {
		op   string
		a, b expr
	}
	function struct {
		name string
		args []expr
	}
	lambda struct {
		path, variable string
		all            bool
		body           expr // nil: any()
	}
)

// filterParser is a recursive descent over tokens.
type filterParser struct {
	tokens  []token
	at      int
	root    expr
	paths   []string
	clauses int
	propIDs []string        // extended properties named
	bound   map[string]bool // lambda variables
}

type token struct {
	kind rune // 'i' identifier or literal word, 's' string, or the character itself
	text string
}

func parseFilter(s string) (*filterParser, error) {
	p := &filterParser{bound: map[string]bool{}}
	var err error
	if p.tokens, err = lexFilter(s); err != nil {
		return nil, err
	}
	if p.root, err = p.or(0); err != nil {
		return nil, err
	}
	if p.at < len(p.tokens) {
		return nil, p.syntax()
	}
	return p, nil
}

func lexFilter(s string) ([]token, error) {
	var ts []token
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '(' || c == ')' || c == ',' || c == ':':
			ts = append(ts, token{rune(c), string(c)})
			i++
		case c == '\'':
			var b strings.Builder
			for i++; ; i++ {
				if i >= len(s) {
					return nil, errBadRequest("Invalid filter clause: There is an unterminated string literal in '%s'.", s)
				}
				if s[i] == '\'' {
					if i+1 < len(s) && s[i+1] == '\'' {
						i++
					} else {
						i++
						break
					}
				}
				b.WriteByte(s[i])
			}
			ts = append(ts, token{'s', b.String()})
		default:
			start := i
			for i < len(s) && !strings.ContainsRune(" \t(),'", rune(s[i])) {
				if s[i] == ':' && !(i > start && unicode.IsDigit(rune(s[start]))) { // the colon of a lambda, not of a time
					break
				}
				i++
			}
			if i == start {
				return nil, errBadRequest("Invalid filter clause: Syntax error at position %d in '%s'.", i, s)
			}
			ts = append(ts, token{'i', s[start:i]})
		}
	}
	return ts, nil
}

func (p *filterParser) syntax() error {
	return errBadRequest("Invalid filter clause: Syntax error at token %d.", p.at)
}

func (p *filterParser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

func (p *filterParser) word(w string) bool {
	if t := p.peek(); t.kind == 'i' && strings.EqualFold(t.text, w) {
		p.at++
		return true
	}
	return false
}

func (p *filterParser) accept(kind rune) bool {
	if p.peek().kind == kind {
		p.at++
		return true
	}
	return false
}

const maxFilterDepth = 60

func (p *filterParser) or(depth int) (expr, error) {
	if depth > maxFilterDepth {
		return nil, errInefficient()
	}
	a, err := p.and(depth)
	for err == nil && p.word("or") {
		var b expr
		b, err = p.and(depth)
		a = logical{false, a, b}
	}
	return a, err
}

func (p *filterParser) and(depth int) (expr, error) {
	a, err := p.unary(depth)
	for err == nil && p.word("and") {
		var b expr
		b, err = p.unary(depth)
		a = logical{true, a, b}
	}
	return a, err
}

func (p *filterParser) unary(depth int) (expr, error) {
	if depth > maxFilterDepth {
		return nil, errInefficient()
	}
	if p.word("not") {
		x, err := p.unary(depth + 1)
		return not{x}, err
	}
	a, err := p.operand(depth)
	if err != nil {
		return nil, err
	}
	for _, op := range []string{"eq", "ne", "gt", "ge", "lt", "le"} {
		if p.word(op) {
			p.clauses++
			b, err := p.operand(depth)
			return comparison{op, a, p.sameID(a, b)}, err
		}
	}
	return a, nil
}

// sameID brings the id of an extended property into the form in which it is
// stored: "ep/id eq 'Integer 0xE07'" and 'Integer 0x0e07' mean the same.
func (p *filterParser) sameID(a, b expr) expr {
	prop, ok := a.(property)
	if !ok || !strings.HasSuffix(prop.path, "/id") {
		return b
	}
	l, ok := b.(literal)
	if s, isText := l.value.(string); ok && isText {
		if id, err := parsePropID(s); err == nil {
			p.propIDs = append(p.propIDs, id)
			return literal{id}
		}
	}
	return b
}

func (p *filterParser) operand(depth int) (expr, error) {
	t := p.peek()
	switch t.kind {
	case '(':
		p.at++
		x, err := p.or(depth + 1)
		if err == nil && !p.accept(')') {
			err = p.syntax()
		}
		return x, err
	case 's':
		p.at++
		return literal{t.text}, nil
	case 'i':
		p.at++
		if p.peek().kind == '(' {
			return p.callOrLambda(t.text, depth)
		}
		return p.wordValue(t.text), nil
	}
	return nil, p.syntax()
}

// wordValue reads a bare word: a literal if it looks like one, else a path.
func (p *filterParser) wordValue(w string) expr {
	switch strings.ToLower(w) {
	case "true":
		return literal{true}
	case "false":
		return literal{false}
	case "null":
		return literal{nil}
	}
	if c := w[0]; c >= '0' && c <= '9' || c == '-' {
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02"} {
			if t, err := time.Parse(layout, w); err == nil {
				return literal{t}
			}
		}
		if f, err := strconv.ParseFloat(w, 64); err == nil {
			return literal{f}
		}
		return literal{w} // a GUID
	}
	path := strings.ToLower(w)
	if head, _, _ := strings.Cut(path, "/"); !p.bound[head] {
		p.paths = append(p.paths, path)
	}
	return property{path}
}

func (p *filterParser) callOrLambda(name string, depth int) (expr, error) {
	p.at++ // (
	lower := strings.ToLower(name)
	i := strings.LastIndexByte(lower, '/')
	if i < 0 {
		var args []expr
		for !p.accept(')') {
			if len(args) > 0 && !p.accept(',') {
				return nil, p.syntax()
			}
			a, err := p.or(depth + 1)
			if err != nil {
				return nil, err
			}
			args = append(args, a)
		}
		want := map[string]int{"startswith": 2, "endswith": 2, "contains": 2, "tolower": 1, "toupper": 1, "trim": 1}[lower]
		if want == 0 || len(args) != want {
			return nil, errBadRequest("Invalid filter clause: An unknown function with name '%s' was found.", name)
		}
		if want == 2 {
			p.clauses++
		}
		return function{lower, args}, nil
	}
	path, kind := lower[:i], lower[i+1:]
	if kind != "any" && kind != "all" {
		return nil, errBadRequest("Invalid filter clause: An unknown function with name '%s' was found.", name)
	}
	p.paths = append(p.paths, path)
	if p.accept(')') {
		return lambda{path: path, all: kind == "all"}, nil
	}
	v := p.peek()
	p.at++
	if v.kind != 'i' || !p.accept(':') {
		return nil, p.syntax()
	}
	variable := strings.ToLower(v.text)
	p.bound[variable] = true
	body, err := p.or(depth + 1)
	delete(p.bound, variable)
	if err == nil && !p.accept(')') {
		err = p.syntax()
	}
	return lambda{path, variable, kind == "all", body}, err
}
