package store

import (
	"time"

	"github.com/postern-mail/postern/internal/event"
)

// Journal is the noun of the one list that everything outside reads.
type Journal interface {
	// AppendEvent numbers the event and stores it: Position, Epoch, Sequence
	// and ID are set on e.
	AppendEvent(e *event.Event) error
	// EventsAfter lists events in commit order after a position.
	EventsAfter(position uint64, limit int) ([]event.Event, error)
	// AccountEventsAfter lists one account's, after a sequence.
	AccountEventsAfter(account string, sequence uint64, limit int) ([]event.Event, error)
	// EventByID finds an event while the journal holds it.
	EventByID(id string) (*event.Event, error)
	// JournalBounds gives the last position, and the oldest from which the
	// journal can be read without a gap: a cursor with position < oldest-1 is
	// too old. An empty journal has newest = oldest-1.
	JournalBounds() (oldest, newest uint64, err error)
	// LastSequence is the account's newest sequence, 0 where there is none. It
	// goes on when the account is deleted and connected again, so that no event
	// id comes twice.
	LastSequence(account string) (uint64, error)
	// TrimJournal drops events older than t from the front, at most limit.
	TrimJournal(t time.Time, limit int) (dropped int, err error)
}

// PositionBefore finds a place in the journal before everything since a time,
// by halves: the journal is in the order of time but for a clock that was set.
func PositionBefore(tx Journal, since time.Time) (uint64, error) {
	oldest, newest, err := tx.JournalBounds()
	if err != nil {
		return 0, err
	}
	first, last := oldest-1, newest
	for first < last {
		middle := first + (last-first)/2
		next, err := tx.EventsAfter(middle, 1)
		if err != nil {
			return 0, err
		}
		if len(next) > 0 && next[0].Time.Before(since) {
			first = middle + 1
		} else {
			last = middle
		}
	}
	return first, nil
}
