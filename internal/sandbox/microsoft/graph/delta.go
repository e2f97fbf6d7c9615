package graph

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Message delta, one feed per folder. A round is the part of the folder's log
// between two places; of each message only its last entry there counts. The
// tokens carry the places, so that a round shows the same items however often
// a page is asked for, and what happens meanwhile belongs to the next one.

// deltaOptions are the options that may stand on the first request.
var deltaOptions = map[string]bool{"$select": true, "$top": true, "$expand": true, "$filter": true, "$orderby": true, "changetype": true}

func (c *call) messageDelta() (answer, error) {
	if c.path.folder == "" {
		return answer{}, errBadRequest("Change tracking is not supported against 'microsoft.graph.message'.")
	}
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	t, first, err := c.deltaToken(f.num, false)
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("message", messageProperties); err != nil {
		return answer{}, err
	}
	if err := c.checkExpand(); err != nil {
		return answer{}, err
	}
	since, err := c.deltaFilter()
	if err != nil {
		return answer{}, err
	}
	if first || t.Pos < 0 { // a round begins
		t.To = max(t.From, f.horizon(c.now, time.Duration(c.s.lag.Load())))
		t.Pos = 0
	}
	if int(t.To) > len(f.log) || t.From > t.To { // a log from before a restart
		return answer{}, errSyncState(t.Generation)
	}
	key := fmt.Sprint(f.num, t.From, t.To, t.Options)
	round, known := c.mb.rounds[key]
	if !known {
		round = c.deltaRound(f, t, since)
	}
	size := c.deltaPageSize()
	start := min(t.Pos, len(round))
	end := min(start+size, len(round))
	last := end == len(round)
	if last && start > 0 && !t.Empty && c.s.set.DeltaEmptyPages { // an empty page, legal anywhere, before the last
		t.Empty, end, last = true, start, false
	}
	es := c.deltaItems(f, t, round, start, end)
	link, option := "@odata.nextLink", "$skiptoken"
	if last {
		delete(c.mb.rounds, key)
		link, option = "@odata.deltaLink", "$deltatoken"
		t = syncToken{From: t.To, To: t.To, Pos: -1, Options: t.Options}
	} else {
		if len(c.mb.rounds) > 64 {
			clear(c.mb.rounds) // rounds that nobody finished; they can be worked out again
		}
		c.mb.rounds[key] = round
		t.Pos = end
	}
	t.User, t.Generation, t.Issued, t.Folder = c.mb.user.ID, c.mb.generation, c.now.Unix(), f.num
	token, err := c.s.sealToken(t)
	if err != nil {
		return answer{}, err
	}
	return ok(entity{
		{"@odata.context", c.base + "/v1.0/$metadata#Collection(message)"},
		{"value", es},
		{link, c.base + "/v1.0/" + c.owner + "/mailFolders" + quoteKey(c.mb.ids.folder(f.num)) + "/messages/delta?" + option + "=" + token},
	}), nil
}

// deltaToken is the token of the request, or one for a first round with the
// request's options baked in; the options of a token replace the request's.
func (c *call) deltaToken(folder uint64, folders bool) (t syncToken, first bool, err error) {
	q := c.query
	text := q.skipToken
	if text == "" {
		text = q.deltaToken
	}
	if text == "" {
		for _, o := range q.raw {
			if !deltaOptions[o.name] {
				return t, false, errBadRequest("The query parameter '%s' is not supported with delta.", o.name)
			}
			t.Options = append(t.Options, tokenOption{o.name, o.value})
		}
		return t, true, nil
	}
	if t, err = c.openToken(text, folder, folders); err != nil {
		return t, false, err
	}
	raw := make([]rawOption, len(t.Options))
	for i, o := range t.Options {
		raw[i] = rawOption{o.Name, o.Value}
	}
	c.query, err = newQuery(raw)
	return t, false, err
}

// deltaFilter allows what the service allows: receivedDateTime ge or gt a time,
// newest first. It gives the time, zero without a filter.
func (c *call) deltaFilter() (since time.Time, err error) {
	q := c.query
	for _, o := range q.orderby {
		if o.path != "receiveddatetime" || !o.desc || len(q.orderby) > 1 {
			return since, errBadRequest("Only 'receivedDateTime desc' is supported by $orderby with delta.")
		}
	}
	if q.filter == nil {
		return since, nil
	}
	bad := errBadRequest("Only 'receivedDateTime ge' and 'receivedDateTime gt' are supported by $filter with delta.")
	cmp, ok := q.filter.(comparison)
	if !ok || cmp.op != "ge" && cmp.op != "gt" {
		return since, bad
	}
	p, ok1 := cmp.a.(property)
	l, ok2 := cmp.b.(literal)
	at, ok3 := l.value.(time.Time)
	if !ok1 || !ok2 || !ok3 || p.path != "receiveddatetime" {
		return since, bad
	}
	if cmp.op == "gt" {
		at = at.Add(time.Nanosecond)
	}
	return at, nil
}

func (c *call) deltaPageSize() int {
	size := c.s.set.DeltaPageSize
	if c.query.top > 0 {
		size = c.query.top
	}
	if c.prefer.maxPage > 0 {
		size = c.prefer.maxPage
	}
	return max(1, min(size, c.s.set.DeltaMaxPageSize))
}

