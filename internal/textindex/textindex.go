package textindex

import (
	"context"
	"log/slog"
	"sync"

	"github.com/postern-mail/postern/store"
)

// Options of an Index. The zero value works.
type Options struct {
	Log *slog.Logger
	// FreshLimit is how many messages of an account may wait for the index, and
	// are scanned by every search meanwhile; 0 means 128.
	FreshLimit int
}

// Index is the search index of all accounts of a store.
type Index struct {
	store store.Store
	log   *slog.Logger
	fresh int

	mu    sync.Mutex
	dirty map[string]bool
	wake  chan struct{}
}

// New makes an Index over a store.
func New(st store.Store, o Options) *Index {
	x := &Index{store: st, log: o.Log, fresh: o.FreshLimit, dirty: map[string]bool{}, wake: make(chan struct{}, 1)}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if x.fresh == 0 {
		x.fresh = 128
	}
	return x
}

// Put keeps a message's encoded extract and marks the message as not indexed.
// It belongs into the transaction that keeps the message's bytes.
func Put(tx store.Derived, account, message string, extract []byte) error {
	return nil
}

// Forget marks a message whose extract went away while it stayed itself.
func Forget(tx store.Derived, account, message string) error {
	return nil
}

// Touch tells that an account's messages have new extracts.
func (x *Index) Touch(account string) {}

// Run keeps the indexes up to date until ctx is done.
func (x *Index) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Where says in which part of a message a Query looks.
type Where uint8

// Parts of a message.
const (
	InText   Where = iota // header and body (RFC 9051, 6.4.4: TEXT)
	InBody                // decoded text parts (BODY)
	InHeader              // fields of one name (HEADER, SUBJECT, FROM...)
)

// Query is one string to look for.
type Query struct {
	Where Where
	Field string // name of the header field, any case, for InHeader
	Text  string // any case; for InHeader empty means that the field is there
}

// Result is what became of a message in a search.
type Result uint8

// Results.
const (
	No      Result = iota
	Yes            // it holds the text
	Unknown        // its extract is not here
)

// Search looks through messages of an account, and gives a Result for each.
func (x *Index) Search(ctx context.Context, account string, q Query, messages []string) ([]Result, error) {
	return make([]Result, len(messages)), nil
}
