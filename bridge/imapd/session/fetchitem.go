package session

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// itemKind is what a FETCH data item tells of (RFC 9051, 6.4.5).
type itemKind uint8

const (
	itemFlags itemKind = iota
	itemUID
	itemDate
	itemSize
	itemEnvelope
	itemBody
	itemStructure
	itemPreview    // of RFC 8970
	itemSection    // BODY[...] and its names of RFC 3501: RFC822, RFC822.HEADER, RFC822.TEXT
	itemBinary     // BINARY[...]: a part with its transfer encoding undone
	itemBinarySize // BINARY.SIZE[...]
)

// sectionText is what of a message or part a section names.
type sectionText uint8

const (
	textAll       sectionText = iota // [] is the message, [1] the body of the part
	textHeader                       // [HEADER], [1.HEADER]
	textFields                       // [HEADER.FIELDS (...)]
	textFieldsNot                    // [HEADER.FIELDS.NOT (...)]
	textBody                         // [TEXT], [1.TEXT]
	textMIME                         // [1.MIME]
)

// fetchItem is one data item of a FETCH.
type fetchItem struct {
	kind itemKind
	// label is the item's name as it stands in the answer, with the space that
	// follows it.
	label string
	// part is the part's number, "1.2", empty for the message itself.
	part   string
	text   sectionText
	fields *fieldNames
	// A partial gives at most count octets from origin on.
	partial       bool
	origin, count int64
}

// need says what must be known of a message before an item can be told.
type need uint8

const (
	needSize need = 1 << iota
	needEnvelope
	needRows
	needHeader
	needBytes
	needPreview
)

func (it *fetchItem) needs() need {
	switch it.kind {
	case itemSize:
		return needSize
	case itemEnvelope:
		return needEnvelope
	case itemBody, itemStructure:
		return needRows
	case itemPreview:
		return needPreview
	case itemBinary, itemBinarySize:
		if it.part == "" {
			return needBytes
		}
		return needRows | needBytes
	case itemSection:
		switch {
		case it.part == "" && it.text == textAll:
			return needBytes
		case it.part == "" && (it.text == textHeader || it.text == textFields || it.text == textFieldsNot):
			return needHeader
		}
		return needRows | needBytes
	}
	return 0
}

// fetchPlan is a FETCH as it was asked for.
type fetchPlan struct {
	items []fetchItem
	needs need
	// sections: parts are asked for by their numbers, or the text.
	sections bool
	// seen: the message is read by it (RFC 9051, 6.4.5: \Seen is implicitly set).
	seen bool
}

// maxItems bounds the data items of one FETCH, so that a command of one
// megabyte does not ask for every message a hundred thousand times.
const maxItems = 250

// parseFetch reads what follows the sequence set of a FETCH. A UID FETCH
// answers with the UID whether it was asked for or not (RFC 9051, 6.4.9).
func parseFetch(a *wire.Args, uid bool) (*fetchPlan, error) {
	p := &fetchPlan{}
	if uid {
		p.add(fetchItem{kind: itemUID}, false)
	}
	if a.Peek() == '(' {
		err := a.List(func() error { return p.item(a, false) })
		if err != nil {
			return nil, err
		}
	} else if err := p.item(a, true); err != nil {
		return nil, err
	}
	if len(p.items) == 0 {
		return nil, a.Fail("no data item to fetch")
	}
	// What every client looks at first stands first.
	slices.SortStableFunc(p.items, func(x, y fetchItem) int { return rank(x.kind) - rank(y.kind) })
	return p, a.End()
}

func rank(k itemKind) int {
	switch k {
	case itemUID:
		return 0
	case itemFlags, itemDate, itemSize:
		return 1
	}
	return 2
}

// add puts an item on the plan, once.
func (p *fetchPlan) add(it fetchItem, seen bool) {
	p.seen = p.seen || seen
	for i := range p.items {
		have := &p.items[i]
		if have.kind == it.kind && have.label == it.label && have.count == it.count {
			return
		}
	}
	p.needs |= it.needs()
	p.sections = p.sections || it.kind >= itemSection && it.needs()&needRows != 0
	p.items = append(p.items, it)
}

// item reads one data item; alone says that it is the only one, which is where
// the macros may stand.
func (p *fetchPlan) item(a *wire.Args, alone bool) error {
	if len(p.items) >= maxItems {
		return a.Fail("too many data items")
	}
	atom, err := a.Atom()
	if err != nil {
		return err
	}
	name, spec, section := strings.Cut(atom, "[")
	name = strings.ToUpper(name)
	if section {
		return p.section(a, name, spec)
	}
	simple := func(kinds ...itemKind) error {
		for _, k := range kinds {
			p.add(fetchItem{kind: k}, false)
		}
		return nil
	}
	switch name {
	case "FLAGS":
		return simple(itemFlags)
	case "UID":
		return simple(itemUID)
	case "INTERNALDATE":
		return simple(itemDate)
	case "RFC822.SIZE":
		return simple(itemSize)
	case "ENVELOPE":
		return simple(itemEnvelope)
	case "BODY":
		return simple(itemBody)
	case "BODYSTRUCTURE":
		return simple(itemStructure)
	case "PREVIEW":
		return p.preview(a)
	case "RFC822": // RFC 3501, 6.4.5; RFC 9051 has them no longer
		p.add(fetchItem{kind: itemSection, label: "RFC822 "}, true)
		return nil
	case "RFC822.HEADER":
		p.add(fetchItem{kind: itemSection, label: "RFC822.HEADER ", text: textHeader}, false)
		return nil
	case "RFC822.TEXT":
		p.add(fetchItem{kind: itemSection, label: "RFC822.TEXT ", text: textBody}, true)
		return nil
	}
	if alone {
		switch name {
		case "ALL":
			return simple(itemFlags, itemDate, itemSize, itemEnvelope)
		case "FAST":
			return simple(itemFlags, itemDate, itemSize)
		case "FULL":
			return simple(itemFlags, itemDate, itemSize, itemEnvelope, itemBody)
		}
	}
	return a.Fail("unknown data item")
}