// deltaRound is the round's entries, in the order in which they are told.
func (c *call) deltaRound(f *folder, t syncToken, since time.Time) []int32 {
	q := c.query
	firstRound := t.From == 0
	readWanted := q.sel == nil || q.names("isRead")
	var round []int32
	for i := t.From; i < t.To; i++ {
		e := &f.log[i]
		if e.next >= 0 && e.next < t.To { // not its last word
			continue
		}
		kind := f.roundKind(i, t.From)
		switch {
		case kind == entryRemoved && firstRound:
			continue
		case kind == entryRead && !readWanted:
			continue
		case kind != entryRemoved && !since.IsZero() && e.st.received.Before(since):
			continue
		case !firstRound && q.changeType != "" && q.changeType != changeTypes[kind]:
			continue
		}
		round = append(round, i)
		if e.moved && !firstRound && c.s.set.DeltaMovesTwice {
			round = append(round, i)
		}
	}
	if len(q.orderby) > 0 {
		slices.SortStableFunc(round, func(a, b int32) int { return f.log[b].st.received.Compare(f.log[a].st.received) })
	}
	if !since.IsZero() && len(round) > c.s.set.DeltaFilterLimit {
		round = round[:c.s.set.DeltaFilterLimit]
	}
	return round
}

var changeTypes = map[entryKind]string{entryCreated: "created", entryUpdated: "updated", entryRead: "updated", entryRemoved: "deleted"}

// roundKind is what a message's entries since from come to: the last one says
// whether it is there, the others whether it is new or only read.
func (f *folder) roundKind(i, from int32) entryKind {
	last := f.log[i].kind
	if last == entryRemoved {
		return entryRemoved
	}
	kind := last
	for p := i; p >= from && p >= 0; p = f.log[p].prev {
		switch f.log[p].kind {
		case entryCreated:
			return entryCreated
		case entryUpdated:
			kind = entryUpdated
		}
	}
	return kind
}

// deltaItems renders a page. The page's head may repeat the item before it:
// replays are legal and clients must take them.
func (c *call) deltaItems(f *folder, t syncToken, round []int32, start, end int) []entity {
	es := make([]entity, 0, end-start+1)
	if c.s.set.DeltaReplays && start > 0 && end > start {
		es = append(es, c.deltaItem(f, t, round[start-1]))
	}
	for _, i := range round[start:end] {
		es = append(es, c.deltaItem(f, t, i))
	}
	return es
}

func (c *call) deltaItem(f *folder, t syncToken, i int32) entity {
	e := &f.log[i]
	item := entity{{"@odata.type", "#microsoft.graph.message"}}
	id := c.itemIDOf(e.m.num, f.num, e.mid)
	kind := f.roundKind(i, t.From)
	switch {
	case kind == entryRemoved:
		return append(item, field{"id", id}, field{"@removed", entity{{"reason", c.s.set.RemovedReason}}})
	case kind == entryRead && c.s.set.DeltaPartialReads:
		return append(item, field{"@odata.etag", c.mb.ids.etag(e.st.change)}, field{"id", id}, field{"isRead", e.st.read})
	}
	for _, p := range c.stateEntity(e.m, e.st, f, e.mid) {
		if p.key == "@odata.type" {
			item[0] = p
			continue
		}
		item = append(item, p)
	}
	return item
}

// folderDelta tells changes of the hierarchy and of counts; what happens to
// messages is not in it. A folder's place is its last change, so a page is what
// comes next in that order.
func (c *call) folderDelta() (answer, error) {
	parent, _, err := c.folderCollection()
	if err != nil {
		return answer{}, err
	}
	t, first, err := c.deltaToken(parent.num, true)
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("mailFolder", folderProperties); err != nil {
		return answer{}, err
	}
	type change struct {
		seq  uint64
		item entity
	}
	limit := c.now.Add(-time.Duration(c.s.lag.Load()))
	var changes []change
	for _, f := range c.mb.folders {
		if f == parent || f.hidden || !f.within(parent) || f.seq <= t.FolderSeq || f.seqAt.After(limit) {
			continue
		}
		item := append(entity{{"@odata.type", "#microsoft.graph.mailFolder"}}, c.folderEntity(f)...)
		changes = append(changes, change{f.seq, item})
	}
	if !first {
		for _, g := range c.mb.goneFolders {
			if g.seq > t.FolderSeq && !g.seqAt.After(limit) {
				changes = append(changes, change{g.seq, entity{
					{"@odata.type", "#microsoft.graph.mailFolder"}, {"id", c.mb.ids.folder(g.num)}, {"@removed", entity{{"reason", "deleted"}}},
				}})
			}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return compareInts(int64(a.seq), int64(b.seq)) })
	size := c.s.set.DeltaMaxPageSize // a hierarchy comes in one page unless asked otherwise
	if c.prefer.maxPage > 0 || c.query.top > 0 {
		size = c.deltaPageSize()
	}
	end := min(size, len(changes))
	es := make([]entity, end)
	for i, ch := range changes[:end] {
		es[i] = ch.item
		t.FolderSeq = ch.seq
	}
	link, option := "@odata.deltaLink", "$deltatoken"
	if end < len(changes) {
		link, option = "@odata.nextLink", "$skiptoken"
	}
	t.User, t.Generation, t.Issued, t.Folder, t.Folders = c.mb.user.ID, c.mb.generation, c.now.Unix(), parent.num, true
	token, err := c.s.sealToken(t)
	if err != nil {
		return answer{}, err
	}
	spelled := c.spelled
	if i := strings.LastIndexByte(spelled, '/'); i >= 0 {
		spelled = spelled[:i] + "/delta"
	}
	return ok(entity{
		{"@odata.context", c.base + "/v1.0/$metadata#Collection(mailFolder)"},
		{"value", es},
		{link, c.base + "/v1.0/" + spelled + "?" + option + "=" + token},
	}), nil
}
