package textindex

import (
	"log/slog"
	"runtime"
	"sync"

	"github.com/postern-mail/postern/store"
)

// Options of an Index. The zero value works.
type Options struct {
	Log *slog.Logger
	// FreshLimit is how many messages of an account may wait for the index; 0
	// means 256. Every search scans them meanwhile, so that of an account that is
	// searched an eighth of them may wait.
	FreshLimit int
	// Hold says why nothing may be written now, for want of disk space say; nil
	// is never. What waits is scanned.
	Hold func() error
}

// Index is the search index of all accounts of a store. It is safe for use by
// several goroutines.
type Index struct {
	store store.Store
	log   *slog.Logger
	fresh int
	hold  func() error
	views cache
	// postings is how many of them a segment holds, about.
	postings int
	// slots bound how many scans use a processor at once, over all searches.
	slots chan struct{}

	mu    sync.Mutex
	dirty map[string]bool
	// searched are accounts of which a search had to scan too much.
	searched map[string]bool
	// broken are accounts whose index turned out to be damaged.
	broken map[string]bool
	wake   chan struct{}
	// stay is how many marks of an account were left by the last fold, since
	// their messages have no extract at the moment. Run's alone.
	stay map[string]int
}

// New makes an Index over a store.
func New(st store.Store, o Options) *Index {
	x := &Index{store: st, log: o.Log, fresh: o.FreshLimit, postings: maxPostings, dirty: map[string]bool{}, searched: map[string]bool{}, broken: map[string]bool{}, wake: make(chan struct{}, 1),
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)), stay: map[string]int{}}
	if x.hold = o.Hold; x.hold == nil {
		x.hold = func() error { return nil }
	}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if x.fresh <= 0 {
		x.fresh = 256
	}
	return x
}

// crowd is how many messages of an account that is searched may wait.
func (x *Index) crowd() int { return max(x.fresh/8, 1) }
