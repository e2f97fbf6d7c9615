package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// A store that comes from a backup knows nothing of what happened since. The
// mailboxes are at the providers and can be asked; what was told and sent in
// the meantime cannot. So, before the store is used:
//
//   - it begins a new epoch, in which cursors of before are refused, and the
//     sequences of all accounts leap ahead (store/table/epoch.go);
//   - every mailbox gets a higher UIDVALIDITY, since UIDs that were given
//     since will be given again to other messages (RFC 9051, 2.3.1.1);
//   - every feed's cursor is dropped, so that the next round compares
//     everything and tells exactly the differences;
//   - push channels are forgotten and made anew;
//   - submissions that may have been sent since are asked about, and are never
//     sent again on the backup's word (submission.Restored);
//   - those that are to be sent at a time that is yet to come may have been
//     cancelled since, which nobody can tell: they are named, and cancelled
//     where that is asked for.
//
// Deliveries that the backup owes are made, maybe for a second time: under the
// ids that they had.

// Restored says what a restore has done.
type Restored struct {
	bolt.Restored
	// Scheduled are the messages that the backup would still send at a time that
	// is yet to come, the earliest first.
	Scheduled []Scheduled
}

// Scheduled is a message that is to be sent later.
type Scheduled struct {
	ID, Account string
	SendAt      time.Time
	Recipients  int
}

// RestoreOptions say how a store is made from a backup.
type RestoreOptions struct {
	// Force keeps aside what is in the data folder.
	Force bool
	// CancelScheduled cancels what the backup would send at a time that is yet
	// to come.
	CancelScheduled bool
}

// Restore makes the data folder's store from a backup.
func Restore(ctx context.Context, cfg *config.Config, lookupEnv func(string) (string, bool), log *slog.Logger, version string, r io.Reader, opts RestoreOptions) (done Restored, err error) {
	keys, err := Keyring(ctx, cfg, lookupEnv)
	if err != nil {
		return done, err
	}
	done.Restored, err = bolt.Restore(ctx, bolt.Options{Path: cfg.DataDir, Keyring: keys, Log: log, Version: version}, r, opts.Force,
		func(ctx context.Context, s *bolt.Store) (err error) {
			done.Scheduled, err = settle(ctx, s, time.Now(), opts.CancelScheduled)
			return err
		})
	return done, err
}

// settle adapts a restored store to a world that has moved on.
func settle(ctx context.Context, s store.Store, now time.Time, cancel bool) ([]Scheduled, error) {
	scheduled, err := settleSubmissions(ctx, s, now, cancel)
	if err != nil {
		return nil, fmt.Errorf("settle submissions: %w", err)
	}
	for after, more := "", true; more; {
		var ids []string
		err := s.View(ctx, func(tx store.Tx) error {
			list, err := tx.AccountsAfter(after, 500)
			ids = ids[:0]
			for _, a := range list {
				ids = append(ids, a.ID)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if err := settleAccount(ctx, s, id, now); err != nil {
				return nil, fmt.Errorf("settle account %s: %w", id, err)
			}
			after = id
		}
		more = len(ids) > 0
	}
	return scheduled, nil
}

// settleStep is how many mailboxes or feeds one transaction changes.
const settleStep = 300

func settleAccount(ctx context.Context, s store.Store, account string, now time.Time) error {
	var boxes []*store.Mailbox
	var scopes []*store.Scope
	err := s.Update(ctx, func(tx store.Tx) error {
		a, err := tx.Account(account)
		if err != nil {
			return err
		}
		a.Watch = store.Watch{}
		if err := tx.PutAccount(a); err != nil {
			return err
		}
		if boxes, err = tx.MailboxesOf(account); err != nil {
			return err
		}
		scopes, err = tx.Scopes(account)
		return err
	})
	if err != nil {
		return err
	}
	for first := 0; first < max(len(boxes), len(scopes)); first += settleStep {
		err := s.Update(ctx, func(tx store.Tx) error {
			for _, m := range boxes[min(first, len(boxes)):min(first+settleStep, len(boxes))] {
				// Mailboxes get the time as theirs when they are new, too, so that
				// a second restore of the same backup raises it again; and no two
				// get the same.
				floor, err := tx.UIDValidityFloor()
				if err != nil {
					return err
				}
				m.UIDValidity = max(m.UIDValidity+1, uint32(now.Unix()), floor)
				if err := tx.PutMailbox(m); err != nil {
					return err
				}
			}
			for _, sc := range scopes[min(first, len(scopes)):min(first+settleStep, len(scopes))] {
				// One whose first telling was under way tells it all anyway.
				sc.Cursor, sc.Comparing = nil, true
				if err := tx.PutScope(sc); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settleSubmissions looks at each that has not ended, and gives those that are
// to be sent at a time that is yet to come, cancelled where cancel says so.
func settleSubmissions(ctx context.Context, s store.Store, now time.Time, cancel bool) ([]Scheduled, error) {
	seen := map[string]bool{}
	var scheduled []Scheduled
	for {
		done := true
		err := s.Update(ctx, func(tx store.Tx) error {
			list, err := tx.DueSubmissions(time.Unix(math.MaxInt32, 0), len(seen)+settleStep)
			if err != nil {
				return err
			}
			done = true
			var fresh []string
			var later []Scheduled
			for _, sub := range list {
				if seen[sub.ID] {
					continue
				}
				done = false
				fresh = append(fresh, sub.ID)
				changed := submission.Restored(sub, now)
				if sub.State == store.SubmissionScheduled {
					later = append(later, Scheduled{ID: sub.ID, Account: sub.Account, SendAt: sub.SendAt, Recipients: len(sub.Recipients)})
					if cancel {
						sub.State, sub.DoneAt, changed = store.SubmissionCancelled, now, true
					}
				}
				if changed {
					if err := tx.PutSubmission(sub); err != nil {
						return err
					}
				}
			}
			tx.AfterCommit(func() {
				for _, id := range fresh {
					seen[id] = true
				}
				scheduled = append(scheduled, later...)
			})
			return nil
		})
		if err != nil || done {
			slices.SortFunc(scheduled, func(x, y Scheduled) int { return x.SendAt.Compare(y.SendAt) })
			return scheduled, err
		}
	}
}
