package graph

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// $search speaks a part of KQL: words and quoted phrases, matched by prefix of
// words, field:value, AND, OR, NOT, parentheses; words side by side are ANDed.

type searchNode interface{ match(d *searchable) bool }

type (
	searchAll  []searchNode
	searchAny  []searchNode
	searchNot  struct{ x searchNode }
	searchTerm struct {
		field string // "" searches from, subject and body
		op    string // ":", "=", "<", ">", "<=", ">=", "<>"
		value string
		words []string
	}
)

// searchable is a message as the index sees it.
type searchable struct {
	m     *message
	texts map[string][]string // words by field, made when first needed
}

// searchFields are the fields a term may name.
var searchFields = map[string]bool{
	"attachment": true, "bcc": true, "body": true, "cc": true, "from": true, "hasattachment": true, "hasattachments": true, "importance": true,
	"kind": true, "participants": true, "received": true, "recipients": true, "sent": true, "size": true, "subject": true, "to": true,
}

type searchParser struct {
	tokens []string
	at     int
}

// parseSearch reads the value of $search, which is one quoted string.
func parseSearch(s string) (searchNode, error) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return nil, errBadRequest("Syntax error: character ':' is not valid at position 0 in '%s'. $search must be enclosed in double quotes.", s)
	}
	s = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s[1 : len(s)-1])
	p := &searchParser{tokens: lexSearch(s)}
	if len(p.tokens) == 0 {
		return nil, errBadRequest("The $search expression is empty.")
	}
	return p.any(0), nil
}

// lexSearch splits at white space and parentheses; quotes keep words together,
// also after a field's colon.
func lexSearch(s string) []string {
	var ts []string
	var b strings.Builder
	quoted := false
	flush := func() {
		if b.Len() > 0 {
			ts = append(ts, b.String())
			b.Reset()
		}
	}
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
			b.WriteRune(r)
		case quoted:
			b.WriteRune(r)
		case unicode.IsSpace(r):
			flush()
		case r == '(' || r == ')':
			if r == '(' && strings.HasSuffix(b.String(), ":") { // subject:(a b)
				b.WriteByte('"')
				quoted = true
				continue
			}
			flush()
			ts = append(ts, string(r))
		default:
			b.WriteRune(r)
		}
	}
	flush()
	return ts
}

func (p *searchParser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *searchParser) any(depth int) searchNode {
	nodes := searchAny{p.all(depth)}
	for p.peek() == "OR" {
		p.at++
		nodes = append(nodes, p.all(depth))
	}
	if len(nodes) == 1 {
		return nodes[0]
	}
	return nodes
}

func (p *searchParser) all(depth int) searchNode {
	var nodes searchAll
	for t := p.peek(); t != "" && t != "OR" && t != ")"; t = p.peek() {
		if t == "AND" {
			p.at++
			continue
		}
		nodes = append(nodes, p.one(depth))
	}
	return nodes
}

func (p *searchParser) one(depth int) searchNode {
	t := p.peek()
	p.at++
	switch {
	case t == "NOT":
		return searchNot{p.one(depth)}
	case t == "(" && depth < maxFilterDepth:
		n := p.any(depth + 1)
		if p.peek() == ")" {
			p.at++
		}
		return n
	case len(t) > 1 && t[0] == '-':
		return searchNot{newSearchTerm(t[1:])}
	}
	return newSearchTerm(t)
}

func newSearchTerm(t string) searchNode {
	term := searchTerm{value: strings.Trim(t, `"`)}
	if i := strings.IndexAny(t, ":=<>"); i > 0 && t[0] != '"' && searchFields[strings.ToLower(t[:i])] {
		term.field = strings.ToLower(t[:i])
		j := i + 1
		for j < len(t) && strings.ContainsRune("=<>", rune(t[j])) {
			j++
		}
		term.op, term.value = t[i:j], strings.Trim(t[j:], `"`)
	}
	term.words = words(strings.TrimSuffix(term.value, "*"))
	return term
}

