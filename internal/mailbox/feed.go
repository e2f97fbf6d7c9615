package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// itemsPerTx keeps a transaction far below store.MaxRecords: a message writes
// about eight records.
const itemsPerTx = 100

// feed reads one change feed of an account.
type feed struct {
	s    *Service
	acct *store.Account
	p    provider.Provider
	info *provider.Info
	// scope is the mailbox's provider id, empty for account scope.
	scope string
	state store.Scope
	// seen are the messages that a comparison was told of.
	seen map[string]struct{}
	// refetch are provider ids of messages that need to be read again.
	refetch map[string]struct{}
}

// read asks the feed for everything since its cursor and applies it. A cursor
// that the provider no longer knows leads to a full comparison.
func (f *feed) read(ctx context.Context) error {
	err := f.load(ctx)
	if err != nil {
		return err
	}
	err = f.ask(ctx)
	if mail.KindOf(err) == mail.KindCursorExpired {
		f.s.log.WarnContext(ctx, "change cursor expired, comparing everything", "account", f.acct.ID, "scope", f.scope)
		f.s.metrics.comparisons.Inc()
		f.state.Comparing, f.state.Cursor = true, nil
		if err = f.save(ctx); err == nil {
			err = f.ask(ctx)
		}
	}
	if err != nil {
		return err
	}
	return f.refetchAll(ctx)
}

func (f *feed) load(ctx context.Context) error {
	f.refetch = map[string]struct{}{}
	return f.s.store.View(ctx, func(tx store.Tx) error {
		st, err := tx.Scope(f.acct.ID, f.scope)
		if errors.Is(err, store.ErrNotFound) {
			f.state = store.Scope{Account: f.acct.ID, Name: f.scope}
			return nil
		}
		if err == nil {
			f.state = *st
		}
		return err
	})
}

func (f *feed) save(ctx context.Context) error {
	return f.s.store.Update(ctx, func(tx store.Tx) error { return tx.PutScope(&f.state) })
}

func (f *feed) ask(ctx context.Context) error {
	begun := f.s.now()
	starting := len(f.state.Cursor) == 0
	if f.state.Comparing {
		// A comparison that was interrupted begins anew: what it had been told
		// is not known any more.
		f.state.Cursor, f.seen, starting = nil, map[string]struct{}{}, true
	}
	done := false
	req := &provider.ChangesRequest{Call: f.call(), Mailbox: f.scope, Cursor: f.state.Cursor}
	err := f.p.Changes(ctx, req, func(b *mail.Batch) error {
		if done {
			return mail.Errorf(mail.KindInternal, "read changes", "the feed went on after its end")
		}
		done = b.Done
		if starting && !f.info.FeedEnumerates {
			// Only the place from which changes will be told: everything that
			// is there is listed next, and what changes meanwhile is told then.
			f.state.Cursor = b.Next
			return f.list(ctx, begun)
		}
		return f.batch(ctx, b, begun)
	})
	if err != nil {
		return err
	}
	if !done {
		return mail.Errorf(mail.KindUnavailable, "read changes", "the feed ended without its last batch")
	}
	return nil
}

func (f *feed) call() provider.Call {
	pr := provider.Delta
	if !f.state.Complete {
		pr = provider.Backfill
	}
	return provider.Call{Account: f.acct.ID, Priority: pr}
}

// batch applies one batch; the cursor moves in the transaction of its last
// items.
func (f *feed) batch(ctx context.Context, b *mail.Batch, begun time.Time) error {
	asOf := b.AsOf
	if asOf.IsZero() || asOf.After(f.s.now()) {
		asOf = begun
	}
	items := b.Items
	for i := range items {
		if items[i].Mailbox == "" {
			items[i].Mailbox = f.scope
		}
		if f.seen != nil && items[i].Kind == mail.ItemPresent {
			f.seen[MessageID(f.acct.ID, items[i].Message.ProviderID)] = struct{}{}
		}
	}
	for chunk := range slices.Chunk(items, itemsPerTx) {
		if err := f.apply(ctx, chunk, asOf, nil); err != nil {
			return err
		}
	}
	if b.Done && f.state.Comparing {
		if err := f.missing(ctx, begun); err != nil {
			return err
		}
	}
	quiet := len(items) == 0 && b.Done && f.state.Complete && !f.state.Comparing && begun.Sub(f.state.Asked) < quietSave
	next := f.state
	next.Cursor = b.Next
	if b.Done {
		next.Complete, next.Comparing, next.Asked = true, false, begun
	}
	if next.Comparing {
		next.Cursor = nil
	}
	f.state = next
	if quiet {
		// Nothing happened: the cursor on the disk is as good for a while, and
		// an idle account costs no write.
		return nil
	}
	return f.save(ctx)
}

// quietSave is how old a stored cursor may get while nothing happens.
const quietSave = 10 * time.Minute

