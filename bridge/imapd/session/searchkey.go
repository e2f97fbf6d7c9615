package session

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// Bounds of one SEARCH. A program that looks for a thread's messages sends
// some hundreds of keys.
const (
	maxSearchKeys  = 5000
	maxSearchTexts = 1000
)

// searchOp is what a search key tests (RFC 9051, 6.4.4; RFC 3501, 6.4.4).
type searchOp uint8

const (
	searchAll searchOp = iota
	searchNone
	searchAnd // all of kids
	searchOr  // one of kids
	searchNot // not the only one of kids
	searchSet
	searchKeyword
	searchDeleted
	searchSince // the row's date >= day
	searchBefore
	searchLarger
	searchSmaller
	searchSent // the Date field's day is in [day, end), either of which may be open
	searchHeader
	searchBody
	searchText
)

// criterion is a search key with its arguments.
type criterion struct {
	op      searchOp
	kids    []*criterion
	set     wire.Set
	uid     bool   // set is of UIDs
	keyword string // JMAP spelling
	field   string // of searchHeader, lower case
	text    string // decoded, any case
	size    int64
	day     time.Time
	end     time.Time
}

// searchReturn is what RETURN asks for (RFC 9051, 6.4.4; RFC 4731, 3.1).
type searchReturn struct {
	given                      bool
	min, max, count, all, save bool
}

// quiet: RETURN (SAVE) alone tells nothing (RFC 9051, 6.4.4.1).
func (r searchReturn) quiet() bool { return r.given && !r.min && !r.max && !r.count && !r.all }

// searchRequest is a SEARCH command.
type searchRequest struct {
	ret   searchReturn
	keys  *criterion
	texts int
}

// searchParser walks over the arguments of one SEARCH.
type searchParser struct {
	a      *wire.Args
	decode func(string) (string, bool)
	now    time.Time
	keys   int
	texts  int
}

// parseSearch reads a SEARCH's arguments. What is wrong with them is a
// *wire.SyntaxError, but for a charset that is not known (errCharset), with
// which the request says whether a result should have been saved.
func parseSearch(a *wire.Args, now time.Time, utf8 bool) (*searchRequest, error) {
	req := &searchRequest{}
	if err := a.SP(); err != nil {
		return nil, err
	}
	if a.SkipAtom("RETURN") {
		if err := parseReturn(a, &req.ret); err != nil {
			return nil, err
		}
		if err := a.SP(); err != nil {
			return nil, err
		}
	}
	p := &searchParser{a: a, now: now, decode: decodeUTF8}
	if a.SkipAtom("CHARSET") {
		if err := a.SP(); err != nil {
			return nil, err
		}
		name, err := a.AString()
		if err != nil {
			return nil, err
		}
		// RFC 6855, 3: a client that enabled UTF8=ACCEPT must not give a charset;
		// naming the one in use harms nobody. IMAP4rev2 has no such rule.
		if utf8 && !strings.EqualFold(name, "UTF-8") {
			return nil, a.Fail("with UTF8=ACCEPT enabled there is no other charset than UTF-8")
		}
		if p.decode = charsetDecoder(name); p.decode == nil {
			return req, errCharset
		}
		if err := a.SP(); err != nil {
			return nil, err
		}
	}
	var err error
	if req.keys, err = p.sequence(func() bool { return false }); err != nil {
		return nil, err
	}
	req.texts = p.texts
	return req, a.End()
}

// parseReturn reads the result options behind RETURN. None at all is ALL.
func parseReturn(a *wire.Args, r *searchReturn) error {
	if err := a.SP(); err != nil {
		return err
	}
	r.given = true
	err := a.List(func() error {
		a.Special(' ')
		word, err := a.Keyword()
		if err != nil {
			return err
		}
		switch word {
		case "MIN":
			r.min = true
		case "MAX":
			r.max = true
		case "COUNT":
			r.count = true
		case "ALL":
			r.all = true
		case "SAVE":
			r.save = true
		default:
			return a.Fail("the result options of SEARCH are MIN, MAX, COUNT, ALL and SAVE")
		}
		return nil
	})
	r.all = r.all || r.quiet() && !r.save
	return err
}

// sequence reads keys, all of which must hold, up to where end says or the end
// of the command.
func (p *searchParser) sequence(end func() bool) (*criterion, error) {
	and := &criterion{op: searchAnd}
	for {
		c, err := p.key()
		if err != nil {
			return nil, err
		}
		and.kids = append(and.kids, c)
		if end() || !p.a.More() {
			break
		}
	}
	if len(and.kids) == 1 {
		return and.kids[0], nil
	}
	return and, nil
}

// key reads one key. Keys nest as deep as wire lets them.
func (p *searchParser) key() (*criterion, error) {
	if err := p.a.Enter(); err != nil {
		return nil, err
	}
	defer p.a.Leave()
	if p.keys++; p.keys > maxSearchKeys {
		return nil, p.a.Fail("there are too many search keys")
	}
	switch b := p.a.Peek(); {
	case b == '(':
		return p.group()
	case b >= '0' && b <= '9', b == '*', b == '$':
		set, err := p.a.Set()
		return &criterion{op: searchSet, set: set}, err
	}
	word, err := p.a.Keyword()
	if err != nil {
		return nil, err
	}
	return p.named(word)
}

// group reads keys in parentheses.
func (p *searchParser) group() (*criterion, error) {
	p.a.Special('(')
	closed := false
	c, err := p.sequence(func() bool {
		closed = p.a.Special(')')
		return closed
	})
	if err == nil && !closed {
		err = p.a.Fail("a search key or a closing parenthesis is missing")
	}
	return c, err
}

