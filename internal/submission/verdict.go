package submission

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// verdict is what became of a submission: it was sent, where both are nil.
type verdict struct {
	refused error // it has ended, and was not sent
	putOff  error // it is tried again later
}

// verdicts are those who wait for what becomes of submissions.
type verdicts struct {
	mu sync.Mutex
	of map[string][]*waiter
}

// waiter waits for one submission.
type waiter struct {
	all  *verdicts
	id   string
	told chan verdict
	// answers: it tells the sender, so that no report has to. claimed: a refusal
	// is being written down in the belief that it will.
	answers, claimed bool
}

// expect begins to wait; leave must be called.
func (v *verdicts) expect(id string, answers bool) *waiter {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.of == nil {
		v.of = map[string][]*waiter{}
	}
	w := &waiter{all: v, id: id, told: make(chan verdict, 1), answers: answers}
	v.of[id] = append(v.of[id], w)
	return w
}

// leave ends the waiting. It reports whether a verdict is under way that the
// waiter must take all the same: nobody else tells it.
func (w *waiter) leave() (stay bool) {
	v := w.all
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.claimed {
		return true
	}
	v.of[w.id] = slices.DeleteFunc(v.of[w.id], func(o *waiter) bool { return o == w })
	if len(v.of[w.id]) == 0 {
		delete(v.of, w.id)
	}
	return false
}

// claim binds those who wait to tell a refusal, and reports whether there is one
// who will. tell must follow.
func (v *verdicts) claim(id string) (told bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.of[id] {
		w.claimed = w.answers
		told = told || w.answers
	}
	return told
}

// tell tells all who wait.
func (v *verdicts) tell(id string, what verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.of[id] {
		w.claimed = false
		w.told <- what // has room: a waiter is told once
	}
	delete(v.of, id)
}

// await gives the verdict, or none (ok is false) when the time is up, or hurry
// closed.
func (w *waiter) await(ctx context.Context, wait time.Duration, hurry <-chan struct{}) (what verdict, ok bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case what = <-w.told:
		return what, true
	case <-timer.C:
	case <-hurry:
	case <-ctx.Done():
	}
	if w.leave() {
		return <-w.told, true
	}
	select {
	case what = <-w.told: // it came at the last moment
		return what, true
	default:
		return verdict{}, false
	}
}

// answer waits for the verdict on a submission that was stored, and gives what
// its sender is answered: the submission, or why there is none.
func (s *Service) answer(ctx context.Context, w *waiter, sub *store.Submission, l *Letter) (*store.Submission, error) {
	what, ok := w.await(ctx, l.Wait, l.Hurry)
	switch {
	case !ok:
		return sub, nil
	case what.refused != nil:
		return nil, what.refused
	case mail.KindOf(what.putOff) == mail.KindGrantExpired:
		// Nothing leaves until the owner has connected the account again, and the
		// mail program can tell its user so and keep the message.
		if _, err := s.Cancel(context.WithoutCancel(ctx), sub.ID); err == nil {
			return nil, what.putOff
		}
	}
	return sub, nil
}
