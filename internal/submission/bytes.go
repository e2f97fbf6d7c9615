package submission

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/postern-mail/postern/store"
)

// The raw bytes of a message are put with sync before its submission is
// written, so that they stay until they are deleted. They are deleted when
// nobody waits to send them any more; blobs have the names of their content, so
// that two submissions may have the same bytes. What a crash leaves behind
// between the two is found by sweep.

// sweepEvery is how often it is looked for bytes that no submission has.
const sweepEvery = 6 * time.Hour

// waiting are the submissions that wait, by account and bytes.
type waiting struct {
	mu sync.Mutex
	// ids is nil until it was read from the store.
	ids map[string]map[string]map[string]bool
}

// add notes one, once the others were read.
func (w *waiting) add(sub *store.Submission) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids != nil {
		w.put(sub)
	}
}

func (w *waiting) put(sub *store.Submission) {
	of := w.ids[sub.Account]
	if of == nil {
		of = map[string]map[string]bool{}
		w.ids[sub.Account] = of
	}
	if of[sub.Blob] == nil {
		of[sub.Blob] = map[string]bool{}
	}
	of[sub.Blob][sub.ID] = true
}

// drop forgets one, and reports whether others have its bytes.
func (w *waiting) drop(sub *store.Submission) (shared bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.ids[sub.Account]
	delete(of[sub.Blob], sub.ID)
	if len(of[sub.Blob]) > 0 {
		return true
	}
	delete(of, sub.Blob)
	if len(of) == 0 {
		delete(w.ids, sub.Account)
	}
	return false
}

// of lists the bytes that an account's submissions have.
func (w *waiting) of(account string) (digests []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := range w.ids[account] {
		digests = append(digests, d)
	}
	return digests
}

// readWaiting reads which submissions wait, once: all that come later pass
// through Submit. s.bytes is held for writing, so that none is on its way.
func (s *Service) readWaiting(ctx context.Context) error {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	if s.waiting.ids != nil {
		return nil
	}
	return s.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.DueSubmissions(time.Unix(math.MaxInt32, 0), math.MaxInt32)
		if err != nil {
			return err
		}
		s.waiting.ids = map[string]map[string]map[string]bool{}
		for _, sub := range list {
			s.waiting.put(sub)
		}
		return nil
	})
}

// dropBytes deletes what an ended submission, or one that did not come to be,
// would have sent, unless another one of the account waits to send the very
// same bytes. What that leaves, sweep finds.
func (s *Service) dropBytes(ctx context.Context, sub *store.Submission) {
	ctx = context.WithoutCancel(ctx)
	s.bytes.Lock()
	defer s.bytes.Unlock()
	err := s.readWaiting(ctx)
	if err == nil {
		err = s.store.View(ctx, func(tx store.Tx) error {
			now, err := tx.Submission(sub.ID)
			if err == nil && now.Waits() {
				return errors.New("the submission waits")
			}
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	if err == nil && !s.waiting.drop(sub) {
		err = s.store.Blobs().Delete(ctx, sub.Account, sub.Blob)
	}
	if err != nil {
		s.log.WarnContext(ctx, "bytes of an ended submission stay for now", "submission", sub.ID, "error", err)
	}
}

// sweep deletes bytes that no submission has.
func (s *Service) sweep(ctx context.Context) {
	deleted, err := 0, error(nil)
	for after, more := "", true; more && err == nil; {
		var accounts []*store.Account
		err = s.store.View(ctx, func(tx store.Tx) (err error) {
			accounts, err = tx.AccountsAfter(after, 500)
			return err
		})
		more = len(accounts) > 0
		for _, a := range accounts {
			n, retainErr := s.retain(ctx, a.ID)
			deleted += n
			after, err = a.ID, errors.Join(err, retainErr)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "bytes that no submission has stay for now", "error", err)
	}
	if deleted > 0 {
		s.log.InfoContext(ctx, "bytes that no submission has are deleted", "blobs", deleted)
	}
}

func (s *Service) retain(ctx context.Context, account string) (deleted int, err error) {
	s.bytes.Lock()
	defer s.bytes.Unlock()
	if err := s.readWaiting(ctx); err != nil {
		return 0, err
	}
	return s.store.Blobs().Retain(ctx, account, s.waiting.of(account))
}
