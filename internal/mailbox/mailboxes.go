package mailbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// mailboxesPerTx bounds how many mailboxes one transaction writes.
const mailboxesPerTx = 40

// syncMailboxes compares the provider's mailboxes with the mirror's: no
// message feed reports them. It gives the mirror's list afterwards, and the
// provider ids of those that the mirror leaves out.
func (s *Service) syncMailboxes(ctx context.Context, acct *store.Account, p provider.Provider) (list []*store.Mailbox, hidden map[string]bool, err error) {
	unlock, err := s.listing.lock(ctx, acct.ID)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	return s.listMailboxes(ctx, acct, p)
}

// listMailboxes is syncMailboxes for who holds the account's lock.
func (s *Service) listMailboxes(ctx context.Context, acct *store.Account, p provider.Provider) (list []*store.Mailbox, hidden map[string]bool, err error) {
	resp, err := p.Mailboxes(ctx, &provider.MailboxesRequest{Call: provider.Call{Account: acct.ID, Priority: provider.Delta}})
	if err != nil {
		return nil, nil, err
	}
	told, hidden := map[string]*mail.Mailbox{}, map[string]bool{}
	for i := range resp.Mailboxes {
		told[resp.Mailboxes[i].ID] = &resp.Mailboxes[i]
	}
	var shown []*mail.Mailbox
	var total int64
	for i := range resp.Mailboxes {
		t := &resp.Mailboxes[i]
		if skip(t, told) {
			hidden[t.ID] = true
			continue
		}
		shown = append(shown, t)
		total += max(t.Total, 0)
	}
	same, list, err := s.sameMailboxes(ctx, acct, told)
	if err != nil || same {
		return list, hidden, err
	}
	if len(told) == 0 {
		// Every account has an inbox. Taken at its word this would empty the
		// mirror, and tell everybody.
		return nil, nil, &mail.Error{Kind: mail.KindUnavailable, Op: "list mailboxes", Code: "bad_answer", Message: "the provider lists no mailbox at all"}
	}
	for _, m := range list {
		if told[m.ProviderID] == nil {
			if err := s.dropMailbox(ctx, acct, m); err != nil {
				return nil, nil, err
			}
		}
	}
	for chunk := range slices.Chunk(shown, mailboxesPerTx) {
		err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
			for _, t := range chunk {
				if err := s.putMailbox(tx, b, acct, t, told); err != nil {
					return err
				}
			}
			return s.firstProgress(tx, acct.ID, total)
		})
		if err != nil {
			return nil, nil, err
		}
	}
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = tx.MailboxesOf(acct.ID)
		return err
	})
	inboxFirst(list)
	return list, hidden, err
}

// sameMailboxes reports whether the mirror has just what the provider told,
// which is how almost every round finds it: then nothing is written.
func (s *Service) sameMailboxes(ctx context.Context, acct *store.Account, told map[string]*mail.Mailbox) (same bool, list []*store.Mailbox, err error) {
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = tx.MailboxesOf(acct.ID)
		return err
	})
	if err != nil || acct.SyncedAt.IsZero() {
		return false, list, err
	}
	want := 0
	for _, t := range told {
		if !skip(t, told) {
			want++
		}
	}
	same = want == len(list)
	for _, m := range list {
		t := told[m.ProviderID]
		same = same && t != nil && !skip(t, told) && *described(m, t, told) == *m
	}
	inboxFirst(list)
	return same, list, nil
}

// described is a mailbox of the mirror as the provider tells it now, but for
// its count.
func described(m *store.Mailbox, t *mail.Mailbox, told map[string]*mail.Mailbox) *store.Mailbox {
	next := *m
	next.Parent = ""
	if told[t.ParentID] != nil {
		next.Parent = ID(m.Account, t.ParentID)
	}
	next.ParentProviderID, next.Name, next.Role, next.Hidden = t.ParentID, t.Name, t.Role, t.Hidden
	if next.Kind = t.Kind; next.Kind == "" {
		next.Kind = mail.KindFolder
	}
	return &next
}

