package textindex

import (
	"crypto/sha256"

	"github.com/postern-mail/postern/store"
)

// Put keeps a message's encoded extract, and marks the message as not indexed.
// It belongs into the transaction that keeps the message's bytes, behind
// PutMessage. Run finds the mark by itself.
func Put(tx store.Derived, account, message string, extract []byte) error {
	if err := tx.PutDerived(account, store.DerivedText, message, extract); err != nil {
		return err
	}
	// The mark names the extract, so that a fold does not take away the mark of
	// one that came while it was at work.
	sum := sha256.Sum256(extract)
	return tx.PutDerived(account, store.DerivedGrams, message, sum[:8])
}

// Drop marks a message whose bytes, and so its extract, are not known any more:
// what the index remembers of it is of others. It answers Unknown from now on.
func Drop(tx store.Derived, account, message string) error {
	return tx.PutDerived(account, store.DerivedGrams, message, []byte("dropped"))
}

// Touch has Run look at an account now.
func (x *Index) Touch(account string) {
	x.mu.Lock()
	x.dirty[account] = true
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// touched takes the accounts that Touch named.
func (x *Index) touched() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]string, 0, len(x.dirty))
	for a := range x.dirty {
		out = append(out, a)
	}
	clear(x.dirty)
	return out
}
