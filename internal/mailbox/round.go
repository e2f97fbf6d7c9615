package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Round brings the mirror of one account up to date: the list of mailboxes,
// every change feed, then what only all of them together can tell. It is what
// push, poll, reconnect and an explicit wish all end in. One round of an
// account runs at a time; the scheduler sees to it. A round whose feeds have
// more to tell than fits its turn ends with errTurnOver, and what only all of
// them can tell waits for the round that came to the end of each.
func (s *Service) Round(ctx context.Context, account string) error {
	begun := s.now()
	acct, err := s.account(ctx, account)
	if err != nil {
		return err
	}
	switch {
	case acct.Paused, acct.State == store.AccountPaused, acct.State == store.AccountGrantExpired:
		return nil
	}
	if err := s.hold(); err != nil {
		return err
	}
	p, info, err := s.plug(acct)
	if err != nil {
		return err
	}
	mailboxes, hidden, err := s.syncMailboxes(ctx, acct, p)
	if err != nil {
		return fmt.Errorf("list mailboxes: %w", err)
	}
	if acct, err = s.account(ctx, account); err != nil {
		return err
	}
	turn := s.turn()
	asked, err := s.readFeeds(ctx, acct, p, info, mailboxes, turn)
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	s.grants.GrantWorks(ctx, acct.Provider, acct.ID)
	if turn.left.Load() {
		s.metrics.turns.Inc()
		return errTurnOver
	}
	if err := s.settleAbsences(ctx, acct, p, info, hidden, asked); err != nil {
		return fmt.Errorf("settle absences: %w", err)
	}
	if err := s.giveUIDs(ctx, mailboxes); err != nil {
		return fmt.Errorf("give uids: %w", err)
	}
	if err := s.finishRound(ctx, account, begun); err != nil {
		return err
	}
	s.metrics.rounds.Observe(s.now().Sub(begun).Seconds())
	if s.fills(ctx, acct) {
		s.fill.touch(account)
	}
	return nil
}

// errHeld is in the chain of the error of a round that was not to be.
var errHeld = errors.New("pulling rests")

// hold says why nothing is to be pulled. It ends a round between two batches as
// well: the cursors stay where they are, and go on from there.
func (s *Service) hold() error {
	if s.opts.Hold == nil {
		return nil
	}
	err := s.opts.Hold()
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errHeld, err)
}

// readFeeds asks every scope, the inbox first, and gives the time after which
// all of them were asked. A scope that fails for itself (a folder that may not
// be read) does not keep the others back; what concerns the whole account ends
// the round.
func (s *Service) readFeeds(ctx context.Context, acct *store.Account, p provider.Provider, info *provider.Info, mailboxes []*store.Mailbox, turn *turn) (asked time.Time, err error) {
	asked = s.now()
	scopes := []string{""}
	if info.Scope == mail.ScopeMailbox {
		scopes = scopes[:0]
		for _, m := range mailboxes {
			scopes = append(scopes, m.ProviderID)
		}
	}
	var g errgroup.Group
	g.SetLimit(s.opts.Feeds)
	feeds := make([]*feed, 0, len(scopes))
	for _, name := range scopes {
		f := &feed{s: s, acct: acct, p: p, info: info, scope: name, turn: turn, tracked: true}
		feeds = append(feeds, f)
		g.Go(func() error {
			err := guard.Do(ctx, s.log, "read a feed", func() error { return f.read(ctx) }, "account", acct.ID)
			if errors.Is(err, errTurnOver) {
				return nil // the turn knows
			}
			if err == nil || name == "" {
				return err
			}
			switch mail.KindOf(err) {
			case mail.KindNotFound:
				// The mailbox went away since it was listed. The next round will
				// not list it, and then its messages are missing.
				s.schedule.again(acct.ID)
				return nil
			case mail.KindForbidden, mail.KindInvalid, mail.KindConflict, mail.KindTooLarge:
				s.metrics.failures.WithLabelValues(string(mail.KindOf(err))).Inc()
				s.log.WarnContext(ctx, "a mailbox cannot be read", "account", acct.ID, "mailbox", ID(acct.ID, name), "error", err)
				return nil
			}
			return err
		})
	}
	err = g.Wait()
	s.noteUnreadable(acct.ID, feeds)
	return asked, err
}

