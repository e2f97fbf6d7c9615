// Package table implements the nouns of the store once, over any engine that
// keeps ordered keys: KV. An engine brings transactions; this package brings
// keys, indexes, sealing and counts.
//
// What is kept true. Every value with mail, addresses, tokens or words is
// sealed under the data key of its account, or the store's own, with its
// bucket and key as additional data; ids, numbers and times are not. Names
// that come from outside (lookup keys, idempotency keys, Message-IDs, scopes)
// stand in keys only as MACs. Every index changes in the transaction of its
// record. Every operation is a lookup or a range scan; none reads a whole
// bucket.
//
// An account that was deleted and connected again has the same id, and may
// still have records of before. So everything of an account hangs on its
// life, a number given with its first record and never used again: what
// carries the number of an ended life is not there.
//
// How it fails. A value that does not open is an error that names its bucket,
// never ErrNotFound. Where to start: Tx, then account.go and key.go.
package table

import (
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// Pair is a key with its value.
type Pair struct {
	Key, Value []byte
}

// KV is one transaction of an engine: buckets of keys in the order of their
// bytes. Slices that it returns are valid until the transaction ends and are
// not written to; slices given to it are not changed afterwards.
type KV interface {
	// Get gives a value, nil where there is none.
	Get(b Bucket, key []byte) ([]byte, error)
	Put(b Bucket, key, value []byte) error
	// Delete of a missing key does nothing.
	Delete(b Bucket, key []byte) error
	// Scan lists at most limit pairs with from <= key < to, in reverse from the
	// greatest. A nil bound is none.
	Scan(b Bucket, from, to []byte, reverse bool, limit int) ([]Pair, error)
}

// Format is the number of the layout that this package reads and writes. It
// is raised together with a step in migrate.go.
const Format = 3

// Tables is what the transactions of one store share.
type Tables struct {
	keys   *seal.Keyring
	now    func() time.Time
	layout Layout

	// own is the store's own key, names the one that MACs in keys are made
	// with. Both are set by Init.
	own, names *seal.DataKey

	mu sync.Mutex
	// opened caches data keys by their wrapped form, so that no transaction
	// that is rolled back can leave a wrong one behind.
	opened map[string]*seal.DataKey
	// living caches those of the lives whose blobs are being read.
	living map[uint64]*seal.DataKey
	// days are the keys derived from own, by day.
	days map[uint64]*seal.DataKey
}

// New makes the shared part. Init must be called before the first Tx.
func New(keys *seal.Keyring, now func() time.Time) *Tables {
	return NewWith(keys, now, Current())
}

// NewWith is New for another layout than this build's, in tests.
func NewWith(keys *seal.Keyring, now func() time.Time, layout Layout) *Tables {
	return &Tables{keys: keys, now: now, layout: layout, opened: map[string]*seal.DataKey{}, days: map[uint64]*seal.DataKey{}}
}

// Init prepares an empty store, or checks one that is there: a newer format
// and a wrong master key are refused. It runs in a writing transaction, the
// first of all. One of an older format is migrated next (Tx.Migrate).
func (t *Tables) Init(b *Batch) error {
	s, err := t.State(b)
	if err == nil && s.Format == 0 {
		err = b.Tx().found()
	}
	return err
}

// found writes the first records of a store.
func (tx *Tx) found() error {
	own, err := tx.newDataKey(0, "")
	if err != nil {
		return err
	}
	if err := tx.setNumber("epoch", 1); err != nil {
		return err
	}
	if err := tx.setNumber("format", tx.t.layout.Format); err != nil {
		return err
	}
	return tx.t.adopt(own)
}

func (t *Tables) adopt(own *seal.DataKey) error {
	names, err := own.Derive("names")
	if err != nil {
		return err
	}
	t.own, t.names = own, names
	return nil
}

// Tx is store.Tx over an engine's transaction.
type Tx struct {
	*Batch
	after []func()
	// met is the damage that a step of a migration went past.
	met []error
}

var _ store.Tx = (*Tx)(nil)

// AfterCommit keeps fn for the engine, which takes it from Committed.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

// Committed gives what is to run once the transaction is durable.
func (tx *Tx) Committed() []func() { return tx.after }
