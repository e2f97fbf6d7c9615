package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// landing is the coming of one message's bytes, and of what is derived from
// them. However many wait for it, it is one.
type landing struct {
	done chan struct{}
	// err is why it failed; read it once done is closed.
	err error
}

// landings are those that are under way, by message. What is brought ahead is
// apart: who waits for a message does not wait behind that.
type landings struct {
	mu sync.Mutex
	of [2]map[string]*landing // by lane
	// awaited counts who waits for an account's messages.
	awaited map[string]int
}

func lane(p provider.Priority) int {
	if p == provider.Backfill {
		return 1
	}
	return 0
}

// join gives the landing of each message, and the messages for which the caller
// has to see to it that they land.
func (l *landings) join(ids []string, p provider.Priority) (all []*landing, mine []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[0] == nil {
		l.of = [2]map[string]*landing{{}, {}}
	}
	for _, id := range ids {
		x := l.of[lane(p)][id]
		if x == nil && lane(p) == 1 {
			x = l.of[0][id]
		}
		if x == nil {
			x = &landing{done: make(chan struct{})}
			l.of[lane(p)][id] = x
			mine = append(mine, id)
		}
		all = append(all, x)
	}
	return all, mine
}

// open gives those of the messages that have not landed.
func (l *landings) open(ids []string, p provider.Priority) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, id := range ids {
		if l.of[lane(p)][id] != nil {
			out = append(out, id)
		}
	}
	return out
}

// landed ends a landing, if it has not ended.
func (l *landings) landed(id string, p provider.Priority, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close(id, p, err)
}

// close ends a landing; the caller holds the lock.
func (l *landings) close(id string, p provider.Priority, err error) {
	if x := l.of[lane(p)][id]; x != nil {
		x.err = err
		close(x.done)
		delete(l.of[lane(p)], id)
	}
}

// await counts a waiter for an account's messages until the function it gives
// is called.
func (l *landings) await(account string) func() {
	count := func(by int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.awaited == nil {
			l.awaited = map[string]int{}
		}
		if l.awaited[account] += by; l.awaited[account] == 0 {
			delete(l.awaited, account)
		}
	}
	count(1)
	return func() { count(-1) }
}

func (l *landings) isAwaited(account string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.awaited[account] > 0
}

// Of a landing that takes longer than landingLimit nothing comes any more.
// landingTries is how often a message is read anew that changes while it is
// read: a draft.
const (
	landingLimit = 5 * time.Minute
	landingTries = 3
)

// land has messages of an account come, for somebody who waits, and waits until
// they are here, or ctx ends. They come batch by batch, so that who wants one of
// the last does not wait behind all of them. The batch that is under way comes
// even when the caller leaves: others may want it. The first failure is told.
func (s *Service) land(ctx context.Context, account string, ids []string) error {
	defer s.landings.await(account)()
	var failure error
	for chunk := range slices.Chunk(ids, s.bodyBatch(ctx, account)) {
		for _, err := range s.landAll(ctx, account, chunk, provider.Interactive) {
			// One that is gone is no reason to look no further.
			if err != nil && (failure == nil || mail.KindOf(failure) == mail.KindNotFound) {
				failure = err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return failure
}

// landAll has a batch of messages come and gives the fate of each.
func (s *Service) landAll(ctx context.Context, account string, ids []string, p provider.Priority) []error {
	all, mine := s.landings.join(ids, p)
	if len(mine) > 0 {
		s.takeOff(ctx, account, mine, p)
	}
	errs := make([]error, len(all))
	for i, x := range all {
		select {
		case <-x.done:
			errs[i] = x.err
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
	}
	return errs
}

// takeOff begins the landing of messages that nobody else sees to.
func (s *Service) takeOff(ctx context.Context, account string, ids []string, p provider.Priority) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), landingLimit)
	over, err := s.flights.add(cancel)
	if err != nil {
		cancel()
		for _, id := range ids {
			s.landings.landed(id, p, err)
		}
		return
	}
	go func() {
		defer over()
		defer cancel()
		err := guard.Do(ctx, s.log, "bring messages", func() error {
			return s.bringBatch(ctx, account, ids, p)
		}, "account", account)
		if err == nil {
			err = errChanging()
		}
		for _, id := range ids {
			s.landings.landed(id, p, err) // of those that did not land
		}
	}()
}

// maxBodyBatch bounds how many messages are asked for at once: what waits for
// the first of them does not wait for hundreds.
const maxBodyBatch = 20

func (s *Service) bodyBatch(ctx context.Context, account string) int {
	acct, err := s.account(ctx, account)
	if err == nil {
		if _, info, err := s.plug(acct); err == nil && info.Limits.FetchBatch > 0 {
			return min(info.Limits.FetchBatch, maxBodyBatch)
		}
	}
	return maxBodyBatch
}

// bringBatch fetches a batch of messages and ends the landing of each as it is
// here.
func (s *Service) bringBatch(ctx context.Context, account string, ids []string, p provider.Priority) error {
	for range landingTries {
		away, err := s.settleHere(ctx, s.landings.open(ids, p), p)
		if err != nil || len(away) == 0 {
			return err
		}
		err = s.bring(ctx, account, away, p, func(id string, err error) error {
			if err != nil {
				s.landings.landed(id, p, err)
				return nil
			}
			// Who waits for it need not wait for the others.
			_, err = s.settleHere(ctx, []string{id}, p)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settleHere ends the landings of messages that are whole, or gone, and gives
// those whose bytes have to be fetched. Where only what is derived is missing it
// is made of the bytes that are here.
func (s *Service) settleHere(ctx context.Context, ids []string, p provider.Priority) (away []*store.Message, err error) {
	var made []remade
	size := 0
	keep := func() error {
		if err := s.keepRemade(ctx, made); err != nil {
			return err
		}
		for _, r := range made {
			s.landings.landed(r.id, p, nil)
		}
		made, size = nil, 0
		return nil
	}
	for _, id := range ids {
		m, whole, err := s.lookAt(ctx, id)
		switch {
		case mail.KindOf(err) == mail.KindNotFound:
			s.landings.landed(id, p, err)
			continue
		case err != nil:
			return nil, err
		case whole:
			here, err := s.blobHere(ctx, m)
			if err != nil {
				return nil, err
			}
			if here {
				s.landings.landed(id, p, nil)
				continue
			}
		case m.Blob != "":
			d, err := s.derived(ctx, m.Account, m.Blob)
			if guard.Is(err) {
				s.landings.landed(id, p, err)
				continue
			}
			if err == nil {
				made = append(made, remade{id, m.Blob, d})
				if size += d.size(); size > maxGathered {
					err = keep()
				}
			}
			if err == nil {
				continue
			}
			if !errors.Is(err, store.ErrNotFound) {
				return nil, fmt.Errorf("derive rows: %w", err)
			}
		}
		away = append(away, m)
	}
	return away, keep()
}

// lookAt reads a message and whether it is whole.
func (s *Service) lookAt(ctx context.Context, id string) (m *store.Message, whole bool, err error) {
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		if m, err = tx.Message(id); err == nil {
			whole, err = hydrated(tx, m)
		}
		return err
	})
	return m, whole, notFound(err, "message")
}

// blobHere reports whether a message's bytes are here: somebody may have brought
// them just now.
func (s *Service) blobHere(ctx context.Context, m *store.Message) (bool, error) {
	blob, err := s.store.Blobs().Open(ctx, m.Account, m.Blob)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, blob.Close()
}