// apply applies items in one transaction.
func (f *feed) apply(ctx context.Context, items []mail.Item, asOf time.Time, also func(store.Tx) error) error {
	refetch := map[string]struct{}{}
	var arrivedAt []time.Time
	bodies, content := f.bringAhead(ctx, items)
	f.s.ahead.put(content)
	defer f.s.ahead.drop(content)
	err := f.s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		a := newApplier(tx, b, f.acct, asOf)
		a.first, a.bodies = !f.state.Complete, bodies
		for i := range items {
			if err := a.apply(&items[i]); err != nil {
				return fmt.Errorf("apply change of message: %w", err)
			}
		}
		refetch, arrivedAt = a.refetch, a.arrivedAt
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		return f.progress(tx)
	})
	if err != nil {
		return err
	}
	f.s.metrics.items.Add(float64(len(items)))
	for _, at := range arrivedAt {
		f.s.metrics.lag.Observe(max(0, f.s.now().Sub(at).Seconds()))
	}
	maps.Copy(f.refetch, refetch)
	return nil
}

// progress keeps the first sync's count honest.
func (f *feed) progress(tx store.Tx) error {
	if !f.acct.SyncedAt.IsZero() {
		return nil
	}
	acct, err := tx.Account(f.acct.ID)
	if err != nil {
		return err
	}
	n, err := tx.CountMessages(acct.ID)
	if err != nil {
		return err
	}
	acct.Done = n
	acct.Total = max(acct.Total, n)
	return tx.PutAccount(acct)
}

// missing takes out of the scope what a comparison was not told of.
func (f *feed) missing(ctx context.Context, begun time.Time) error {
	var items []mail.Item
	err := f.each(ctx, func(m *store.Message) {
		if _, told := f.seen[m.ID]; told || m.PlacedAt.After(begun) {
			return
		}
		kind := mail.ItemGone
		if f.info.Scope == mail.ScopeMailbox {
			kind = mail.ItemAbsent
		}
		items = append(items, mail.Item{Kind: kind, Mailbox: f.scope, Message: mail.Message{ProviderID: m.ProviderID}})
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(items, itemsPerTx) {
		if err := f.apply(ctx, chunk, begun, nil); err != nil {
			return err
		}
	}
	return nil
}

// each visits every message of the scope in short transactions.
func (f *feed) each(ctx context.Context, visit func(*store.Message)) error {
	var after store.DateKey
	for {
		n := 0
		err := f.s.store.View(ctx, func(tx store.Tx) error {
			var keys []store.DateKey
			var err error
			if f.info.Scope == mail.ScopeMailbox {
				keys, err = tx.MessagesIn(ID(f.acct.ID, f.scope), after, 500)
			} else {
				keys, err = tx.MessagesOf(f.acct.ID, after, 500)
			}
			if err != nil {
				return err
			}
			for _, k := range keys {
				m, err := tx.Message(k.ID)
				if err != nil {
					return err
				}
				visit(m)
				after = k
			}
			n = len(keys)
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// refetchAll reads again what was told in parts of messages that the mirror
// lacks, or by answers older than our own writes.
func (f *feed) refetchAll(ctx context.Context) error {
	if len(f.refetch) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(f.refetch))
	f.refetch = map[string]struct{}{}
	return f.fetch(ctx, ids, false)
}

// fetch reads metadata and applies it. With verify, a message that the
// provider does not know any more is gone; otherwise a feed will tell.
func (f *feed) fetch(ctx context.Context, ids []string, verify bool) error {
	size := f.info.Limits.FetchBatch
	if size <= 0 || size > itemsPerTx {
		size = itemsPerTx
	}
	for chunk := range slices.Chunk(ids, size) {
		asOf := f.s.now()
		sink := &itemSink{}
		req := &provider.FetchRequest{Call: f.call(), IDs: chunk, Mode: provider.FetchMetadata}
		if err := f.p.Fetch(ctx, req, sink); err != nil {
			return err
		}
		items := sink.items
		if verify {
			for _, id := range sink.gone {
				items = append(items, mail.Item{Kind: mail.ItemGone, Message: mail.Message{ProviderID: id}})
			}
			items = f.nowhere(ctx, items)
		}
		if err := f.apply(ctx, items, asOf, nil); err != nil {
			return err
		}
		if sink.err != nil {
			return sink.err
		}
	}
	return nil
}

// nowhere turns messages that the provider still has, but in no mailbox of
// the mirror (a purged message that it keeps for recovery), into gone ones.
func (f *feed) nowhere(ctx context.Context, items []mail.Item) []mail.Item {
	known := map[string]bool{}
	_ = f.s.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(f.acct.ID)
		for _, m := range list {
			known[m.ProviderID] = true
		}
		return err
	})
	for i := range items {
		it := &items[i]
		if it.Kind == mail.ItemPresent && !slices.ContainsFunc(it.Message.Mailboxes, func(id string) bool { return known[id] }) {
			it.Kind = mail.ItemGone
		}
	}
	return items
}

// itemSink collects fetched metadata as full items.
type itemSink struct {
	items []mail.Item
	gone  []string
	err   error
}

const allFields = mail.FieldEnvelope | mail.FieldKeywords | mail.FieldMailboxes

func (k *itemSink) Message(m *mail.Message) error {
	k.items = append(k.items, mail.Item{Kind: mail.ItemPresent, Fields: allFields, Message: *m})
	return nil
}

func (k *itemSink) Failed(id string, err error) error {
	if mail.KindOf(err) == mail.KindNotFound {
		k.gone = append(k.gone, id)
		return nil
	}
	k.err = errors.Join(k.err, err)
	return nil
}

func (k *itemSink) Raw(string, string, io.Reader) error {
	return mail.Errorf(mail.KindInternal, "fetch metadata", "the provider answered with raw bytes")
}
