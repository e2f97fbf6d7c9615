package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store/bolt"
)

// roomInterval is how often the data folder's file system is asked for its
// free space.
const roomInterval = 2 * time.Second

// room watches the free space of the data folder's file system. While there is
// less than disk.min_free, or the store finds no room for a commit, new mail is
// not pulled: it waits at the provider, which loses nothing. What was taken on
// before, deliveries and submissions above all, goes on with the rest of the
// space, and so does reading.
type room struct {
	dir string
	log *slog.Logger
	// probe gives the free bytes of a folder's file system.
	probe func(dir string) (int64, error)
	// try makes a small durable write: whether the store takes writes again.
	try func(ctx context.Context) error
	// back is called when there is room again.
	back func(ctx context.Context)

	mu      sync.Mutex
	min     int64
	free    int64
	low     bool // less than min was free, and not clearly more since
	anew    bool // min was changed: the tenth more is not asked for
	refused bool // the store found no room
	failure error

	freeBytes, held prometheus.Gauge
}

// newRoom makes a watch on dir; try and back are set before run.
func newRoom(dir string, min int64, probe func(string) (int64, error), log *slog.Logger, reg prometheus.Registerer) *room {
	r := &room{dir: dir, min: min, probe: probe, log: log,
		freeBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_disk_free_bytes", Help: "Free space of the data folder's file system, for a process without privileges."}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_sync_held", Help: "1 while new mail is not pulled, because the disk is nearly full."}),
	}
	reg.MustRegister(r.freeBytes, r.held)
	return r
}

// observed wraps what is told of the store's commits.
func (r *room) observed(o bolt.Observer) bolt.Observer {
	told := o.Commit
	o.Commit = func(took time.Duration, members int, err error) {
		if told != nil {
			told(took, members, err)
		}
		if errors.Is(err, bolt.ErrFull) {
			r.change(context.Background(), func() { r.refused = true })
		}
	}
	return o
}

// run looks until ctx ends.
func (r *room) run(ctx context.Context) error {
	ticker := time.NewTicker(roomInterval)
	defer ticker.Stop()
	for {
		r.check(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// check looks once.
func (r *room) check(ctx context.Context) {
	r.mu.Lock()
	refused := r.refused
	r.mu.Unlock()
	if refused && r.try != nil && r.try(ctx) == nil {
		// Free space alone does not tell: a quota may be what is full.
		r.change(ctx, func() { r.refused = false })
	}
	free, err := r.probe(r.dir)
	r.change(ctx, func() {
		first := err != nil && r.failure == nil
		if r.failure = err; err != nil {
			if first {
				r.log.WarnContext(ctx, "free disk space not known", "folder", r.dir, "error", err)
			}
			return // what was known last stands
		}
		r.free = free
		r.freeBytes.Set(float64(free))
		// A tenth more than what is demanded ends it, so that what is cleared
		// away and written again at the edge does not start and stop syncing.
		need := r.min
		if r.low && !r.anew {
			need += r.min / 10
		}
		r.low, r.anew = free < need, false
	})
}

// setMin takes a changed disk.min_free.
func (r *room) setMin(ctx context.Context, min int64) {
	r.mu.Lock()
	r.anew = r.anew || r.min != min
	r.min = min
	r.mu.Unlock()
	r.check(ctx)
}

// change applies f and tells what it changes.
func (r *room) change(ctx context.Context, f func()) {
	r.mu.Lock()
	before := r.holding()
	f()
	after := r.holding()
	reason := r.reason()
	if after {
		r.held.Set(1)
	} else {
		r.held.Set(0)
	}
	r.mu.Unlock()
	switch {
	case after && !before:
		r.log.ErrorContext(ctx, "disk nearly full: no new mail is pulled", "folder", r.dir, "reason", reason)
	case before && !after:
		r.log.InfoContext(ctx, "room on the disk again: mail is pulled", "folder", r.dir)
		if r.back != nil {
			r.back(ctx)
		}
	}
}

func (r *room) holding() bool { return r.low || r.refused }

// reason says why pulling rests; the caller holds the lock.
func (r *room) reason() string {
	switch {
	case r.low:
		return fmt.Sprintf("%d bytes are free, disk.min_free demands %d", r.free, r.min)
	case r.refused:
		return "the store finds no room on the disk"
	}
	return ""
}

// why says why pulling rests, nothing while it does not.
func (r *room) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason()
}

// hold refuses what would fill the disk further.
func (r *room) hold() error {
	why := r.why()
	if why == "" {
		return nil
	}
	// Not over_quota: that is the mailbox at the provider. This passes, and
	// what is asked for may be asked for again.
	return &mail.Error{Kind: mail.KindUnavailable, Code: service.CodeDiskFull, RetryAfter: time.Minute,
		Message: "the gateway's disk is nearly full: " + why}
}
