package session

import "slices"

// rowTest makes a test of the keys that a row answers, all of which must hold.
func (e *searcher) rowTest(keys []*criterion) (func(*message) bool, error) {
	tests := make([]func(*message) bool, 0, len(keys))
	for _, k := range keys {
		t, err := e.row(k)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	if len(tests) == 1 {
		return tests[0], nil
	}
	return func(m *message) bool {
		for _, t := range tests {
			if !t(m) {
				return false
			}
		}
		return true
	}, nil
}

// row makes a test of one key. It never touches the store.
func (e *searcher) row(c *criterion) (func(*message) bool, error) {
	switch c.op {
	case searchNone:
		return func(*message) bool { return false }, nil
	case searchAnd:
		return e.rowTest(c.kids)
	case searchOr:
		a, err := e.row(c.kids[0])
		if err != nil {
			return nil, err
		}
		b, err := e.row(c.kids[1])
		return func(m *message) bool { return a(m) || b(m) }, err
	case searchNot:
		t, err := e.row(c.kids[0])
		return func(m *message) bool { return !t(m) }, err
	case searchSet:
		return e.inSet(c)
	case searchKeyword:
		return hasKeyword(c.keyword), nil
	case searchDeleted:
		return func(m *message) bool { return m.row.Deleted }, nil
	case searchSince:
		// Dates are told in UTC, and compared as they are told.
		at := c.day.Unix()
		return func(m *message) bool { return m.row.Date >= at }, nil
	case searchBefore:
		at := c.day.Unix()
		return func(m *message) bool { return m.row.Date < at }, nil
	case searchLarger:
		return func(m *message) bool { return m.row.Size > c.size }, nil
	case searchSmaller:
		// 0 is a size that only the bytes could tell.
		return func(m *message) bool { return m.row.Size != 0 && m.row.Size < c.size }, nil
	}
	return func(*message) bool { return true }, nil
}

// inSet tests for a sequence set. It holds no more than the command named,
// however large the mailbox is: there may be thousands of sets in one.
func (e *searcher) inSet(c *criterion) (func(*message) bool, error) {
	places, err := e.s.places(c.set, c.uid)
	if err != nil {
		return nil, err
	}
	places = slices.Clip(places)
	// Ascending and apart: the last one that begins at or before a place.
	return func(m *message) bool {
		at := int(m.seq) - 1
		from, to := 0, len(places)
		for from < to {
			if mid := (from + to) / 2; places[mid].first <= at {
				from = mid + 1
			} else {
				to = mid
			}
		}
		return from > 0 && at < places[from-1].end
	}, nil
}

// hasKeyword tests for a keyword. Messages with the same keywords share one
// slice, of which a mailbox has few, so each of the first is looked through
// once.
func hasKeyword(keyword string) func(*message) bool {
	type slice struct {
		first *string
		n     int
		has   bool
	}
	var known [16]slice
	n := 0
	return func(m *message) bool {
		if len(m.row.Keywords) == 0 {
			return false
		}
		first := &m.row.Keywords[0]
		for i := range known[:n] {
			if k := &known[i]; k.first == first && k.n == len(m.row.Keywords) {
				return k.has
			}
		}
		has := m.row.Has(keyword)
		if n < len(known) {
			known[n] = slice{first, len(m.row.Keywords), has}
			n++
		}
		return has
	}
}
