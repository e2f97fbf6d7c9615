package mailbox

import (
	"context"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// listed is what a listing told of one message.
type listed struct {
	id         string
	receivedAt time.Time
	mailboxes  []string
	keywords   []string
	fields     mail.Fields
}

// list compares the mirror with a full listing, for feeds that tell only
// changes: every mailbox is enumerated, then what is unknown or different is
// read newest first, then what was not listed is gone.
// next is the cursor that holds once it has ended.
func (f *feed) list(ctx context.Context, next mail.Cursor) error {
	f.seen = map[string]struct{}{}
	all, err := f.enumerate(ctx)
	if err != nil {
		return err
	}
	var want []*listed
	for chunk := range slices.Chunk(all, 500) {
		err := f.s.store.View(ctx, func(tx store.Tx) error {
			for _, l := range chunk {
				id := MessageID(f.acct.ID, l.id)
				f.seen[id] = struct{}{}
				m, err := tx.Message(id)
				if err != nil && err != store.ErrNotFound {
					return err
				}
				if err != nil || f.differs(m, l) {
					want = append(want, l)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(want, func(a, b *listed) int { return b.receivedAt.Compare(a.receivedAt) })
	ids := make([]string, len(want))
	for i, l := range want {
		ids[i] = l.id
	}
	return f.fetchAndCompare(ctx, ids, next)
}

// fetchAndCompare ends a listing: it reads what the mirror lacks, and then
// takes out what was not listed.
func (f *feed) fetchAndCompare(ctx context.Context, ids []string, next mail.Cursor) error {
	if err := f.fetchListed(ctx, ids, next); err != nil {
		return err
	}
	if err := f.missing(ctx, f.compared); err != nil {
		return err
	}
	f.state.Cursor, f.state.Complete, f.state.Comparing, f.state.Asked = next, true, false, f.compared
	return f.save(ctx)
}

func (f *feed) differs(m *store.Message, l *listed) bool {
	if l.fields&mail.FieldKeywords != 0 && !slices.Equal(normalKeywords(l.keywords), m.Keywords) {
		return true
	}
	return !slices.Equal(sortedSet(l.mailboxes), m.Mailboxes)
}

// enumerate lists all mailboxes; a message of several labels occurs once.
func (f *feed) enumerate(ctx context.Context) ([]*listed, error) {
	var mailboxes []*store.Mailbox
	err := f.s.store.View(ctx, func(tx store.Tx) (err error) {
		mailboxes, err = tx.MailboxesOf(f.acct.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	byID := map[string]*listed{}
	var all []*listed
	for _, m := range mailboxes {
		req := &provider.EnumerateRequest{Call: f.call(), Mailbox: m.ProviderID}
		var told int64
		bound := listBound(m)
		err := f.p.Enumerate(ctx, req, func(b *provider.EnumerateBatch) error {
			if told += int64(len(b.Messages)); told > bound {
				return &mail.Error{Kind: mail.KindUnavailable, Op: "list messages", Code: "bad_answer", Message: "the provider lists a mailbox without an end"}
			}
			for i := range b.Messages {
				told := &b.Messages[i]
				l := byID[told.ProviderID]
				if l == nil {
					l = &listed{id: told.ProviderID, receivedAt: told.ReceivedAt, keywords: told.Keywords, fields: b.Fields}
					byID[told.ProviderID] = l
					all = append(all, l)
				}
				l.mailboxes = append(l.mailboxes, m.ProviderID)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
