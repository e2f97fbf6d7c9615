package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// A round asks once for every mailbox, and a provider grants so many requests
// in so much time. Hints come with every message: they are answered by a glance
// at the inbox, where mail arrives, and by rounds that keep a distance which
// grows with the number of mailboxes.
const (
	roundPerMailbox = 200 * time.Millisecond
	minRoundGap     = 2 * time.Second
	maxRoundGap     = time.Minute
)

func roundGap(mailboxes int) time.Duration {
	return min(maxRoundGap, max(minRoundGap, time.Duration(mailboxes)*roundPerMailbox))
}

// attend does what an account is due for: a round, or after a hint a glance and
// then the round, which waits where the last one was just now. It gives how
// long; 0 where the round was made.
func (s *Service) attend(ctx context.Context, t *taken) (wait time.Duration, err error) {
	if t.byHint {
		gap, err := s.glance(ctx, t.account)
		if err != nil {
			return 0, fmt.Errorf("look into the inbox: %w", err)
		}
		if wait := t.wholeAt.Add(gap).Sub(s.now()); gap > 0 && wait > 0 {
			return wait, nil
		}
	}
	began := s.now()
	if err := s.Round(ctx, t.account); err != nil {
		return 0, err
	}
	t.wholeAt = began
	return 0, nil
}

// glance reads the inbox's feed, and gives how long a round may wait after the
// one before it. 0: there is nothing to glance at, and the round tells why.
func (s *Service) glance(ctx context.Context, account string) (gap time.Duration, err error) {
	acct, err := s.account(ctx, account)
	if err != nil || acct.SyncedAt.IsZero() || acct.State != store.AccountReady || acct.Paused || s.hold() != nil {
		return 0, err
	}
	p, info, err := s.plug(acct)
	if err != nil || info.Scope != mail.ScopeMailbox {
		return 0, err
	}
	var mailboxes []*store.Mailbox
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		mailboxes, err = tx.MailboxesOf(account)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, m := range mailboxes {
		if m.Role != mail.RoleInbox {
			continue
		}
		f := &feed{s: s, acct: acct, p: p, info: info, scope: m.ProviderID, turn: s.turn(), tracked: true}
		err := f.read(ctx)
		if errors.Is(err, errTurnOver) {
			return 0, err
		}
		switch mail.KindOf(err) {
		case "":
			return roundGap(len(mailboxes)), nil
		case mail.KindNotFound, mail.KindForbidden, mail.KindInvalid, mail.KindConflict, mail.KindTooLarge:
			return 0, nil // the inbox's own trouble, which a round knows to tell
		default:
			return 0, err
		}
	}
	return 0, nil
}
