package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// A message that its provider tells of and never gives must not hold up the
// mailbox behind it. A failure holds its feed at first, for most pass: the batch
// comes again with the next round. What fails by itself in stubbornAfter rounds
// in a row, while other messages can be read, is noted with the feed's state,
// and the feed goes past it. It is tried again more and more seldom, and told as
// a new message once it can be read. Until then the account, the log and
// postern_messages_unreadable say so.

const (
	// stubbornAfter is how many rounds in a row a message fails before its feed
	// goes past it.
	stubbornAfter = 3
	// unreadableAgain is when it is tried again for the first time; each time in
	// vain doubles that, up to unreadableRest.
	unreadableAgain = 15 * time.Minute
	unreadableRest  = 6 * time.Hour
	// maxUnreadable is how many a feed goes past. Where there are more, it is
	// the provider's trouble and not theirs, and the feed waits.
	maxUnreadable = 50
)

// failure is a message that could not be read, by its provider's id.
type failure struct {
	id  string
	err error
}

// unreadables is what is known of messages that cannot be read.
type unreadables struct {
	mu sync.Mutex
	// inARow counts the rounds, by our id of the message.
	inARow map[string]int
	// of is what is to be said of accounts.
	of map[string]unreadableSum
}

type unreadableSum struct {
	n      int
	reason string
}

// failed notes that a message could not be read once more.
func (u *unreadables) failed(id string) (inARow int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.inARow == nil {
		u.inARow = map[string]int{}
	}
	u.inARow[id]++
	return u.inARow[id]
}

// passed forgets messages: they were read, or their feed has gone past them.
func (u *unreadables) passed(ids ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		delete(u.inARow, id)
	}
}

// note keeps what is to be said of an account, and gives how many more there are
// of all of them.
func (u *unreadables) note(account string, is unreadableSum) (more int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[string]unreadableSum{}
	}
	more = is.n - u.of[account].n
	if is.n == 0 {
		delete(u.of, account)
	} else {
		u.of[account] = is
	}
	return more
}

// words say it where the account's state is told; empty is nothing to say.
func (u *unreadables) words(account string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch is := u.of[account]; is.n {
	case 0:
		return ""
	case 1:
		return "a message cannot be read, and is tried again: " + is.reason
	default:
		return fmt.Sprintf("%d messages cannot be read, and are tried again: %s", is.n, is.reason)
	}
}

// noteUnreadable sums up what an account's feeds have gone past.
func (s *Service) noteUnreadable(account string, feeds []*feed) {
	var is unreadableSum
	for _, f := range feeds {
		if n := len(f.state.Unreadable); n > 0 {
			is.n += n
			is.reason = f.state.Unreadable[n-1].Reason
		}
	}
	s.metrics.unreadable.Add(float64(s.unreadable.note(account, is)))
}

