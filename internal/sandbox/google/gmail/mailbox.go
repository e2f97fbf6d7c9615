package gmail

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A Message is one stored message. ID, ThreadID, InternalDate and Raw never
// change; LabelIDs and HistoryID are read with the mailbox locked. The slices
// are replaced and never written into, so that what was read stays as it was.
type Message struct {
	ID           string
	ThreadID     string
	LabelIDs     []string // sorted
	InternalDate time.Time
	HistoryID    uint64
	Raw          []byte

	parse  sync.Once
	parsed *content
}

// content takes the message apart, once.
func (m *Message) content() *content {
	m.parse.Do(func() {
		if m.parsed == nil {
			m.parsed = parseContent(m.Raw)
		}
	})
	return m.parsed
}

// has reports whether the message has a label.
func (m *Message) has(label string) bool { return slices.Contains(m.LabelIDs, label) }

// older orders messages by date and id.
func older(a, b *Message) int {
	return cmp.Or(a.InternalDate.Compare(b.InternalDate), cmp.Compare(a.ID, b.ID))
}

// A mailbox is one user's mail. Everything in it is guarded by mu, but for
// user and set, which do not change. Use Server.locked, which tells listeners
// what happened.
type mailbox struct {
	user cloud.User
	set  *Settings

	mu       sync.Mutex
	messages map[string]*Message
	order    []*Message // oldest first
	threads  map[string][]*Message
	known    map[string]string // a Message-ID that a message has or refers to: its thread
	labels   map[string]*label
	nextID   uint64 // the last message id given
	nextWord uint64 // the last number of a user label
	rand     *rand.Rand

	history uint64 // the id of the newest record
	floor   uint64 // start ids below it are forgotten
	log     []record
	pending []Change
	silent  bool // what happens now is told to no watch

	out outgoing
}

func newMailbox(u cloud.User, set *Settings) *mailbox {
	sum := sha256.Sum256([]byte("mailbox " + u.ID))
	mb := &mailbox{
		user: u, set: set, messages: map[string]*Message{}, threads: map[string][]*Message{}, known: map[string]string{},
		labels: map[string]*label{}, rand: rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:]))),
	}
	mb.history = 1_000 + mb.rand.Uint64N(100_000)
	mb.floor = mb.history
	for _, l := range systemLabels() {
		mb.labels[l.ID] = l
	}
	return mb
}

// newID gives the next message id: the time in milliseconds and a part that
// nobody can guess, and always more than the one before.
func (mb *mailbox) newID(now time.Time) string {
	n := uint64(now.UnixMilli())<<20 | mb.rand.Uint64N(1<<20)
	mb.nextID = max(n, mb.nextID+1+mb.rand.Uint64N(1<<10))
	return formatID(mb.nextID)
}

// formatID writes a number as the ids of messages and threads are written.
func formatID(n uint64) string { return fmt.Sprintf("%016x", n) }

// add stores a message with labels that exist, and a record "message added".
// A zero date is now. thread may name the thread that it is to be in; it gets
// there only when it also refers to a message of that thread and has its
// subject. The caller hands raw over and does not write into it again.
func (mb *mailbox) add(raw []byte, labels []string, date, now time.Time, thread string) *Message {
	if date.IsZero() {
		date = now
	}
	m := &Message{ID: mb.newID(now), LabelIDs: sortedSet(labels), InternalDate: date.UTC().Truncate(time.Millisecond), Raw: raw}
	mb.join(m, thread)
	mb.insert(m)
	mb.record(m, record{Added: true}, now)
	return m
}

// insert puts a message with all its fields into the indexes.
func (mb *mailbox) insert(m *Message) {
	mb.messages[m.ID] = m
	i, _ := slices.BinarySearchFunc(mb.order, m, older)
	mb.order = slices.Insert(mb.order, i, m)
	mb.threads[m.ThreadID] = append(mb.threads[m.ThreadID], m)
	for _, id := range m.content().identifiers() {
		if _, taken := mb.known[id]; !taken {
			mb.known[id] = m.ThreadID
		}
	}
}

// setLabels gives a message exactly these labels, with a record of what was
// added and removed. It reports whether anything changed.
func (mb *mailbox) setLabels(m *Message, labels []string, now time.Time) bool {
	labels = sortedSet(labels)
	rec := record{LabelsAdded: minus(labels, m.LabelIDs), LabelsRemoved: minus(m.LabelIDs, labels)}
	if len(rec.LabelsAdded) == 0 && len(rec.LabelsRemoved) == 0 {
		return false
	}
	m.LabelIDs = labels
	mb.record(m, rec, now)
	return true
}

// relabel adds labels to a message and takes others away.
func (mb *mailbox) relabel(m *Message, add, remove []string, now time.Time) bool {
	return mb.setLabels(m, append(minus(m.LabelIDs, remove), add...), now)
}

// remove deletes a message for good.
func (mb *mailbox) remove(m *Message, now time.Time) {
	delete(mb.messages, m.ID)
	if i, found := slices.BinarySearchFunc(mb.order, m, older); found {
		mb.order = slices.Delete(mb.order, i, i+1)
	}
	rest := slices.DeleteFunc(mb.threads[m.ThreadID], func(o *Message) bool { return o == m })
	if mb.threads[m.ThreadID] = rest; len(rest) == 0 {
		mb.forgetThread(m)
	}
	mb.record(m, record{Deleted: true}, now)
}

// get finds a message by its id: 400 for what is no id, 404 for what is gone.
func (mb *mailbox) get(id string) (*Message, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if m := mb.messages[id]; m != nil {
		return m, nil
	}
	return nil, errNotFound()
}

// checkID refuses what cannot be the id of a message or thread.
func checkID(id string) error {
	if len(id) == 0 || len(id) > 16 {
		return errInvalid("Invalid id value")
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errInvalid("Invalid id value")
		}
	}
	return nil
}

// list gives the messages that keep accepts, newest first.
func (mb *mailbox) list(keep func(*Message) bool) []*Message {
	var ms []*Message
	for _, m := range slices.Backward(mb.order) {
		if keep(m) {
			ms = append(ms, m)
		}
	}
	return ms
}

// sortedSet is a sorted copy without doubles.
func sortedSet(labels []string) []string {
	out := slices.Clone(labels)
	slices.Sort(out)
	return slices.Compact(out)
}

// minus are the labels of a that are not in b.
func minus(a, b []string) []string {
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, l)
		}
	}
	return out
}
