package table

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Attempts have rows of their own; the one that settled a delivery lies in the
// delivery's record, since most need no other.

// maxAttempts bounds the log of one delivery: the oldest are dropped.
const maxAttempts = 1000

func attemptsKey(r row) key { return key(nil).u64(r.Position).str(r.ID) }

// putAttempt writes a row of the log. A delivery that is tried for ever keeps
// the newest maxAttempts of them.
func (tx *Tx) putAttempt(r row, a *store.Attempt) error {
	if a.Number > maxAttempts {
		if err := tx.dropOldest(r, uint32(a.Number-maxAttempts)); err != nil {
			return err
		}
	}
	k := attemptsKey(r).at(a.At).u32(uint32(a.Number))
	b, err := record.EncodeAttempt(a)
	return tx.putSealed(bOwedAttempt, k, 0, b, err)
}

// PutAttempt logs a try of a delivery.
func (tx *Tx) PutAttempt(a *store.Attempt) error {
	r, err := tx.owed(a.Delivery)
	if err != nil {
		return err
	}
	return tx.putAttempt(r, a)
}

// AttemptsOf lists the tries of a delivery in order.
func (tx *Tx) AttemptsOf(delivery string) ([]store.Attempt, error) {
	r, err := tx.owed(delivery)
	if gone, err := missing(err); gone || err != nil {
		return nil, err
	}
	pairs, err := tx.prefix(bOwedAttempt, attemptsKey(r), maxAttempts)
	if err != nil {
		return nil, err
	}
	var out []store.Attempt
	for _, p := range pairs {
		b, _, err := tx.open(bOwedAttempt, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		a, err := record.DecodeAttempt(delivery, b)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if r.last == nil {
		return out, nil
	}
	a, err := record.DecodeAttempt(delivery, r.last)
	out = append(out, a)
	slices.SortStableFunc(out, func(a, b store.Attempt) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Number, b.Number))
	})
	return out, err
}

// unfold gives the attempt that settled a delivery a row of its own, so that
// there is room for the next.
func (tx *Tx) unfold(r *row) error {
	if r.last == nil {
		return nil
	}
	a, err := record.DecodeAttempt(r.ID, r.last)
	if err != nil {
		return err
	}
	r.last = nil
	return tx.putAttempt(*r, &a)
}

// dropOldest removes attempts up to a number from the front of a log: a few at
// a time, which is more than come.
func (tx *Tx) dropOldest(r row, number uint32) error {
	pairs, err := tx.prefix(bOwedAttempt, attemptsKey(r), 8)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if binary.BigEndian.Uint32(p.Key[len(p.Key)-4:]) > number {
			continue
		}
		if err := tx.del(bOwedAttempt, p.Key); err != nil {
			return err
		}
	}
	return nil
}

// dropAttempts removes the log of a delivery, also one that is longer than it
// would become now.
func (tx *Tx) dropAttempts(r row) error {
	for {
		pairs, err := tx.prefix(bOwedAttempt, attemptsKey(r), maxAttempts)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if err := tx.del(bOwedAttempt, p.Key); err != nil {
				return err
			}
		}
		if len(pairs) < maxAttempts {
			return nil
		}
	}
}