// itsOwn reports whether an error may be one of a message alone.
func itsOwn(err error) bool {
	switch mail.KindOf(err) {
	case mail.KindThrottled, mail.KindUnauthorized, mail.KindGrantExpired, mail.KindMisconfigured:
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// goPast decides about messages that could not be read: an error holds the feed,
// without one it goes past them. others: some of those that were asked for with
// them were read.
func (f *feed) goPast(ctx context.Context, failed []failure, others, verify bool) error {
	if len(failed) == 0 {
		return nil
	}
	var all []error
	hold, unavailable := ctx.Err() != nil || !f.tracked && !verify, false
	var fresh []failure
	var again []failure
	for _, x := range failed {
		all = append(all, x.err)
		switch known := f.unreadable(x.id) >= 0; {
		case !itsOwn(x.err):
			hold = true
		case hold:
		case known:
			again = append(again, x)
		case f.s.unreadable.failed(MessageID(f.acct.ID, x.id)) < stubbornAfter:
			hold = true
		default:
			fresh = append(fresh, x)
			unavailable = unavailable || mail.KindOf(x.err) == mail.KindUnavailable
		}
	}
	err := errors.Join(all...)
	switch {
	case hold, len(f.state.Unreadable)+len(fresh) > maxUnreadable:
		return err
	case unavailable && !others && !f.control(ctx, failed):
		return err
	}
	if !f.tracked {
		// It is asked for again with the next round, which all else need not wait
		// for.
		f.s.log.WarnContext(ctx, "a message cannot be read", "account", f.acct.ID, "messages", len(failed), "error", err)
		return nil
	}
	return f.keepUnreadable(ctx, fresh, again)
}

// control reads a message that was read before: where that works, it is not the
// provider that stumbles.
func (f *feed) control(ctx context.Context, failed []failure) bool {
	var id string
	err := f.s.store.View(ctx, func(tx store.Tx) error {
		keys, err := tx.MessagesOf(f.acct.ID, store.DateKey{}, maxUnreadable+1)
		if err != nil {
			return err
		}
		for _, k := range keys {
			m, err := tx.Message(k.ID)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(failed, func(x failure) bool { return x.id == m.ProviderID }) && f.unreadable(m.ProviderID) < 0 {
				id = m.ProviderID
				return nil
			}
		}
		return nil
	})
	if err != nil || id == "" {
		return false
	}
	sink := &itemSink{}
	err = f.p.Fetch(ctx, &provider.FetchRequest{Call: f.call(), IDs: []string{id}, Mode: provider.FetchMetadata}, sink)
	return err == nil && len(sink.failed) == 0
}

// unreadable is where a message stands among those that the feed went past, -1
// for nowhere.
func (f *feed) unreadable(id string) int {
	return slices.IndexFunc(f.state.Unreadable, func(u store.Unreadable) bool { return u.Message == id })
}

// keepUnreadable notes messages that the feed goes past, and those that were
// tried again in vain.
func (f *feed) keepUnreadable(ctx context.Context, fresh, again []failure) error {
	list := slices.Clone(f.state.Unreadable)
	for _, x := range again {
		u := &list[f.unreadable(x.id)]
		u.Tries++
		u.Next, u.Reason = f.s.now().Add(min(unreadableAgain<<min(u.Tries, 10), unreadableRest)), words(x.err)
	}
	for _, x := range fresh {
		list = append(list, store.Unreadable{Message: x.id, Next: f.s.now().Add(unreadableAgain), Reason: words(x.err)})
	}
	if err := f.putUnreadable(ctx, list); err != nil {
		return err
	}
	for _, x := range fresh {
		f.s.unreadable.passed(MessageID(f.acct.ID, x.id))
		f.s.log.WarnContext(ctx, "a message cannot be read, its feed goes on without it", "account", f.acct.ID, "message", MessageID(f.acct.ID, x.id), "error", x.err)
	}
	return nil
}

// putUnreadable stores the list alone: the cursor that is being worked on holds
// only with its batch.
func (f *feed) putUnreadable(ctx context.Context, list []store.Unreadable) error {
	err := f.s.store.Update(ctx, func(tx store.Tx) error {
		st, err := tx.Scope(f.acct.ID, f.scope)
		if errors.Is(err, store.ErrNotFound) {
			st, err = &store.Scope{Account: f.acct.ID, Name: f.scope}, nil
		}
		if err != nil {
			return err
		}
		st.Unreadable = list
		return tx.PutScope(st)
	})
	if err == nil {
		f.state.Unreadable = list
	}
	return err
}

// wereRead forgets the trouble with messages that the provider gave, or knows
// nothing of any more.
func (f *feed) wereRead(ctx context.Context, sink *itemSink) error {
	ids := slices.Clone(sink.gone)
	for i := range sink.items {
		ids = append(ids, sink.items[i].Message.ProviderID)
	}
	ours := make([]string, len(ids))
	for i, id := range ids {
		ours[i] = MessageID(f.acct.ID, id)
	}
	f.s.unreadable.passed(ours...)
	left := slices.DeleteFunc(slices.Clone(f.state.Unreadable), func(u store.Unreadable) bool { return slices.Contains(ids, u.Message) })
	if len(left) == len(f.state.Unreadable) {
		return nil
	}
	return f.putUnreadable(ctx, left)
}

// retryUnreadable tries those again whose time has come.
func (f *feed) retryUnreadable(ctx context.Context) error {
	var due []string
	now := f.s.now()
	for _, u := range f.state.Unreadable {
		if u.Next.Sub(now) <= 0 || u.Next.Sub(now) > unreadableRest { // the clock was set back
			due = append(due, u.Message)
		}
	}
	if len(due) == 0 {
		return nil
	}
	f.late = true
	defer func() { f.late = false }()
	return f.fetch(ctx, due, false)
}
