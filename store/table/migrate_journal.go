package table

import "errors"

// packJournal moves the accounts' lists of events into blocks (packed.go).
func (tx *Tx) packJournal(place []byte) ([]byte, bool, error) {
	return tx.each(bJournalOf, place, func(p Pair) error {
		return errors.Join(tx.put(bJournalBy, p.Key, p.Value), tx.del(bJournalOf, p.Key))
	})
}
