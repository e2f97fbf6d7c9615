package graph

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// newMessageID is a Message-ID as the service makes them.
func newMessageID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return fmt.Sprintf("<PAXPR09MB5149%X@PAXPR09MB5149.eurprd09.prod.outlook.com>", b)
}

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

func (c *call) getMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("message", messageProperties); err != nil {
		return answer{}, err
	}
	if err := c.checkExpand(); err != nil {
		return answer{}, err
	}
	return ok(c.one("messages", c.messageEntity(m))), nil
}

func (c *call) messageMIME() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, raw: m.st.c.mime(), ctype: textPlain}, nil
}

// newDraft is a message that nobody has written anything into yet.
func (c *call) newDraft() *edit {
	now := c.now.Truncate(1e9)
	con := &content{made: true, loaded: true, messageID: newMessageID(), index: newConversationIndex(now), importance: "normal", sent: now}
	return &edit{creating: true, content: true, st: &state{
		read: true, draft: true, flag: flag{status: "notFlagged"}, importance: "normal", inference: "focused",
		c: con, change: c.mb.nextChange(), modified: c.now, received: now, sentAt: now,
	}}
}

// mimeDraft is a draft from MIME. It keeps its bytes, completed where the wire
// needs more.
func (c *call) mimeDraft(raw []byte) *edit {
	con := parseContent(raw)
	if con.messageID == "" || !c.s.set.KeepMessageID {
		con = parseContent(withMessageID(raw, newMessageID()))
	}
	e := c.newDraft()
	e.content = false
	e.st.c, e.st.importance = con, con.importance
	e.st.readReceipt, e.st.deliveryReceipt = con.readReceipt, con.dlvReceipt
	e.st.size = int64(len(con.raw))
	if !con.sent.IsZero() {
		e.st.sentAt = con.sent.UTC().Truncate(1e9)
	}
	return e
}

func withMessageID(raw []byte, id string) []byte {
	rest := dropFields(raw, func(name string) bool { return strings.EqualFold(name, "Message-ID") })
	return append([]byte("Message-ID: "+id+"\r\n"), rest...)
}

// save puts a new message into a folder.
func (c *call) save(e *edit, f *folder) *message {
	m := &message{num: c.mb.nextNumber(), created: c.now, st: e.st, replyVerb: e.verb}
	m.conv = c.mb.converse(e.st.c, m.num)
	c.mb.insert(m, f, false, c.now)
	c.mb.tell(cloud.Created, f, m, m.mid, c.now, false)
	return m
}

func (c *call) createMessage() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	if f == nil {
		f = c.mb.wellKnown["drafts"]
	}
	isMIME, err := c.isMIME()
	if err != nil {
		return answer{}, err
	}
	var e *edit
	if isMIME {
		raw, err := c.readMIME()
		if err != nil {
			return answer{}, err
		}
		e = c.mimeDraft(raw)
	} else {
		o, err := readObject(c.body, "message", false)
		if err != nil {
			return answer{}, err
		}
		e = c.newDraft()
		if err := e.apply(c, o); err != nil {
			return answer{}, err
		}
	}
	if err := c.mb.room(e.st.size); err != nil {
		return answer{}, err
	}
	return c.createdMessage(c.save(e, f)), nil
}

// createdMessage is the answer to whatever made or moved a message.
func (c *call) createdMessage(m *message) answer {
	a := created(c.one("messages", c.messageEntity(m)))
	a.header = http.Header{"Location": {c.base + "/v1.0/users" + quoteKey(c.mb.user.Address) + "/messages" + quoteKey(c.itemID(m))}}
	return a
}

// ifMatch compares an If-Match header with a message's etag.
func (c *call) ifMatch(m *message) error {
	want := c.r.Header.Get("If-Match")
	if want == "" || want == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(want, ",") {
		if strings.TrimSpace(tag) == c.mb.ids.etag(m.st.change) {
			return nil
		}
	}
	return errConflict()
}

func (c *call) updateMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.ifMatch(m); err != nil {
		return answer{}, err
	}
	o, err := readObject(c.body, "message", false)
	if err != nil {
		return answer{}, err
	}
	e := newEdit(m.st)
	if err := e.apply(c, o); err != nil {
		return answer{}, err
	}
	c.mb.commit(m, e, c.now)
	return ok(c.one("messages", c.messageEntity(m))), nil
}

// commit makes an edit the message's state, if it says anything new.
func (mb *mailbox) commit(m *message, e *edit, now time.Time) {
	kind := entryUpdated
	if e.readOnly {
		if e.st.read == m.st.read {
			return
		}
		kind = entryRead
	}
	mb.replace(m, e.st, kind, now)
	mb.tell(cloud.Updated, m.folder, m, m.mid, now, false)
}

func (c *call) deleteMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.ifMatch(m); err != nil {
		return answer{}, err
	}
	trash, dumpster := c.mb.wellKnown["deleteditems"], c.mb.wellKnown["recoverableitemsdeletions"]
	switch {
	case m.folder.within(dumpster):
		c.mb.purge(m, c.now)
	case m.folder.within(trash):
		c.mb.moveMessage(m, dumpster, c.now)
	default:
		c.mb.moveMessage(m, trash, c.now)
	}
	return noContent(), nil
}

func (c *call) permanentlyDeleteMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	c.mb.purge(m, c.now)
	return noContent(), nil
}

// destination reads the folder that move and copy name.
func (c *call) destination() (*folder, error) {
	o, err := c.action("destinationid")
	if err != nil {
		return nil, err
	}
	id, err := readString(o.values["destinationid"])
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, errInvalidRequest("The parameter 'DestinationId' is required.")
	}
	return c.mb.lookupFolder(id)
}

func (c *call) moveMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	to, err := c.destination()
	if err != nil {
		return answer{}, err
	}
	c.mb.moveMessage(m, to, c.now)
	return c.createdMessage(m), nil
}

func (c *call) copyMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	to, err := c.destination()
	if err != nil {
		return answer{}, err
	}
	if err := c.mb.room(m.st.size); err != nil {
		return answer{}, err
	}
	return c.createdMessage(c.mb.copyMessage(m, to, c.now)), nil
}
