package mime

import (
	"strings"
)

// address is one of a list (RFC 5322, 3.4), or the begin or the end of a group
// in it, which ENVELOPE tells as addresses without a host (RFC 9051, 7.5.2).
type address struct {
	name, mailbox, host string
	group, end          bool
}

func (a address) append(b []byte) []byte {
	switch {
	case a.end:
		return append(b, "(NIL NIL NIL NIL)"...)
	case a.group:
		b = appendWord(append(b, "(NIL NIL "...), a.name)
		return append(b, " NIL)"...)
	}
	b = appendNWord(append(b, '('), a.name)
	b = appendAddrWord(append(b, " NIL "...), a.mailbox)
	b = appendAddrWord(append(b, ' '), a.host)
	return append(b, ')')
}

// maxAddresses bounds how many addresses of a field are told.
const maxAddresses = 20_000

// addresses reads a list of addresses. One that breaks the rules costs no other
// its place: it is told as far as it can be understood. What has no domain has
// an empty one, since no host at all means a group.
func addresses(field string) []address {
	p := &addressList{in: field}
	for p.at < len(p.in) && len(p.list) < maxAddresses {
		p.step()
	}
	p.finish()
	if p.inGroup {
		p.list = append(p.list, address{end: true})
	}
	return p.list
}

// addressList reads a list, item by item.
type addressList struct {
	in   string
	at   int
	list []address

	words   []word
	comment string
	spec    string // what stood in angle brackets
	angle   bool   // there were some
	inGroup bool
}

// word is an atom or a quoted string of an item.
type word struct {
	text   string
	quoted bool
}

func (p *addressList) step() {
	switch c := p.in[p.at]; c {
	case ' ', '\t', '\r', '\n', 0:
		p.at++
	case ',':
		p.at++
		p.finish()
	case ';':
		p.at++
		p.finish()
		if p.inGroup {
			p.list = append(p.list, address{end: true})
			p.inGroup = false
		}
	case ':':
		p.at++
		if p.inGroup || p.angle || len(p.words) == 0 {
			return
		}
		p.list = append(p.list, address{group: true, name: phrase(p.words)})
		p.words, p.comment, p.inGroup = nil, "", true
	case '"':
		text := p.quoted()
		p.words = append(p.words, word{text, true})
	case '(':
		if text := p.parens(); p.comment == "" {
			p.comment = text
		}
	case '<':
		p.brackets()
	case '>', ')':
		p.at++
	default:
		p.atom()
	}
}

// quoted reads a quoted string without its quotes.
func (p *addressList) quoted() string {
	var b strings.Builder
	for p.at++; p.at < len(p.in); p.at++ {
		switch c := p.in[p.at]; c {
		case '"':
			p.at++
			return b.String()
		case '\\':
			if p.at++; p.at < len(p.in) {
				b.WriteByte(p.in[p.at])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// parens reads a comment, in which others may be.
func (p *addressList) parens() string {
	var b strings.Builder
	depth := 0
	for ; p.at < len(p.in); p.at++ {
		c := p.in[p.at]
		switch c {
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				p.at++
				return strings.TrimSpace(b.String())
			}
		case '\\':
			if p.at++; p.at == len(p.in) {
				continue
			}
			c = p.in[p.at]
		}
		b.WriteByte(c)
	}
	return strings.TrimSpace(b.String())
}

// brackets reads an address in angle brackets; without the closing one it ends
// with the item.
func (p *addressList) brackets() {
	p.at++
	var b strings.Builder
	for p.at < len(p.in) && p.in[p.at] != '>' && p.in[p.at] != '<' {
		switch c := p.in[p.at]; c {
		case '"':
			b.WriteString(p.quoted())
			continue
		case '(':
			p.parens()
			continue
		case 0:
		case ',', ';':
			// Without a source route before it (RFC 5322, 4.4), the bracket was
			// never closed.
			if c == ';' || !strings.HasPrefix(b.String(), "@") {
				p.keep(b.String())
				return
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
		p.at++
	}
	if p.at < len(p.in) && p.in[p.at] == '>' {
		p.at++
	}
	p.keep(b.String())
}

func (p *addressList) keep(spec string) {
	if strings.HasPrefix(spec, "@") { // a source route goes
		if _, after, ok := strings.Cut(spec, ":"); ok {
			spec = after
		}
	}
	if !p.angle || p.spec == "" {
		p.spec = spec
	}
	p.angle = true
}

// atom reads up to white space or what has a meaning. An encoded word may hold
// what must not stand in one.
func (p *addressList) atom() {
	start := p.at
	if n := encodedWord(p.in[p.at:]); n > 0 {
		p.at += n
	} else {
		for p.at < len(p.in) && !strings.ContainsRune(" \t\r\n\x00,;:\"(<>)", rune(p.in[p.at])) {
			p.at++
		}
		if p.at == start {
			p.at++
		}
	}
	p.words = append(p.words, word{text: p.in[start:p.at]})
}

// maxEncodedWord bounds the length of an encoded word. RFC 2047, 2, says 75, and
// not everybody knows.
const maxEncodedWord = 1000

// encodedWord gives how long the encoded word is that s begins with, 0 where it
// begins with none (RFC 2047, 2).
func encodedWord(s string) int {
	if !strings.HasPrefix(s, "=?") {
		return 0
	}
	word := s[:min(len(s), maxEncodedWord)]
	if i := strings.IndexAny(word, " \t\r\n"); i >= 0 {
		word = word[:i]
	}
	marks, at := 0, 2
	for ; at < len(word) && marks < 2; at++ {
		if word[at] == '?' {
			marks++
		}
	}
	end := strings.Index(word[at:], "?=")
	if marks < 2 || end < 0 {
		return 0
	}
	return at + end + 2
}

// finish ends an item of the list.
func (p *addressList) finish() {
	words, comment, spec, angle := p.words, p.comment, p.spec, p.angle
	p.words, p.comment, p.spec, p.angle = nil, "", "", false
	if len(words) == 0 && !angle {
		return
	}
	var a address
	if angle {
		a.mailbox, a.host = split(spec)
		a.mailbox, a.host = strings.TrimSpace(a.mailbox), strings.TrimSpace(a.host)
	} else {
		a.mailbox, a.host, words = bare(words)
	}
	if a.name = phrase(words); a.name == "" {
		a.name = comment
	}
	if a != (address{}) {
		p.list = append(p.list, a)
	}
}

// bare finds the address among words without angle brackets, and gives the
// words that are the name then.
func bare(words []word) (mailbox, host string, name []word) {
	for i := len(words) - 1; i >= 0; i-- {
		w := words[i]
		if w.quoted || !strings.Contains(w.text, "@") {
			continue
		}
		from, to := i, i+1
		mailbox, host = split(w.text)
		if mailbox == "" && from > 0 { // "john doe"@example.org
			from--
			mailbox = words[from].text
		}
		if host == "" && to < len(words) && !words[to].quoted { // john@ example.org
			host = words[to].text
			to++
		}
		return mailbox, host, append(append([]word(nil), words[:from]...), words[to:]...)
	}
	if len(words) == 1 && !words[0].quoted {
		return words[0].text, "", nil
	}
	return "", "", words
}

func split(spec string) (mailbox, host string) {
	i := strings.LastIndexByte(spec, '@')
	if i < 0 {
		return spec, ""
	}
	return spec[:i], spec[i+1:]
}

func phrase(words []word) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = w.text
	}
	return strings.TrimSpace(strings.Join(list, " "))
}
