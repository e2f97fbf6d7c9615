package gmail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The search language of q, as Gmail's help pages tell it
// (support.google.com/mail/answer/7190): terms side by side are all wanted, OR
// and {} want one of them, - excludes, "" keeps words together, () groups, and
// name:value searches a part of the message. No text is refused: what makes no
// sense is a word.

// A search is a parsed q.
type search struct {
	root     node
	anywhere bool // spam and trash are searched as well
}

func (s *search) matches(l *looker, m *Message) bool { return s.root == nil || s.root.matches(l, m) }

// A node is a part of a query.
type node interface {
	matches(*looker, *Message) bool
}

type (
	allOf []node
	anyOf []node
	not   struct{ node }
)

func (n allOf) matches(l *looker, m *Message) bool {
	for _, x := range n {
		if !x.matches(l, m) {
			return false
		}
	}
	return true
}

func (n anyOf) matches(l *looker, m *Message) bool {
	for _, x := range n {
		if x.matches(l, m) {
			return true
		}
	}
	return false
}

func (n not) matches(l *looker, m *Message) bool { return !n.node.matches(l, m) }

// maxNesting bounds groups inside groups; deeper brackets are white space.
const maxNesting = 64

// parseQuery reads a query.
func parseQuery(q string) *search {
	p := &parser{rest: strings.ToValidUTF8(q, " ")}
	s := &search{}
	for p.skip(); p.rest != ""; p.skip() {
		n := p.group(0, false, p.term)
		s.root = join(s.root, n)
		if p.rest != "" { // a bracket that closes nothing
			p.rest = p.rest[1:]
		}
	}
	s.anywhere = p.anywhere
	return s
}

func join(a, b node) node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return allOf{a, b}
}

type parser struct {
	rest     string
	anywhere bool
}

func (p *parser) skip() {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
}

// word takes a keyword that stands alone.
func (p *parser) word(w string) bool {
	rest, ok := strings.CutPrefix(p.rest, w)
	if !ok || rest != "" && !strings.ContainsAny(rest[:1], " \t\r\n(){}\"") {
		return false
	}
	p.rest = rest
	return true
}

// group reads terms up to a closing bracket, which it leaves. either makes it
// a group of alternatives. Between two terms OR binds them, closer than
// standing side by side does.
func (p *parser) group(depth int, either bool, term func(depth int) node) node {
	var terms []node
	or := false
	for {
		p.skip()
		if p.rest == "" || strings.ContainsAny(p.rest[:1], ")}") {
			break
		}
		switch {
		case p.word("OR") || p.word("|"):
			or = len(terms) > 0
			continue
		case p.word("AND"):
			continue
		}
		n := term(depth)
		if n == nil {
			continue
		}
		if or {
			last := len(terms) - 1
			if alt, ok := terms[last].(anyOf); ok {
				terms[last] = append(alt, n)
			} else {
				terms[last] = anyOf{terms[last], n}
			}
		} else {
			terms = append(terms, n)
		}
		or = false
	}
	switch {
	case len(terms) == 0:
		return nil
	case len(terms) == 1:
		return terms[0]
	case either:
		return anyOf(terms)
	}
	return allOf(terms)
}

// brackets reads a group with its brackets.
func (p *parser) brackets(depth int, term func(depth int) node) node {
	open := p.rest[0]
	p.rest = p.rest[1:]
	if depth >= maxNesting {
		return nil
	}
	n := p.group(depth+1, open == '{', term)
	if p.rest != "" { // either closing bracket closes
		p.rest = p.rest[1:]
	}
	return n
}

// term reads one term; nil when there is none.
func (p *parser) term(depth int) node {
	switch p.rest[0] {
	case '-':
		p.rest = p.rest[1:]
		if p.rest == "" || unicode.IsSpace(rune(p.rest[0])) || strings.ContainsAny(p.rest[:1], ")}-") {
			return nil
		}
		if n := p.term(depth); n != nil {
			return not{n}
		}
		return nil
	case '+':
		p.rest = p.rest[1:]
		return nil
	case '(', '{':
		return p.brackets(depth, p.term)
	case ')', '}':
		p.rest = p.rest[1:]
		return nil
	case '"':
		return newWords(p.quoted())
	}
	w := p.bare()
	name, value, ok := strings.Cut(w, ":")
	op := strings.ToLower(name)
	if !ok || !operators[op] {
		return newWords(w)
	}
	if value != "" {
		return p.operator(op, value)
	}
	// name: "two words", name:(a b), name:{a b}. What does not follow at once
	// is no value.
	if p.rest == "" || unicode.IsSpace(rune(p.rest[0])) {
		return nil
	}
	return p.value(op, depth)
}

// value reads the value of an operator that does not stand in the same word.
func (p *parser) value(op string, depth int) node {
	one := func(depth int) node {
		switch p.rest[0] {
		case '"':
			return p.operator(op, p.quoted())
		case '(', '{':
			return p.value(op, depth)
		case '-':
			p.rest = p.rest[1:]
			if p.rest == "" || unicode.IsSpace(rune(p.rest[0])) || strings.ContainsAny(p.rest[:1], ")}-") {
				return nil
			}
			if n := p.value(op, depth); n != nil {
				return not{n}
			}
			return nil
		}
		return p.operator(op, p.bare())
	}
	if strings.ContainsAny(p.rest[:1], "({") {
		return p.brackets(depth, one)
	}
	if strings.ContainsAny(p.rest[:1], ")}") {
		return nil
	}
	return one(depth)
}

// quoted reads a phrase; a missing last quote is at the end.
func (p *parser) quoted() string {
	s, rest, _ := strings.Cut(p.rest[1:], `"`)
	p.rest = rest
	return s
}

// bare reads up to white space, a bracket or a quote, at least one rune.
func (p *parser) bare() string {
	i := strings.IndexFunc(p.rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`(){}"`, r) })
	if i < 0 {
		i = len(p.rest)
	}
	if i == 0 {
		_, i = utf8.DecodeRuneInString(p.rest)
	}
	w := p.rest[:i]
	p.rest = p.rest[i:]
	return w
}

// operators are the names that may stand before a colon.
var operators = map[string]bool{
	"from": true, "to": true, "cc": true, "bcc": true, "subject": true, "label": true, "in": true, "is": true, "has": true,
	"category": true, "filename": true, "after": true, "before": true, "newer": true, "older": true, "older_than": true, "newer_than": true,
	"larger": true, "smaller": true, "larger_than": true, "smaller_than": true, "size": true, "rfc822msgid": true, "deliveredto": true, "list": true,
}