// section reads what follows the bracket of BODY[, BODY.PEEK[, BINARY[,
// BINARY.PEEK[ and BINARY.SIZE[; spec is what was read of it with the name.
func (p *fetchPlan) section(a *wire.Args, name, spec string) error {
	it := fetchItem{kind: itemSection}
	seen := name == "BODY" || name == "BINARY"
	switch name {
	case "BODY", "BODY.PEEK":
		name = "BODY"
	case "BINARY", "BINARY.PEEK":
		name, it.kind = "BINARY", itemBinary
	case "BINARY.SIZE":
		it.kind = itemBinarySize
	default:
		return a.Fail("unknown data item")
	}
	spec = strings.ToUpper(spec)
	var ok bool
	if it.part, it.text, ok = parseSection(spec); !ok || (it.kind != itemSection && it.text != textAll) {
		return a.Fail("this is no section of a message")
	}
	label := name + "[" + spec
	if it.text == textFields || it.text == textFieldsNot {
		names, list, err := headerList(a)
		if err != nil {
			return err
		}
		it.fields = names
		label += " (" + list + ")"
	}
	if !a.Special(']') {
		return a.Fail("a section ends with ]")
	}
	label += "]"
	if a.Peek() == '<' {
		if it.kind == itemBinarySize {
			return a.Fail("BINARY.SIZE takes no partial")
		}
		if err := it.readPartial(a); err != nil {
			return err
		}
		label += "<" + strconv.FormatInt(it.origin, 10) + ">"
	}
	it.label = label + " "
	p.add(it, seen)
	return nil
}

// parseSection reads section-spec of RFC 9051, 9, in upper case.
func parseSection(spec string) (part string, text sectionText, ok bool) {
	rest := spec
	for rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		if rest[0] == '0' || n > 9 { // nz-number
			return "", 0, false
		}
		if part != "" {
			part += "."
		}
		part += rest[:n]
		if rest = rest[n:]; rest == "" {
			return part, textAll, true
		}
		if rest[0] != '.' {
			return "", 0, false
		}
		if rest = rest[1:]; rest == "" {
			return "", 0, false
		}
	}
	switch rest {
	case "":
		return "", textAll, true
	case "HEADER":
		return part, textHeader, true
	case "HEADER.FIELDS":
		return part, textFields, true
	case "HEADER.FIELDS.NOT":
		return part, textFieldsNot, true
	case "TEXT":
		return part, textBody, true
	case "MIME":
		return part, textMIME, part != ""
	}
	return "", 0, false
}

// headerList reads the names of HEADER.FIELDS and gives them as the answer
// repeats them, too.
func headerList(a *wire.Args) (*fieldNames, string, error) {
	if err := a.SP(); err != nil {
		return nil, "", err
	}
	var names []string
	var echo strings.Builder
	err := a.List(func() error {
		name, err := a.AString()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			echo.WriteByte(' ')
		}
		if !appendFieldName(&echo, name) {
			return a.Fail("this is no name of a header field")
		}
		names = append(names, name)
		return nil
	})
	if err == nil && len(names) == 0 {
		err = a.Fail("no header field is named")
	}
	return newFieldNames(names), echo.String(), err
}

// appendFieldName writes a name as an astring: nothing but what a quoted
// string can hold is a name that a message could have.
func appendFieldName(to *strings.Builder, name string) bool {
	quote := name == ""
	for i := range len(name) {
		c := name[i]
		if c < ' ' || c > '~' {
			return false
		}
		quote = quote || strings.IndexByte(" (){%*\"\\", c) >= 0
	}
	if !quote {
		to.WriteString(name)
		return true
	}
	to.WriteByte('"')
	for i := range len(name) {
		if name[i] == '"' || name[i] == '\\' {
			to.WriteByte('\\')
		}
		to.WriteByte(name[i])
	}
	to.WriteByte('"')
	return true
}

// readPartial reads <origin.count> (RFC 9051, 6.4.5).
func (it *fetchItem) readPartial(a *wire.Args) error {
	atom, err := a.Atom()
	if err != nil {
		return err
	}
	inner, closed := strings.CutSuffix(strings.TrimPrefix(atom, "<"), ">")
	origin, count, two := strings.Cut(inner, ".")
	bad := a.Fail("a partial is <origin.count>, both numbers")
	if !closed || !two {
		return bad
	}
	from, ok1 := number63(origin)
	n, ok2 := number63(count)
	if !ok1 || !ok2 || n == 0 {
		return bad
	}
	it.partial, it.origin, it.count = true, from, n
	return nil
}

// number63 reads number64 of RFC 9051, 9, which has 63 bits.
func number63(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' { // ParseInt takes signs
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// cut gives which octets of a text of the given length an item asks for. One
// that begins behind the end asks for none (RFC 9051, 6.4.5).
func (it *fetchItem) cut(length int64) (from, n int64) {
	if !it.partial {
		return 0, length
	}
	from = min(it.origin, length)
	return from, min(it.count, length-from)
}
