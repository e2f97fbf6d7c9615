// Package store is the contract that every storage backend keeps: transactions
// over Postern's nouns, blobs, and leases.
//
// What is kept true. A function given to Update is applied whole or not at
// all, and is durable when Update returns nil. Transactions are serialisable.
// Whatever a transaction appends to the journal becomes visible in the order
// of its positions, and together with everything else the transaction wrote.
// AfterCommit functions run in that order too.
//
// An account's records need the account's own: nothing is written for an
// account that is not there (ErrNotFound), so that what still works on a
// deleted one leaves no trace.
//
// How it fails. A missing record is ErrNotFound; a list of what is not there
// is empty; deleting what is not there is no error. Everything else is the
// backend's trouble; after a failed fsync a backend refuses all further
// writes, since nobody knows what is on the disk.
//
// Where to start: Store, then Tx, then the nouns it embeds. store/storetest
// is this contract as a test suite.
package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrNotFound is answered for a record that is not there.
var ErrNotFound = errors.New("not found in the store")

// ErrClosed is answered after Close.
var ErrClosed = errors.New("the store is closed")

// ErrDamaged is answered for bytes that are not what was stored: changed, cut,
// or moved from elsewhere. A blob that turns out to be damaged when it is
// opened is ErrNotFound, too. Once it was put again it is whole.
var ErrDamaged = errors.New("damaged in the store")

// MaxRecords is how many records one Update should write at the most.
const MaxRecords = 1000

// Store is a backend. All methods may be called at once.
type Store interface {
	// View runs fn in a read-only transaction. It should be short: it pins
	// what it sees.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn in a transaction and makes it durable. fn may run more
	// than once (a group of updates that fails is run again one by one, a
	// serialisation conflict is retried), so it does no I/O of its own and
	// sets what it hands out anew on every run. Updates that wait at the same
	// time share one commit.
	Update(ctx context.Context, fn func(Tx) error) error
	// UpdateSoon is Update for work that nobody waits for: it may be held back
	// up to 50 ms while the writer is free, to share the next commit.
	UpdateSoon(ctx context.Context, fn func(Tx) error) error
	// Blobs are bytes at rest.
	Blobs() Blobs
	// Leases decide which gateway owns what.
	Leases() Leases
	// Epoch is the life of the store: raised by a restore from backup.
	Epoch() uint32
	// Close waits for running transactions, then closes.
	Close() error
}

// Tx is a transaction. It is valid until the function it was given to
// returns, and is not for use by several goroutines. Records that it returns
// belong to the caller; records given to it are not kept.
type Tx interface {
	// AfterCommit runs fn once this transaction is durable, in commit order.
	// fn must not block. In a View it runs never.
	AfterCommit(fn func())

	Accounts
	Mailboxes
	Messages
	Journal
	Syncs
	Outbox
	Derived
	AppPasswords
	Submissions
	Jobs
	Settings
}

// Settings are the few things the gateway remembers about itself, sealed
// under the store's own key.
type Settings interface {
	// Setting gives a value, ErrNotFound where there is none.
	Setting(name string) ([]byte, error)
	PutSetting(name string, value []byte) error
	DeleteSetting(name string) error
}

// Blobs keep bytes: compressed, sealed under their account's key, in chunks.
type Blobs interface {
	// Put stores what r gives and returns its digest and length. The bytes are
	// readable once Put has returned; with sync they are durable too. A blob
	// that is already there is not stored twice.
	Put(ctx context.Context, account string, r io.Reader, sync bool) (BlobRef, error)
	// Open reads a blob. ErrNotFound where it is not (any more) here.
	Open(ctx context.Context, account, digest string) (Blob, error)
	// Trim drops blobs that were put without sync, about those that were not
	// read for longest, until at most limit bytes are at rest, and tells how
	// many bytes that freed. What was put with sync stays until it is deleted.
	Trim(ctx context.Context, limit int64) (dropped int64, err error)
	// Delete forgets a blob. A missing one is success.
	Delete(ctx context.Context, account, digest string) error
	// Drop forgets a blob, unless it was put with sync: somebody else needs the
	// same bytes. A missing one is success.
	Drop(ctx context.Context, account, digest string) error
	// Retain deletes of an account's blobs those that were put with sync and are
	// not among the digests, and tells how many. No such Put may be under way.
	Retain(ctx context.Context, account string, digests []string) (deleted int, err error)
	// DeleteAccount forgets all blobs of an account.
	DeleteAccount(ctx context.Context, account string) error
}

// BlobRef names a blob.
type BlobRef struct {
	// Digest is the SHA-256 of the bytes, in lower-case hex.
	Digest string
	// Size is the length of the bytes, before compression and sealing.
	Size int64
}

// Blob is an open blob. It reads any range without reading the rest.
type Blob interface {
	io.ReadSeekCloser
	io.ReaderAt
	Size() int64
}

// InMemory is a Blob that is whole in memory, as small ones may be.
type InMemory interface {
	// Bytes are all of it, and must not be changed; Close ends them.
	Bytes() []byte
}

// Leases give exclusive, expiring ownership of names among gateways that
// share a store.
type Leases interface {
	// Acquire takes or renews a lease for owner until now+ttl. It reports
	// whether owner holds it, and a token that grows with every new owner.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (held bool, token uint64, err error)
	// Release gives a lease back. Someone else's is left alone.
	Release(ctx context.Context, name, owner string) error
}
