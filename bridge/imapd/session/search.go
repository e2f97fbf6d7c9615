package session

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/textindex"
)

// TextSearcher finds messages by their text.
type TextSearcher interface {
	// Search looks through messages of an account, and gives a result for each.
	Search(ctx context.Context, account string, q textindex.Query, messages []string) ([]textindex.Result, error)
	// Fields gives the values of a header field, folded, of each message; ok is
	// false where the message's text is not here.
	Fields(ctx context.Context, account, name string, messages []string) ([]textindex.Field, error)
}

// hit is a message that was found.
type hit struct{ seq, uid uint32 }

// search answers SEARCH and UID SEARCH (RFC 9051, 6.4.4).
func (s *Session) search(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	req, err := parseSearch(c.Args, s.server.opts.Now(), c.UTF8 && !c.Rev2)
	if errors.Is(err, errCharset) {
		s.save(req, nil)
		return &Tagged{Status: No, Code: badCharset, Text: "This charset is not known"}, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx, req.keys)
	if err != nil {
		var bad badCommand
		if !errors.As(err, &bad) {
			// A SEARCH that is answered NO leaves an empty result, one that is
			// answered BAD the one of before (RFC 9051, 6.4.4.1).
			s.save(req, nil)
		}
		return nil, err
	}
	s.save(req, found)
	numbers := make([]uint32, len(found))
	for i := range found {
		if numbers[i] = found[i].seq; c.UID {
			numbers[i] = found[i].uid
		}
	}
	switch {
	case req.ret.quiet():
	case req.ret.given || c.Rev2:
		writeESearch(w, c, req.ret, numbers)
	default:
		writeSearch(w, numbers)
	}
	return &Tagged{Status: OK, Text: "Search completed"}, nil
}

// save keeps the result for "$" where the command asked for that: what MIN and
// MAX told where nothing else was asked for, all that was found otherwise
// (RFC 9051, 6.4.4.1). UIDs are never used again, so it stays right when
// messages are expunged.
func (s *Session) save(req *searchRequest, found []hit) {
	r := req.ret
	if !r.save {
		return
	}
	if n := len(found); n > 0 && (r.min || r.max) && !r.all && !r.count {
		var ends []hit
		if r.min {
			ends = append(ends, found[0])
		}
		if r.max && (!r.min || n > 1) {
			ends = append(ends, found[n-1])
		}
		found = ends
	}
	s.saved = make([]uint32, len(found))
	for i := range found {
		s.saved[i] = found[i].uid
	}
}

// writeSearch writes the response of IMAP4rev1 (RFC 3501, 7.2.5).
func writeSearch(w *wire.Writer, numbers []uint32) {
	w.Raw("* SEARCH")
	for _, n := range numbers {
		w.SP().Number(int64(n))
	}
	w.CRLF()
}

// writeESearch writes the response of IMAP4rev2 (RFC 9051, 7.3.4; RFC 4731).
// Without RETURN it is as with RETURN (ALL). What was not found has no MIN, MAX
// and ALL.
func writeESearch(w *wire.Writer, c *wire.Command, r searchReturn, numbers []uint32) {
	w.Raw("* ESEARCH (TAG ").Quoted(c.Tag).Raw(")")
	if c.UID {
		w.Raw(" UID")
	}
	if n := len(numbers); n > 0 {
		// Numbers may be in the order of the mailbox alone, which is theirs.
		if r.min {
			w.Raw(" MIN ").Number(int64(numbers[0]))
		}
		if r.max {
			w.Raw(" MAX ").Number(int64(numbers[n-1]))
		}
		if r.all || !r.given {
			w.Raw(" ALL ").Raw(wire.NewSet(numbers).String())
		}
	}
	if r.count {
		w.Raw(" COUNT ").Number(int64(len(numbers)))
	}
	w.CRLF()
}

// find gives the messages of the view that a criterion holds for, in order.
func (s *Session) find(ctx context.Context, c *criterion) ([]hit, error) {
	e := &searcher{ctx: ctx, s: s}
	rows, rest := split(c)
	keep, err := e.rowTest(rows)
	if err != nil || len(s.sel.uids) == 0 {
		return nil, err
	}
	every, err := s.each(wire.Set{Ranges: []wire.Range{{First: 1, Last: 0}}}, false)
	if err != nil {
		return nil, err
	}
	var found []hit
	if len(rest) > 0 && len(rows) == 0 {
		e.messages = make([]message, 0, len(s.sel.uids))
	}
	var m message // one for all: the test keeps it on the heap
	for m = range every {
		if m.seq%256 == 1 && ctx.Err() != nil { // thousands of keys may be looked at for each
			return nil, ctx.Err()
		}
		switch {
		case !keep(&m):
		case len(rest) == 0:
			found = append(found, hit{m.seq, m.uid})
		default:
			e.messages = append(e.messages, m)
		}
	}
	in := make([]int32, len(e.messages))
	for i := range in {
		in[i] = int32(i)
	}
	if in, err = e.all(rest, in); err != nil {
		return nil, err
	}
	for _, k := range in {
		found = append(found, hit{e.messages[k].seq, e.messages[k].uid})
	}
	return found, nil
}

// split divides the keys that must all hold into those that a row answers and
// the others, cheap ones first.
func split(c *criterion) (rows, rest []*criterion) {
	kids := []*criterion{c}
	for i := 0; i < len(kids); i++ {
		switch k := kids[i]; {
		case k.op == searchAnd:
			kids = append(kids, k.kids...)
		case k.cost() == 0:
			rows = append(rows, k)
		default:
			rest = append(rest, k)
		}
	}
	slices.SortStableFunc(rest, func(a, b *criterion) int { return a.cost() - b.cost() })
	return rows, rest
}

// cost says where the answer comes from: 0 a row, 1 and 2 a header, 3 the whole
// text.
func (c *criterion) cost() int {
	switch c.op {
	case searchAnd, searchOr, searchNot:
		most := 0
		for _, k := range c.kids {
			most = max(most, k.cost())
		}
		return most
	case searchHeader:
		// The index finds strings; that a field is there, only the headers tell.
		if strings.TrimSpace(c.text) == "" {
			return 2
		}
		return 1
	case searchSent:
		return 2
	case searchBody, searchText:
		return 3
	}
	return 0
}