// settleAbsences ends the waiting of messages that were in no mailbox any
// more, once every feed was asked after they went missing. The provider has
// the last word: only a message that it does not know is told deleted.
func (s *Service) settleAbsences(ctx context.Context, acct *store.Account, p provider.Provider, info *provider.Info, hidden map[string]bool, asked time.Time) error {
	var due, orphans []string
	since := map[string]time.Time{}
	perTx := 1
	err := s.store.View(ctx, func(tx store.Tx) error {
		endpoints, err := tx.Endpoints()
		if err != nil {
			return err
		}
		perTx = itemsPerTx(len(endpoints))
		absences, err := tx.Absences(acct.ID, store.MaxRecords)
		if err != nil {
			return err
		}
		due, orphans = due[:0], orphans[:0]
		clear(since)
		for _, ab := range absences {
			if !ab.Since.Before(asked) && !ab.Since.After(s.now()) { // unless the clock was set back
				continue
			}
			m, err := tx.Message(ab.Message)
			if errors.Is(err, store.ErrNotFound) {
				orphans = append(orphans, ab.Message)
				continue
			}
			if err != nil {
				return err
			}
			due = append(due, m.ProviderID)
			since[m.ID] = ab.Since
		}
		if len(absences) > len(due)+len(orphans) {
			s.schedule.again(acct.ID)
		}
		return nil
	})
	if err == nil && len(orphans) > 0 {
		err = s.store.Update(ctx, func(tx store.Tx) error {
			for _, id := range orphans {
				if err := tx.DeleteAbsence(acct.ID, id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil || len(due) == 0 {
		return err
	}
	f := &feed{s: s, acct: acct, p: p, info: info, refetch: map[string]struct{}{}, hidden: hidden, perTx: perTx, since: since}
	f.state.Complete = true
	return f.fetch(ctx, due, true)
}

// giveUIDs numbers the messages of mailboxes whose list is complete.
func (s *Service) giveUIDs(ctx context.Context, mailboxes []*store.Mailbox) error {
	for _, m := range mailboxes {
		for more := !m.UIDListed; more; {
			err := s.store.Update(ctx, func(tx store.Tx) (err error) {
				more, err = tx.GiveUIDs(m.ID, 200)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// finishRound notes that the account is in step, and tells so the first time.
func (s *Service) finishRound(ctx context.Context, account string, begun time.Time) error {
	reason := s.unreadable.words(account)
	if acct, err := s.account(ctx, account); err != nil || (acct.State == store.AccountReady && acct.StateReason == reason && begun.Sub(acct.LastSyncAt).Abs() < time.Minute) {
		return err // nothing to tell, and the time is near enough
	}
	return s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		acct, err := tx.Account(account)
		if err != nil {
			return err
		}
		acct.LastSyncAt = s.now()
		switch acct.State {
		case store.AccountConnecting, store.AccountSyncing, store.AccountError, store.AccountReady:
			acct.State, acct.StateReason = store.AccountReady, reason
		}
		if acct.SyncedAt.IsZero() {
			acct.SyncedAt = s.now()
			n, err := tx.CountMessages(account)
			if err != nil {
				return err
			}
			acct.Done, acct.Total = n, n
			if _, err := b.Add(&event.Event{Type: event.AccountSynced, Account: account}); err != nil {
				return err
			}
		}
		return tx.PutAccount(acct)
	})
}

// inboxFirst orders mailboxes by how much somebody waits for them.
func inboxFirst(mailboxes []*store.Mailbox) {
	rank := func(m *store.Mailbox) int {
		switch m.Role {
		case mail.RoleInbox:
			return 0
		case mail.RoleSent:
			return 1
		case mail.RoleNone, mail.RoleDrafts:
			return 2
		case mail.RoleTrash, mail.RoleJunk:
			return 4
		}
		return 3
	}
	slices.SortStableFunc(mailboxes, func(a, b *store.Mailbox) int { return rank(a) - rank(b) })
}