// words are the lower-case runs of letters and digits.
func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func (a searchAll) match(d *searchable) bool {
	return !slices.ContainsFunc(a, func(n searchNode) bool { return !n.match(d) })
}

func (a searchAny) match(d *searchable) bool {
	return slices.ContainsFunc(a, func(n searchNode) bool { return n.match(d) })
}

func (n searchNot) match(d *searchable) bool { return !n.x.match(d) }

func (t searchTerm) match(d *searchable) bool {
	st := d.m.st
	switch t.field {
	case "":
		return d.contains("from", t.words) || d.contains("subject", t.words) || d.contains("body", t.words)
	case "participants":
		return slices.ContainsFunc([]string{"from", "to", "cc", "bcc"}, func(f string) bool { return d.contains(f, t.words) })
	case "recipients":
		return slices.ContainsFunc([]string{"to", "cc", "bcc"}, func(f string) bool { return d.contains(f, t.words) })
	case "hasattachment", "hasattachments":
		st.c.load()
		return st.c.attached == (strings.EqualFold(t.value, "true") || t.value == "1")
	case "importance":
		return strings.EqualFold(st.importance, t.value)
	case "kind":
		return strings.EqualFold(t.value, "email")
	case "size":
		n, err := strconv.ParseInt(t.value, 10, 64)
		return err == nil && holds(t.op, compareInts(st.size, n))
	case "received":
		return matchDay(t.op, st.received, t.value)
	case "sent":
		return matchDay(t.op, st.sentAt, t.value)
	}
	return d.contains(t.field, t.words)
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func holds(op string, n int) bool {
	switch op {
	case ">":
		return n > 0
	case ">=":
		return n >= 0
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case "<>":
		return n != 0
	}
	return n == 0
}

// matchDay compares a time with a day, or with a range a..b of days.
func matchDay(op string, at time.Time, value string) bool {
	if from, to, ok := strings.Cut(value, ".."); ok {
		return matchDay(">=", at, from) && matchDay("<=", at, to)
	}
	for _, layout := range []string{"2006-01-02", "01/02/2006", "1/2/2006"} {
		if day, err := time.Parse(layout, value); err == nil {
			return holds(op, at.UTC().Truncate(24*time.Hour).Compare(day))
		}
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return holds(op, at.Compare(t))
	}
	return false
}

// contains says whether the words stand one after the other in a field, the
// last of them perhaps as the beginning of one.
func (d *searchable) contains(field string, want []string) bool {
	if len(want) == 0 {
		return false
	}
	have, ok := d.texts[field]
	if !ok {
		have = words(d.text(field))
		if d.texts == nil {
			d.texts = map[string][]string{}
		}
		d.texts[field] = have
	}
	for i := 0; i+len(want) <= len(have); i++ {
		n := 0
		for n < len(want)-1 && have[i+n] == want[n] {
			n++
		}
		if n == len(want)-1 && strings.HasPrefix(have[i+n], want[n]) {
			return true
		}
	}
	return false
}

func (d *searchable) text(field string) string {
	c := d.m.st.c
	switch field {
	case "subject":
		return c.subject
	case "from":
		if c.from == nil {
			return ""
		}
		return people([]mimetree.Recipient{*c.from})
	case "to":
		return people(c.to)
	case "cc":
		return people(c.cc)
	case "bcc":
		return people(c.bcc)
	case "body":
		c.load()
		if c.html {
			return mimetree.HTMLToText(c.bodyText())
		}
		return c.bodyText()
	case "attachment":
		c.load()
		var names []string
		for _, a := range c.attachments {
			names = append(names, a.name)
		}
		return strings.Join(names, "\n")
	}
	return ""
}

func people(rs []mimetree.Recipient) string {
	var b strings.Builder
	for _, r := range rs {
		b.WriteString(r.Name + " " + r.Address + "\n")
	}
	return b.String()
}
