package box

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Options of a Set; Store and Bus are needed.
type Options struct {
	Store store.Store
	Bus   *event.Bus
	Log   *slog.Logger
	// Keep is how long an unused Box stays, 5 min by default.
	Keep time.Duration
}

// Set holds the Boxes that are in use: one of each mailbox, however many
// sessions have it selected.
type Set struct {
	store store.Store
	bus   *event.Bus
	log   *slog.Logger
	keep  time.Duration

	// ctx ends with Close.
	ctx    context.Context
	end    context.CancelFunc
	follow sync.WaitGroup

	mu    sync.Mutex
	boxes map[string]*Box
}

// NewSet makes an empty Set. Close it when done.
func NewSet(opts Options) *Set {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Keep == 0 {
		opts.Keep = 5 * time.Minute
	}
	s := &Set{store: opts.Store, bus: opts.Bus, log: opts.Log, keep: opts.Keep, boxes: map[string]*Box{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Close forgets all Boxes and waits for what follows the journal for them.
func (s *Set) Close() {
	s.end()
	s.follow.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boxes {
		if b.drop != nil {
			b.drop.Stop()
		}
	}
	clear(s.boxes)
}

// Open gives a mailbox's Box, up to date with what was committed before the
// call. Release it when done. A mailbox whose messages have no UIDs yet is
// mail.KindUnavailable, one that is not there mail.KindNotFound.
func (s *Set) Open(ctx context.Context, mailbox string) (*Box, error) {
	for {
		b := s.hold(mailbox)
		err := b.CatchUp(ctx)
		if err == nil {
			return b, nil
		}
		over := b.known() && mail.KindOf(err) == mail.KindNotFound
		if over {
			s.forget(b) // whoever has it selected keeps it
		}
		s.release(b)
		if !over {
			return nil, err
		}
		// A mailbox under its id may be there again.
	}
}

// forget has the next Open make a Box of its own.
func (s *Set) forget(b *Box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes[b.mailbox] == b {
		delete(s.boxes, b.mailbox)
	}
}

func (s *Set) hold(mailbox string) *Box {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[mailbox]
	if b == nil {
		b = newBox(s, mailbox)
		s.boxes[mailbox] = b
	}
	b.users++
	if b.drop != nil {
		b.drop.Stop()
		b.drop = nil
	}
	if b.users == 1 && s.ctx.Err() == nil {
		b.unfollow = s.start(b)
		b.stale.Store(true) // whatever happened while nobody looked
	}
	return b
}

// start has a goroutine follow the journal for a Box, until the function that
// it gives is called or the Set is closed. A Box that nobody uses is not
// followed: it catches up when it is opened again.
func (s *Set) start(b *Box) (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	reader := s.bus.Listen(b.wants)
	s.follow.Go(func() {
		defer s.bus.Stop(reader)
		for {
			select {
			case <-ctx.Done():
				return
			case <-reader.C:
			}
			err := guard.Do(ctx, s.log, "follow a mailbox", func() error { return b.CatchUp(ctx) })
			if err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "mailbox index not brought up to date", "mailbox", b.mailbox, "error", err)
			}
		}
	})
	return cancel
}

func (s *Set) release(b *Box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.users--
	if b.users > 0 {
		return
	}
	if b.unfollow != nil {
		b.unfollow()
		b.unfollow = nil
	}
	if s.boxes[b.mailbox] != b {
		return // closed, or dropped
	}
	b.drop = time.AfterFunc(s.keep, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if b.users == 0 && s.boxes[b.mailbox] == b {
			delete(s.boxes, b.mailbox)
		}
	})
}

// Size is how many Boxes there are, and how many messages they hold.
func (s *Set) Size() (boxes, messages int) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.boxes))
	s.mu.Unlock()
	for _, b := range all {
		b.mu.RLock()
		messages += len(b.rows)
		b.mu.RUnlock()
	}
	return len(all), messages
}
