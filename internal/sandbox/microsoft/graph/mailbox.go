package graph

import (
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A mailbox is one user's store. Everything in it, messages and folders
// included, belongs to whoever holds mu.
type mailbox struct {
	mu   sync.Mutex
	user cloud.User
	ids  idSpace
	set  *Settings

	root      *folder // msgfolderroot
	folders   map[uint64]*folder
	wellKnown map[string]*folder
	byNum     map[uint64]*message // by the number that stays
	byMID     map[uint64]*message // by the number that changes on move
	all       index               // what lies under msgfolderroot

	counter uint64 // of folders and items
	change  uint64 // of change keys

	byMessageID map[string][16]byte // conversation of a Message-ID
	byTopic     map[string][16]byte // conversation of a subject

	folderSeq   uint64 // of changes to the hierarchy and to counts
	goneFolders []goneFolder

	generation int // of sync tokens; ForgetCursors raises it
	rounds     map[string][]int32
	pending    []cloud.Change

	categories []category
	settings   mailboxSettings
	uploads    map[string]*upload
}

// A folder with its messages and the log of what happened to them.
type folder struct {
	num       uint64
	name      string
	wellKnown string
	parent    *folder
	hidden    bool
	created   time.Time
	items     index
	unread    int
	size      int64
	seq       uint64 // of its last change, in mailbox.folderSeq
	seqAt     time.Time

	log  []entry
	last map[uint64]int32 // a message's newest entry in log
}

type goneFolder struct {
	num   uint64
	seq   uint64
	seqAt time.Time
}

// A message has a number that stays, and state that is replaced, never changed.
type message struct {
	num       uint64
	mid       uint64
	folder    *folder
	created   time.Time
	conv      [16]byte
	gapUntil  time.Time // just sent: not found before
	replyTo   uint64    // the message that this draft answers or forwards
	replyVerb string    // what sending it does to that message's 0x1081
	st        *state
}

// A state is what one version of a message says; log entries hold on to it.
type state struct {
	read, draft      bool
	outgoing         bool // sent from this mailbox
	flag             flag
	categories       []string
	importance       string
	inference        string
	readReceipt      bool
	deliveryReceipt  bool
	props            map[string]string // extended properties by normalised id
	c                *content
	size             int64
	change           uint64
	modified         time.Time
	received, sentAt time.Time
}

type flag struct {
	status                string
	due, start, completed *dateTimeZone
}

type dateTimeZone struct {
	DateTime string `json:"dateTime"`
	TimeZone string `json:"timeZone"`
}

type entryKind uint8

const (
	entryCreated entryKind = iota
	entryUpdated
	entryRead // isRead alone
	entryRemoved
)

// An entry is one thing that happened to one message in one folder.
type entry struct {
	at         time.Time
	kind       entryKind
	moved      bool // created by a move
	m          *message
	mid        uint64
	st         *state
	prev, next int32 // the same message's neighbours in this log, -1 for none
}

// index is a list of messages, oldest first.
type index []*message

func (x index) find(m *message) (int, bool) {
	return slices.BinarySearchFunc(x, m, compareReceived)
}

func compareReceived(a, b *message) int {
	if c := a.st.received.Compare(b.st.received); c != 0 {
		return c
	}
	switch {
	case a.num < b.num:
		return -1
	case a.num > b.num:
		return 1
	}
	return 0
}

func (x *index) add(m *message) {
	i, found := x.find(m)
	if !found {
		*x = slices.Insert(*x, i, m)
	}
}

func (x *index) drop(m *message) {
	if i, found := x.find(m); found {
		*x = slices.Delete(*x, i, i+1)
	}
}

// Counters of the folders that every mailbox has, as recorded.
var wellKnownNumbers = map[string]uint64{
	"msgfolderroot": 0x108, "sentitems": 0x109, "deleteditems": 0x10a, "outbox": 0x10b, "inbox": 0x10c,
	"drafts": 0x10f, "junkemail": 0x116, "searchfolders": 0x105, "recoverableitemsdeletions": 0x11b,
	"conversationhistory": 0x14a, "archive": 0x157,
}

// wellKnownNames are all names that may stand for a folder's id.
var wellKnownNames = map[string]bool{
	"archive": true, "clutter": true, "conflicts": true, "conversationhistory": true, "deleteditems": true, "drafts": true,
	"inbox": true, "junkemail": true, "localfailures": true, "msgfolderroot": true, "outbox": true,
	"recoverableitemsdeletions": true, "scheduled": true, "searchfolders": true, "sentitems": true, "serverfailures": true, "syncissues": true,
}

func newMailbox(u cloud.User, set *Settings, now time.Time) *mailbox {
	mb := &mailbox{
		user: u, ids: newIDSpace(u.ID), set: set,
		folders: map[uint64]*folder{}, wellKnown: map[string]*folder{},
		byNum: map[uint64]*message{}, byMID: map[uint64]*message{},
		byMessageID: map[string][16]byte{}, byTopic: map[string][16]byte{},
		rounds: map[string][]int32{}, uploads: map[string]*upload{},
		counter: 0x1000, change: 0x10000, generation: 1,
		categories: defaultCategories(u.ID), settings: defaultMailboxSettings(),
	}
	standard := func(name string, parent *folder) *folder {
		f := &folder{num: wellKnownNumbers[name], name: set.folderName(name), wellKnown: name, parent: parent, created: now, last: map[uint64]int32{}}
		mb.folders[f.num], mb.wellKnown[name] = f, f
		mb.touchFolder(f, now)
		return f
	}
	mb.root = standard("msgfolderroot", nil)
	for _, name := range []string{"inbox", "drafts", "sentitems", "deleteditems", "outbox", "junkemail"} {
		standard(name, mb.root)
	}
	if set.Archive {
		standard("archive", mb.root)
	}
	// Mailboxes that met Teams have a folder that only includeHiddenFolders shows.
	mb.addFolder(standard("conversationhistory", mb.root), "Team Chat", true, now)
	standard("searchfolders", nil)
	standard("recoverableitemsdeletions", nil)
	return mb
}

func (mb *mailbox) nextNumber() uint64 { mb.counter++; return mb.counter }

func (mb *mailbox) nextChange() uint64 { mb.change++; return mb.change }

// visible says whether a folder lies under msgfolderroot.
func (mb *mailbox) visible(f *folder) bool {
	for ; f != nil; f = f.parent {
		if f == mb.root {
			return true
		}
	}
	return false
}

// insert puts a message into a folder, under a new regular id.
func (mb *mailbox) insert(m *message, f *folder, moved bool, now time.Time) {
	if _, known := mb.byNum[m.num]; !known {
		mb.byNum[m.num] = m
	}
	m.mid, m.folder = mb.nextNumber(), f
	mb.byMID[m.mid] = m
	f.items.add(m)
	if mb.visible(f) {
		mb.all.add(m)
	}
	f.count(m.st, 1)
	mb.logEntry(f, entry{at: now, kind: entryCreated, moved: moved, m: m, mid: m.mid, st: m.st})
	mb.touchFolder(f, now)
}

// room refuses what would not fit into the mailbox any more.
func (mb *mailbox) room(size int64) error {
	if mb.set.MailboxBytes <= 0 {
		return nil
	}
	for _, f := range mb.folders {
		size += f.size
	}
	if size > mb.set.MailboxBytes {
		return errQuota()
	}
	return nil
}

// take removes a message from its folder; it keeps the number that stays until
// forget.
func (mb *mailbox) take(m *message, now time.Time) {
	f := m.folder
	f.items.drop(m)
	mb.all.drop(m)
	f.count(m.st, -1)
	delete(mb.byMID, m.mid)
	mb.logEntry(f, entry{at: now, kind: entryRemoved, m: m, mid: m.mid, st: m.st})
	mb.touchFolder(f, now)
	m.folder = nil
}

func (mb *mailbox) forget(m *message) { delete(mb.byNum, m.num) }

// replace gives a message a new state. The dates by which the indexes are
// sorted may change with it.
func (mb *mailbox) replace(m *message, st *state, kind entryKind, now time.Time) {
	f := m.folder
	moved := !st.received.Equal(m.st.received)
	if moved {
		f.items.drop(m)
		mb.all.drop(m)
	}
	f.count(m.st, -1)
	counts := m.st.read != st.read || m.st.size != st.size
	st.change = mb.nextChange()
	if kind != entryRead { // reading does not bump lastModifiedDateTime
		st.modified = now
	}
	m.st = st
	f.count(st, 1)
	if moved {
		f.items.add(m)
		if mb.visible(f) {
			mb.all.add(m)
		}
	}
	mb.logEntry(f, entry{at: now, kind: kind, m: m, mid: m.mid, st: st})
	if counts {
		mb.touchFolder(f, now)
	}
}

func (f *folder) count(st *state, by int) {
	if !st.read {
		f.unread += by
	}
	f.size += st.size * int64(by)
}

func (mb *mailbox) logEntry(f *folder, e entry) {
	e.prev, e.next = -1, -1
	n := int32(len(f.log))
	if p, ok := f.last[e.m.num]; ok {
		e.prev = p
		f.log[p].next = n
	}
	f.last[e.m.num] = n
	f.log = append(f.log, e)
}

func (mb *mailbox) touchFolder(f *folder, now time.Time) {
	mb.folderSeq++
	f.seq, f.seqAt = mb.folderSeq, now
}

// horizon is the number of log entries that are at least lag old.
func (f *folder) horizon(now time.Time, lag time.Duration) int32 {
	if lag <= 0 {
		return int32(len(f.log))
	}
	limit := now.Add(-lag)
	return int32(sort.Search(len(f.log), func(i int) bool { return f.log[i].at.After(limit) }))
}

// tell notes a change for whoever listens; it is passed on once mu is free.
func (mb *mailbox) tell(kind string, f *folder, m *message, mid uint64, now time.Time, silent bool) {
	mb.pending = append(mb.pending, cloud.Change{
		User: mb.user, Type: kind, Folder: mb.ids.folder(f.num),
		MessageID: mb.ids.regular(f.num, mid), ImmutableID: mb.ids.immutable(m.num),
		ETag: mb.ids.etag(m.st.change), Time: now, Silent: silent,
	})
}

// lookup finds the message that an id of either form names.
func (mb *mailbox) lookup(id string, now time.Time) (*message, error) {
	r, ok := parseID(id)
	if !ok || r.kind == folderID || r.attach != "" {
		return nil, errMalformedID()
	}
	m := mb.byMID[r.item]
	if r.kind == immutableID {
		m = mb.byNum[r.item]
		if m == nil || mb.ids.immutable(m.num) != id {
			return nil, errItemNotFound()
		}
	} else if m == nil || r.guid != mb.ids.guid || r.folder != m.folder.num {
		return nil, errItemNotFound()
	}
	if now.Before(m.gapUntil) {
		return nil, errItemNotFound()
	}
	return m, nil
}

// lookupFolder finds a folder by well-known name or id.
func (mb *mailbox) lookupFolder(id string) (*folder, error) {
	if f := mb.wellKnown[strings.ToLower(id)]; f != nil {
		return f, nil
	}
	if wellKnownNames[strings.ToLower(id)] {
		return nil, errItemNotFound()
	}
	r, ok := parseID(id)
	if !ok || r.kind != folderID {
		return nil, errMalformedID()
	}
	f := mb.folders[r.folder]
	if f == nil || r.guid != mb.ids.guid {
		if mb.set.GoneFolderCode == "ErrorFolderNotFound" {
			return nil, errFolderNotFound()
		}
		return nil, errItemNotFound()
	}
	return f, nil
}

// converse finds or starts the conversation of a message: by the ids it refers
// to, else by a subject that says it is an answer.
func (mb *mailbox) converse(c *content, num uint64) [16]byte {
	var key [16]byte
	found := false
	for _, id := range append([]string{c.inReplyTo}, c.references...) {
		if k, ok := mb.byMessageID[id]; ok && id != "" {
			key, found = k, true
			break
		}
	}
	topic, answer := topicOf(c.subject)
	if !found && answer && topic != "" {
		key, found = mb.byTopic[topic]
	}
	if !found {
		if len(c.index) >= 22 {
			copy(key[:], c.index[6:22])
		} else {
			copy(key[:], mb.ids.replica[:8])
			binary.BigEndian.PutUint64(key[8:], num)
		}
	}
	if c.messageID != "" {
		mb.byMessageID[c.messageID] = key
	}
	if topic != "" {
		mb.byTopic[topic] = key
	}
	return key
}

// topicOf is a subject without its prefixes, and whether it had one.
func topicOf(subject string) (string, bool) {
	s, answer := strings.TrimSpace(subject), false
	for {
		i := strings.IndexByte(s, ':')
		if i < 0 {
			break
		}
		switch strings.ToLower(strings.TrimSpace(s[:i])) {
		case "re", "aw", "fw", "fwd", "wg", "sv", "tr":
			s, answer = strings.TrimSpace(s[i+1:]), true
			continue
		}
		break
	}
	return strings.ToLower(s), answer
}
