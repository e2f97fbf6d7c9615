package table

import (
	"errors"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// AppendEvent numbers an event and stores it. Its content is sealed under the
// account's key, or the store's where the account has none (any more).
func (tx *Tx) AppendEvent(e *event.Event) error {
	position, err := tx.count("position")
	if err != nil {
		return err
	}
	epoch, err := tx.Epoch()
	if err != nil {
		return err
	}
	seq, err := tx.LastSequence(e.Account)
	if err != nil {
		return err
	}
	floor, err := tx.number(sequenceFloor)
	if err != nil {
		return err
	}
	e.Position, e.Epoch, e.Sequence = position, epoch, max(seq, floor)+1
	e.ID = event.ID(e.Account, e.Sequence)

	l, err := tx.life(e.Account)
	if err != nil {
		return err
	}
	k := key(nil).u64(position)
	content, err := record.EncodeEventContent(e)
	if err != nil {
		return err
	}
	var sealed []byte
	if content != nil {
		if sealed, err = tx.seal(bJournal, k, l, content); err != nil {
			return err
		}
	}
	b, err := record.EncodeEvent(e, l, sealed)
	if err != nil {
		return err
	}
	if err := tx.put(bJournal, k, b); err != nil {
		return err
	}
	return tx.put(bJournalBy, key(nil).str(e.Account).u64(e.Sequence), k)
}

// LastSequence is the account's newest sequence. It outlives the account, so
// that event ids are not used again when it is connected anew.
func (tx *Tx) LastSequence(account string) (uint64, error) {
	prefix := key(nil).str(account)
	p, ok, err := tx.first(bJournalBy, prefix, true)
	if ok {
		return number(p.Key[len(prefix):]), nil
	}
	if err != nil {
		return 0, err
	}
	v, err := tx.get(bSequence, prefix)
	return number(v), err
}

func (tx *Tx) event(p Pair) (event.Event, error) {
	e, _, sealed, err := record.DecodeEvent(number(p.Key), p.Value)
	if err != nil {
		return e, err
	}
	// Its place is one in the present life of the store, whatever life it was
	// written in: a reader goes on from here.
	if e.Epoch, err = tx.Epoch(); err != nil || sealed == nil {
		return e, err
	}
	content, _, err := tx.open(bJournal, p.Key, sealed)
	if errors.Is(err, store.ErrNotFound) {
		// The account is gone and its key with it: what stays is the entry's
		// place, ids and time.
		return e, nil
	}
	if err != nil {
		return e, err
	}
	return e, record.DecodeEventContent(&e, content)
}

// EventsAfter lists events in commit order.
func (tx *Tx) EventsAfter(position uint64, limit int) ([]event.Event, error) {
	pairs, err := tx.scan(bJournal, next(key(nil).u64(position)), nil, false, limit)
	if err != nil || len(pairs) == 0 {
		return nil, err
	}
	out := make([]event.Event, len(pairs))
	for i, p := range pairs {
		if out[i], err = tx.event(p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// AccountEventsAfter lists one account's events.
func (tx *Tx) AccountEventsAfter(account string, sequence uint64, limit int) ([]event.Event, error) {
	prefix := key(nil).str(account)
	from := next(key(nil).str(account).u64(sequence))
	pairs, err := tx.scan(bJournalBy, from, end(prefix), false, limit)
	if err != nil {
		return nil, err
	}
	var out []event.Event
	for _, p := range pairs {
		v, err := tx.must(bJournal, p.Value)
		if err != nil {
			return nil, err
		}
		e, err := tx.event(Pair{p.Value, v})
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// EventByID finds an event: by what its id says, or, where it was given by a
// Postern whose ids said nothing, by the index of those.
func (tx *Tx) EventByID(id string) (*event.Event, error) {
	k, err := tx.get(bJournalID, key(id))
	if err != nil {
		return nil, err
	}
	if account, sequence, ok := event.ParseID(id); k == nil && ok {
		if k, err = tx.get(bJournalBy, key(nil).str(account).u64(sequence)); err != nil {
			return nil, err
		}
	}
	if k == nil {
		return nil, store.ErrNotFound
	}
	v, err := tx.must(bJournal, k)
	if err != nil {
		return nil, err
	}
	e, err := tx.event(Pair{k, v})
	if err != nil {
		return nil, err
	}
	if e.ID != id {
		return nil, store.ErrNotFound
	}
	return &e, nil
}

// JournalBounds gives the ends of what the journal holds.
func (tx *Tx) JournalBounds() (oldest, newest uint64, err error) {
	if newest, err = tx.number("position"); err != nil {
		return 0, 0, err
	}
	pairs, err := tx.scan(bJournal, nil, nil, false, 1)
	if err != nil {
		return 0, 0, err
	}
	if len(pairs) == 0 {
		return newest + 1, newest, nil
	}
	return number(pairs[0].Key), newest, nil
}

// TrimJournal drops events older than t from the front.
func (tx *Tx) TrimJournal(t time.Time, limit int) (dropped int, err error) {
	pairs, err := tx.scan(bJournal, nil, nil, false, limit)
	if err != nil {
		return 0, err
	}
	var old uint64
	for _, p := range pairs {
		e, _, _, err := record.DecodeEvent(number(p.Key), p.Value)
		if err != nil {
			return dropped, err
		}
		if !e.Time.Before(t) {
			if old, err = tx.datedAhead(&e, number(p.Key), t, old); err != nil || old == 0 {
				return dropped, err
			}
		}
		if e.ID != event.ID(e.Account, e.Sequence) {
			if err := tx.del(bJournalID, key(e.ID)); err != nil {
				return dropped, err
			}
		}
		if err := tx.trimAccount(&e); err != nil {
			return dropped, err
		}
		if err := tx.del(bJournal, p.Key); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}

// trimAccount removes an event from its account's list, and remembers its
// sequence when it was the last of the list.
func (tx *Tx) trimAccount(e *event.Event) error {
	prefix := key(nil).str(e.Account)
	if err := tx.del(bJournalBy, slices.Clone(prefix).u64(e.Sequence)); err != nil {
		return err
	}
	_, ok, err := tx.first(bJournalBy, prefix, true)
	if err != nil || ok {
		return err
	}
	return tx.put(bSequence, prefix, key(nil).u64(e.Sequence))
}