// flagKeys are the keys that look at one flag, and whether they want it.
var flagKeys = map[string]struct {
	flag string
	set  bool
}{
	"ANSWERED": {box.Answered, true}, "UNANSWERED": {box.Answered, false},
	"DRAFT": {box.Draft, true}, "UNDRAFT": {box.Draft, false},
	"FLAGGED": {box.Flagged, true}, "UNFLAGGED": {box.Flagged, false},
	"SEEN": {box.Seen, true}, "UNSEEN": {box.Seen, false},
	"DELETED": {box.Deleted, true}, "UNDELETED": {box.Deleted, false},
}

func (p *searchParser) named(word string) (*criterion, error) {
	if k, ok := flagKeys[word]; ok {
		return hasFlag(k.flag, k.set), nil
	}
	switch word {
	case "ALL":
		return &criterion{op: searchAll}, nil
	// Nothing is \Recent here, for nobody is told first (RFC 9051, appendix E,
	// 15): all messages are old and none is new.
	case "OLD":
		return &criterion{op: searchAll}, nil
	case "NEW", "RECENT":
		return &criterion{op: searchNone}, nil
	case "NOT", "OR":
		return p.composed(word)
	case "UID":
		if err := p.a.SP(); err != nil {
			return nil, err
		}
		set, err := p.a.Set()
		return &criterion{op: searchSet, set: set, uid: true}, err
	case "KEYWORD", "UNKEYWORD":
		if err := p.a.SP(); err != nil {
			return nil, err
		}
		flag, err := p.a.Flag()
		return hasFlag(flag, word == "KEYWORD"), err
	case "BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE":
		return p.date(word)
	case "LARGER", "SMALLER", "OLDER", "YOUNGER":
		return p.number(word)
	case "BODY", "TEXT", "SUBJECT", "FROM", "TO", "CC", "BCC", "HEADER":
		return p.text(word)
	}
	return nil, p.a.Fail("this search key is not known")
}

func hasFlag(flag string, want bool) *criterion {
	c := &criterion{op: searchDeleted}
	if !strings.EqualFold(flag, box.Deleted) {
		keyword, ok := box.KeywordOf(flag)
		if !ok {
			c = &criterion{op: searchNone} // \Recent, and what does not exist
		} else {
			c = &criterion{op: searchKeyword, keyword: keyword}
		}
	}
	if !want {
		return &criterion{op: searchNot, kids: []*criterion{c}}
	}
	return c
}

func (p *searchParser) composed(word string) (*criterion, error) {
	c := &criterion{op: searchNot}
	n := 1
	if word == "OR" {
		c.op, n = searchOr, 2
	}
	for range n {
		if err := p.a.SP(); err != nil {
			return nil, err
		}
		kid, err := p.key()
		if err != nil {
			return nil, err
		}
		c.kids = append(c.kids, kid)
	}
	return c, nil
}

// date reads a key with a date.
func (p *searchParser) date(word string) (*criterion, error) {
	if err := p.a.SP(); err != nil {
		return nil, err
	}
	day, err := p.a.Date()
	if err != nil {
		return nil, err
	}
	next := day.AddDate(0, 0, 1)
	switch word {
	case "SINCE":
		return &criterion{op: searchSince, day: day}, nil
	case "BEFORE":
		return &criterion{op: searchBefore, day: day}, nil
	case "ON":
		return &criterion{op: searchAnd, kids: []*criterion{{op: searchSince, day: day}, {op: searchBefore, day: next}}}, nil
	case "SENTSINCE":
		return &criterion{op: searchSent, day: day}, nil
	case "SENTBEFORE":
		return &criterion{op: searchSent, end: day}, nil
	}
	return &criterion{op: searchSent, day: day, end: next}, nil
}

// number reads LARGER and SMALLER, and OLDER and YOUNGER (RFC 5032), which
// count seconds back from now.
func (p *searchParser) number(word string) (*criterion, error) {
	if err := p.a.SP(); err != nil {
		return nil, err
	}
	n, err := p.a.Number64()
	if err != nil {
		return nil, err
	}
	switch word {
	case "LARGER":
		return &criterion{op: searchLarger, size: n}, nil
	case "SMALLER":
		return &criterion{op: searchSmaller, size: n}, nil
	}
	if n == 0 || n > 1<<32-1 {
		return nil, p.a.Fail("an interval is from 1 to 4294967295 seconds")
	}
	at := p.now.Add(-time.Duration(n) * time.Second)
	if word == "OLDER" {
		return &criterion{op: searchBefore, day: at.Add(time.Second)}, nil // at or before
	}
	return &criterion{op: searchSince, day: at}, nil
}

// text reads a key with a string, in the search's charset.
func (p *searchParser) text(word string) (*criterion, error) {
	if p.texts++; p.texts > maxSearchTexts {
		return nil, p.a.Fail(fmt.Sprintf("there are more than %d search keys with a string", maxSearchTexts))
	}
	c := &criterion{op: searchHeader, field: strings.ToLower(word)}
	switch word {
	case "BODY":
		c.op = searchBody
	case "TEXT":
		c.op = searchText
	case "HEADER":
		if err := p.a.SP(); err != nil {
			return nil, err
		}
		name, err := p.a.AString()
		if err != nil {
			return nil, err
		}
		c.field = strings.ToLower(name)
	}
	if err := p.a.SP(); err != nil {
		return nil, err
	}
	s, err := p.a.AString()
	if err != nil {
		return nil, err
	}
	text, ok := p.decode(s)
	if !ok {
		return nil, p.a.Fail("a string is not in the charset")
	}
	c.text = text
	return c, nil
}
