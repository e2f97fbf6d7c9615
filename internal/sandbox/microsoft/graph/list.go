package graph

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// collection is the messages that a path names, and its part of the context.
func (c *call) collection() (index, string, error) {
	f, err := c.targetFolder()
	if err != nil {
		return nil, "", err
	}
	if f == nil {
		return c.mb.all, "messages", nil
	}
	return f.items, "mailFolders" + quoteKey(c.path.folder) + "/messages", nil
}

func (c *call) listMessages() (answer, error) {
	items, name, err := c.collection()
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("message", messageProperties); err != nil {
		return answer{}, err
	}
	if err := c.checkExpand(); err != nil {
		return answer{}, err
	}
	if c.query.hasSearch {
		return c.searchMessages(items, name)
	}
	if err := c.checkEffort(); err != nil {
		return answer{}, err
	}
	top, err := c.query.page(c.s.set.PageSize, c.s.set.MaxPageSize)
	if err != nil {
		return answer{}, err
	}
	if c.prefer.maxPage > 0 && c.query.top < 0 {
		top = min(c.prefer.maxPage, c.s.set.MaxPageSize)
	}
	page, more, total, err := c.selectMessages(items, c.query.skip, top)
	if err != nil {
		return answer{}, err
	}
	next := ""
	if more && top > 0 {
		next = c.nextLink("$skip", strconv.Itoa(c.query.skip+top))
	}
	es := make([]entity, len(page))
	for i, m := range page {
		es[i] = c.messageEntity(m)
	}
	return ok(c.many(name, es, total, next)), nil
}

// selectMessages is one page. The order without $orderby is newest first, which
// is the index backwards: such a page costs its own size, and with $filter what
// lies before its end. Total is -1 unless $count was asked for.
func (c *call) selectMessages(items index, skip, top int) (page []*message, more bool, total int, err error) {
	q := c.query
	byIndex := len(q.orderby) == 0 || len(q.orderby) == 1 && q.orderby[0].path == "receiveddatetime"
	oldest := byIndex && len(q.orderby) == 1 && !q.orderby[0].desc
	at := func(i int) *message {
		if oldest {
			return items[i]
		}
		return items[len(items)-1-i]
	}
	total = -1
	if q.filter == nil && byIndex {
		end := min(len(items), skip+top)
		for i := skip; i < end; i++ {
			page = append(page, at(i))
		}
		return page, end < len(items), len(items), nil
	}
	matched := make([]*message, 0, min(len(items), skip+top+1))
	for i := range items {
		m := at(i)
		if q.filter != nil {
			yes, err := truth(q.filter, c.filterValues(m))
			if err != nil {
				return nil, false, 0, err
			}
			if !yes {
				continue
			}
		}
		matched = append(matched, m)
		if byIndex && !q.count && len(matched) > skip+top {
			break
		}
	}
	if q.count {
		total = len(matched)
	}
	if !byIndex {
		if err := c.sortMessages(matched); err != nil {
			return nil, false, 0, err
		}
	}
	if skip >= len(matched) {
		return nil, false, total, nil
	}
	end := min(len(matched), skip+top)
	return matched[skip:end], end < len(matched), total, nil
}

func (c *call) sortMessages(ms []*message) error {
	type keyed struct {
		m    *message
		keys []any
	}
	ks := make([]keyed, len(ms))
	for i, m := range ms {
		values := c.filterValues(m)
		ks[i] = keyed{m, make([]any, len(c.query.orderby))}
		for j, o := range c.query.orderby {
			v, ok := values(o.path)
			if _, collection := v.([]lookup); !ok || collection {
				return errBadRequest("Could not find a property named '%s' on type 'microsoft.graph.message'.", o.path)
			}
			ks[i].keys[j] = v
		}
	}
	slices.SortStableFunc(ks, func(a, b keyed) int {
		for j, o := range c.query.orderby {
			if n := order(a.keys[j], b.keys[j]); n != 0 {
				if o.desc {
					return -n
				}
				return n
			}
		}
		return 0
	})
	for i, k := range ks {
		ms[i] = k.m
	}
	return nil
}

// order compares values for sorting: null first, false before true.
func order(a, b any) int {
	if a == nil || b == nil {
		return cmp.Compare(boolInt(a != nil), boolInt(b != nil))
	}
	if x, ok := a.(bool); ok {
		y, _ := b.(bool)
		return cmp.Compare(boolInt(x), boolInt(y))
	}
	n, _ := compareValues(a, b)
	return n
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkEffort is the rule for $filter with $orderby: what is sorted by must be
// filtered by, in the same order, before anything else.
func (c *call) checkEffort() error {
	q := c.query
	if q.filter == nil {
		return nil
	}
	if q.clauses > c.s.set.MaxFilterClauses {
		return errInefficient()
	}
	var paths []string
	for _, p := range q.filterPaths {
		if !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	for i, o := range q.orderby {
		if i >= len(paths) || paths[i] != o.path {
			return errInefficient()
		}
	}
	return nil
}

// checkExpand refuses what cannot be expanded on a message.
func (c *call) checkExpand() error {
	for name, x := range c.query.expand {
		switch name {
		case "attachments":
		case "singlevalueextendedproperties":
			if x.filter == nil {
				return errInvalidRequest("The extended properties to expand must be named by a $filter on id.")
			}
		default:
			return errBadRequest("Parsing OData Select and Expand failed: Could not find a navigation property named '%s' on type 'microsoft.graph.message'.", name)
		}
	}
	return nil
}

func (c *call) searchMessages(items index, name string) (answer, error) {
	q := c.query
	switch {
	case len(q.orderby) > 0:
		return answer{}, errSearchWith("SearchWithOrderBy", "$orderBy")
	case q.filter != nil:
		return answer{}, errSearchWith("SearchWithFilter", "$filter")
	case q.has("$skip"):
		return answer{}, errSearchWith("SearchWithSkip", "$skip")
	case q.count:
		return answer{}, errSearchWith("SearchWithCount", "$count")
	}
	node, err := parseSearch(q.search)
	if err != nil {
		return answer{}, err
	}
	top, err := q.page(c.s.set.SearchPageSize, c.s.set.MaxPageSize)
	if err != nil {
		return answer{}, err
	}
	skip := 0
	if q.skipToken != "" {
		if skip, err = strconv.Atoi(strings.TrimPrefix(q.skipToken, "s")); err != nil || skip < 0 {
			return answer{}, errBadRequest("The skip token is malformed.")
		}
	}
	var hits []*message
	for _, m := range items {
		if c.now.Sub(m.created) < c.s.set.SearchLag {
			continue
		}
		if node.match(&searchable{m: m}) {
			hits = append(hits, m)
		}
	}
	slices.SortStableFunc(hits, func(a, b *message) int { return b.st.sentAt.Compare(a.st.sentAt) })
	hits = hits[:min(len(hits), c.s.set.SearchLimit)]
	start, end := min(skip, len(hits)), min(skip+top, len(hits))
	es := make([]entity, 0, end-start)
	for _, m := range hits[start:end] {
		es = append(es, c.messageEntity(m))
	}
	next := ""
	if end < len(hits) && top > 0 {
		next = c.nextLink("$skiptoken", "s"+strconv.Itoa(end))
	}
	return ok(c.many(name, es, -1, next)), nil
}

func (c *call) countMessages() (answer, error) {
	items, _, err := c.collection()
	if err != nil {
		return answer{}, err
	}
	c.query.count = true
	_, _, total, err := c.selectMessages(items, 0, 0)
	if err != nil {
		return answer{}, err
	}
	return countText(total), nil
}
