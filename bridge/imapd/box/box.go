// Package box keeps the messages of the mailboxes that mail programs look at
// in memory: one Box per mailbox, shared by all sessions that have it selected.
//
// What is kept true. A Box is always what the store's UID table was at one
// moment: it is read once, and brought forward by the account's journal, where
// one transaction of the store gives everything up to its end. So a message's
// row, the UIDs in order and UIDNEXT belong together, new UIDs are greater than
// all that were there, and none comes twice. After each step the number of rows
// is compared with the store's count. What changes has a version, a number that
// grows; who remembers the version that it has seen is told what differs since
// (Since), at the cost of the changes, not of the mailbox.
//
// How it fails. Where the journal has a gap (it was trimmed, or so much
// happened that reading it is no better), or the counts differ, the table is
// read anew and compared; it is what counts. A mailbox that is gone, or has no UIDs yet, is an
// error of CatchUp; rows that are there stay as they were.
//
// Where to start: Set.Open, Box.Snapshot and Box.Since, then follow.go.
package box

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/event"
)

// Box is the index of one mailbox. All methods may be called at once.
type Box struct {
	set     *Set
	mailbox string

	// Of the Set, under its lock.
	users    int
	unfollow func()
	drop     *time.Timer

	// step is held by whoever brings the Box forward.
	step sync.Mutex
	// stale: something was committed since that may concern the Box. While the
	// journal is followed it is set before a commit returns to its caller.
	stale atomic.Bool

	mu       sync.RWMutex
	loaded   bool
	account  string
	sequence uint64 // of the account, up to which the rows are
	rows     []row
	sets     sets
	off      int64 // what the store counts more than there is; 0 unless it is damaged
	swept    int   // how many sets there may be before the next sweep
	validity uint32
	next     uint32
	modSeq   uint64
	deleted  int   // rows with \Deleted
	unsized  int   // rows whose size is not known
	size     int64 // of all others
	// reading: the rows are being read, and sizes that come meanwhile are late.
	reading bool
	late    []lateSize
	log     changes
	shared  atomic.Pointer[sharedUIDs] // of the last Snapshot
	// watchers are woken after a change.
	watchers map[chan struct{}]struct{}
}

// row is a Row as it is kept: 64 bytes, of which the message's id lies with
// those of its neighbours.
type row struct {
	message string
	set     *set
	modSeq  uint64
	size    int64
	date    int64
	uid     uint32
	deleted bool
}

func (r *row) public() Row {
	return Row{UID: r.uid, Message: r.message, Keywords: r.set.keywords, Deleted: r.deleted,
		ModSeq: r.modSeq, Size: r.size, Date: r.date, set: r.set}
}

func newBox(s *Set, mailbox string) *Box {
	return &Box{set: s, mailbox: mailbox, sets: sets{}, watchers: map[chan struct{}]struct{}{}}
}

// Release gives the Box back.
func (b *Box) Release() { b.set.release(b) }

// Mailbox is our id of the mailbox.
func (b *Box) Mailbox() string { return b.mailbox }

// Watch gives a channel that has a value after every change since it was last
// received from, until stop.
func (b *Box) Watch() (woken <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers[c] = struct{}{}
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, c)
	}
}

// wake tells the watchers; the caller holds the lock.
func (b *Box) wake() {
	for c := range b.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// known reports whether the mailbox was read.
func (b *Box) known() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.loaded
}

// wants is asked by the bus about each event, after its commit and before the
// commit returns.
func (b *Box) wants(e event.Event) bool {
	b.mu.RLock()
	mine := !b.loaded || e.Account == b.account
	b.mu.RUnlock()
	if mine {
		b.stale.Store(true)
	}
	return mine
}

// Snapshot is a mailbox at one moment.
type Snapshot struct {
	UIDs        []uint32
	Version     uint64
	UIDValidity uint32
	UIDNext     uint32
	ModSeq      uint64
	// FirstUnseen is the place of the first message without $seen, from 1; 0
	// where there is none.
	FirstUnseen int
}

