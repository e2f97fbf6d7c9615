package table

import "time"

// A store that was restored from a backup has forgotten what it told since.
// Cursors of that time are refused by their epoch. But ids of events are made
// of account and sequence, and receivers of webhooks know an event by its id
// and order by its sequence: both would come again, with other content. So
// with every epoch all sequences leap ahead of whatever the life before can
// have reached, and none is ever used twice, not even by an account that was
// connected, lost with the restore, and is connected again.

// sequenceFloor is the number that the sequences of all accounts are above.
const sequenceFloor = "sequence_floor"

// leapPerSecond is how many entries one account may have had in every second
// since 1970 without the leap landing among them. It keeps sequences below
// 2^53, the largest whole number that JavaScript knows, until the year 2240.
const leapPerSecond = 1 << 20

// Epoch reads the life of the store.
func (tx *Tx) Epoch() (uint32, error) {
	n, err := tx.number("epoch")
	return uint32(n), err
}

// RaiseEpoch begins a new life of the store at a time: after a restore from a
// backup. The epoch is the time in seconds, so that a backup that is restored
// twice begins two lives and not the same one again.
func (tx *Tx) RaiseEpoch(now time.Time) (uint32, error) {
	n, err := tx.number("epoch")
	if err != nil {
		return 0, err
	}
	floor, err := tx.number(sequenceFloor)
	if err != nil {
		return 0, err
	}
	seconds := uint64(max(now.Unix(), 0))
	n = max(n+1, seconds)
	if err := tx.setNumber(sequenceFloor, max(floor+leapPerSecond, seconds*leapPerSecond)); err != nil {
		return 0, err
	}
	return uint32(n), tx.setNumber("epoch", n)
}