// skip: what waits to be sent is nobody's mail yet.
func skip(t *mail.Mailbox, told map[string]*mail.Mailbox) bool {
	for range told { // not further up than there are mailboxes
		if t == nil {
			break
		}
		if t.Role == mail.RoleOutbox {
			return true
		}
		t = told[t.ParentID]
	}
	return false
}

// firstProgress opens the first sync: from now on progress can be honest.
func (s *Service) firstProgress(tx store.Tx, account string, total int64) error {
	acct, err := tx.Account(account)
	if err != nil || !acct.SyncedAt.IsZero() {
		return err
	}
	acct.Total = total
	if acct.State == store.AccountConnecting {
		acct.State = store.AccountSyncing
	}
	return tx.PutAccount(acct)
}

// putMailbox writes one mailbox as the provider told it, and tells what is
// new about it.
func (s *Service) putMailbox(tx store.Tx, b *journal.Batch, acct *store.Account, t *mail.Mailbox, told map[string]*mail.Mailbox) error {
	id := ID(acct.ID, t.ID)
	old, err := tx.Mailbox(id)
	if errors.Is(err, store.ErrNotFound) {
		now := s.now()
		validity, err := uidValidity(tx, now)
		if err != nil {
			return err
		}
		m := described(&store.Mailbox{ID: id, Account: acct.ID, ProviderID: t.ID, ProviderTotal: t.Total,
			UIDValidity: validity, CreatedAt: now}, t, told)
		e := &event.Event{Type: event.MailboxCreated, Account: acct.ID, Mailbox: id, Backfill: acct.SyncedAt.IsZero()}
		if m.ModSeq, err = b.Add(e); err != nil {
			return err
		}
		return tx.PutMailbox(m)
	}
	if err != nil {
		return err
	}
	next := described(old, t, told)
	if *next != *old {
		if next.ModSeq, err = b.Add(&event.Event{Type: event.MailboxUpdated, Account: acct.ID, Mailbox: id}); err != nil {
			return err
		}
	} else if old.ProviderTotal == t.Total {
		return nil
	}
	next.ProviderTotal = t.Total
	return tx.PutMailbox(next)
}

// uidValidity is the creation time in seconds (RFC 9051, 2.3.1.1), or the next
// number that no mailbox had: names go from one mailbox to another.
func uidValidity(tx store.Tx, now time.Time) (uint32, error) {
	floor, err := tx.UIDValidityFloor()
	return max(uint32(max(now.Unix(), 1)), floor), err
}

// dropMailbox takes a mailbox that the provider no longer lists out of the
// mirror. Its messages leave it first; those in no other mailbox wait, as
// every absence does, until the other feeds have been asked.
func (s *Service) dropMailbox(ctx context.Context, acct *store.Account, m *store.Mailbox) error {
	asOf := s.now()
	for {
		empty := false
		err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
			keys, err := tx.MessagesIn(m.ID, store.DateKey{}, itemsPerTx(0))
			if err != nil {
				return err
			}
			a := s.applier(tx, b, acct, asOf)
			held := 0
			for _, k := range keys {
				msg, err := tx.Message(k.ID)
				if err != nil {
					return err
				}
				if len(msg.In) == 1 {
					held++
				}
				it := &mail.Item{Kind: mail.ItemAbsent, Mailbox: m.ProviderID, Message: mail.Message{ProviderID: msg.ProviderID}}
				if err := a.absent(it); err != nil {
					return err
				}
			}
			// Messages that are in this mailbox alone keep it until they are
			// settled; the round after that removes it.
			empty = len(keys) == 0
			if empty {
				tx.AfterCommit(func() { s.pauses.take(acct.ID, m.ProviderID) })
				if _, err := b.Add(&event.Event{Type: event.MailboxDeleted, Account: acct.ID, Mailbox: m.ID}); err != nil {
					return err
				}
				if err := tx.DeleteScope(acct.ID, m.ProviderID); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				return tx.DeleteMailbox(m.ID)
			}
			if held == len(keys) {
				if err := tx.DeleteScope(acct.ID, m.ProviderID); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				empty = true
				s.schedule.again(acct.ID)
			}
			return nil
		})
		if err != nil || empty {
			return err
		}
	}
}