// Snapshot gives the mailbox as it is now. Its UIDs are shared by all who ask
// between two changes, since a large mailbox has many of them: nobody writes to
// them, and what is appended goes elsewhere.
func (b *Box) Snapshot() Snapshot {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := Snapshot{Version: b.log.newest, UIDValidity: b.validity, UIDNext: b.next, ModSeq: b.modSeq}
	for i := range b.rows {
		if !b.rows[i].set.seen {
			s.FirstUnseen = i + 1
			break
		}
	}
	if last := b.shared.Load(); last != nil && last.version == b.log.newest {
		s.UIDs = last.uids
		return s
	}
	s.UIDs = make([]uint32, len(b.rows))
	for i := range b.rows {
		s.UIDs[i] = b.rows[i].uid
	}
	b.shared.Store(&sharedUIDs{b.log.newest, s.UIDs})
	return s
}

// sharedUIDs are those of the mailbox at a version.
type sharedUIDs struct {
	version uint64
	uids    []uint32
}

// Version is that of the last change.
func (b *Box) Version() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.log.newest
}

// Stats are the counts of a mailbox.
type Stats struct {
	Messages, Unseen, Deleted int
	UIDNext, UIDValidity      uint32
	ModSeq                    uint64
	// Size is of all messages whose size is known, Unsized how many are not.
	Size    int64
	Unsized int
}

// Stats counts.
func (b *Box) Stats() Stats {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := Stats{Messages: len(b.rows), Deleted: b.deleted, UIDNext: b.next, UIDValidity: b.validity,
		ModSeq: b.modSeq, Size: b.size, Unsized: b.unsized}
	for _, set := range b.sets {
		if !set.seen {
			s.Unseen += set.rows
		}
	}
	return s
}

// Keywords are all that a message of the mailbox has, sorted.
func (b *Box) Keywords() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := map[string]struct{}{}
	for _, s := range b.sets {
		if s.rows == 0 {
			continue
		}
		for _, k := range s.keywords {
			all[k] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Row gives the row of a UID.
func (b *Box) Row(uid uint32) (Row, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	i, ok := b.find(uid)
	if !ok {
		return Row{}, false
	}
	return b.rows[i].public(), true
}

// Rows appends the rows of UIDs, which must ascend, as they are now. The
// places of those that are not there stay empty (UID 0).
func (b *Box) Rows(uids []uint32, to []Row) []Row {
	b.mu.RLock()
	defer b.mu.RUnlock()
	at := 0
	for _, uid := range uids {
		// Neighbours are asked for, mostly.
		if at < len(b.rows) && b.rows[at].uid < uid {
			at++
		}
		if at >= len(b.rows) || b.rows[at].uid != uid {
			at, _ = b.find(uid)
		}
		if at < len(b.rows) && b.rows[at].uid == uid {
			to = append(to, b.rows[at].public())
		} else {
			to = append(to, Row{})
		}
	}
	return to
}

// find gives a UID's place; the caller holds the lock.
func (b *Box) find(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(b.rows, uid, func(r row, uid uint32) int {
		switch {
		case r.uid < uid:
			return -1
		case r.uid > uid:
			return 1
		}
		return 0
	})
}

// has reports whether a UID is a message's. Rows come and go under step alone, but
// sizes are noted at any time.
func (b *Box) has(uid uint32, message string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, ok := b.find(uid)
	return ok && b.rows[i].message == message
}

// SetSize notes a message's size, once its bytes are here. One that is known stays:
// under this UID it was told.
func (b *Box) SetSize(uid uint32, message string, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		b.late = append(b.late, lateSize{uid, message, size})
	}
	b.setSize(uid, message, size)
}

// setSize is SetSize for who holds the lock.
func (b *Box) setSize(uid uint32, message string, size int64) {
	if i, ok := b.find(uid); ok && b.rows[i].message == message && b.rows[i].size == 0 {
		b.resize(&b.rows[i], size)
	}
}

// lateSize is a size that became known while the rows were read: the page with its
// message may have been read before.
type lateSize struct {
	uid     uint32
	message string
	size    int64
}

// resize changes a row's size and the sums; the caller holds the lock.
func (b *Box) resize(r *row, size int64) {
	b.tally(r, -1)
	r.size = size
	b.tally(r, 1)
}

// tally adds a row to the sums, or takes it away; the caller holds the lock.
func (b *Box) tally(r *row, by int) {
	r.set.rows += by
	if r.deleted {
		b.deleted += by
	}
	if r.size == 0 {
		b.unsized += by
	}
	b.size += int64(by) * r.size
}
