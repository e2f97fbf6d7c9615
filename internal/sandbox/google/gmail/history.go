package gmail

import (
	"slices"
	"sort"
	"time"
)

// A record is one entry of a mailbox's history: one thing that happened to one
// message. ids grow with gaps, as the service's do.
type record struct {
	ID            uint64
	At            time.Time
	Message       string
	Thread        string
	Labels        []string // of the message after it happened; before, for Deleted
	Added         bool     `json:",omitempty"`
	Deleted       bool     `json:",omitempty"`
	LabelsAdded   []string `json:",omitempty"`
	LabelsRemoved []string `json:",omitempty"`
}

// bump gives the next history id.
func (mb *mailbox) bump() uint64 {
	mb.history += 1 + mb.rand.Uint64N(37)
	return mb.history
}

// record appends what has just happened to a message and moves the message's
// own history id.
func (mb *mailbox) record(m *Message, rec record, now time.Time) {
	rec.ID, rec.At, rec.Message, rec.Thread, rec.Labels = mb.bump(), now, m.ID, m.ThreadID, m.LabelIDs
	m.HistoryID = rec.ID
	mb.prune(now)
	mb.log = append(mb.log, rec)
	mb.pending = append(mb.pending, Change{
		User: mb.user, HistoryID: rec.ID, MessageID: m.ID, Time: now, Silent: mb.silent,
		Labels: sortedSet(slices.Concat(rec.Labels, rec.LabelsRemoved)),
	})
}

// prune forgets records that are older than history reaches back.
func (mb *mailbox) prune(now time.Time) {
	if mb.set.HistoryRetention <= 0 {
		return
	}
	old := sort.Search(len(mb.log), func(i int) bool { return now.Sub(mb.log[i].At) <= mb.set.HistoryRetention })
	if old > 0 {
		mb.floor = max(mb.floor, mb.log[old-1].ID)
		mb.log = slices.Clone(mb.log[old:])
	}
}

// forget makes every history id that was given so far too old.
func (mb *mailbox) forget() {
	mb.log = nil
	mb.floor = mb.bump()
}

// since gives the records after start that are at least lag old, and the id up
// to which they tell everything.
func (mb *mailbox) since(start uint64, lag time.Duration, now time.Time) ([]record, uint64, error) {
	mb.prune(now)
	if start < mb.floor || start > mb.history && !mb.set.FutureHistoryOK {
		return nil, 0, errNotFound()
	}
	from := sort.Search(len(mb.log), func(i int) bool { return mb.log[i].ID > start })
	to := len(mb.log)
	upto := mb.history
	if lag > 0 {
		to = sort.Search(len(mb.log), func(i int) bool { return now.Sub(mb.log[i].At) < lag })
		if to < len(mb.log) {
			upto = start
			if to > 0 {
				upto = max(start, mb.log[to-1].ID)
			}
		}
	}
	return slices.Clone(mb.log[min(from, to):to]), max(upto, start), nil
}
