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

// A new message writes about a dozen records, and about eight for each endpoint
// that is owed its event.
const (
	recordsPerMessage  = 12
	recordsPerDelivery = 8
	maxItemsPerTx      = 80
)

// itemsPerTx is how many messages one transaction takes to stay near
// store.MaxRecords.
func itemsPerTx(endpoints int) int {
	return min(maxItemsPerTx, max(1, store.MaxRecords/(recordsPerMessage+recordsPerDelivery*endpoints)))
}

// feed reads one change feed of an account.
type feed struct {
	s    *Service
	acct *store.Account
	p    provider.Provider
	info *provider.Info
	// scope is the mailbox's provider id, empty for account scope.
	scope string
	state store.Scope
	// seen are the messages that a comparison was told of, which began at
	// compared.
	seen     map[string]struct{}
	compared time.Time
	// turn ends the reading where there is more than it has time for, and
	// stopped is set then; nil never does.
	turn    *turn
	stopped bool
	// refetch are provider ids of messages that need to be read again.
	refetch map[string]struct{}
	// perTx is how many items one transaction takes.
	perTx int
	// hidden are provider ids of mailboxes that the mirror leaves out.
	hidden map[string]bool
	// since is when doubts began that are being settled, by our ids.
	since map[string]time.Time
	// tracked: state is the feed's own, as it is stored.
	tracked bool
	// late: what is read was told long before, and counts from then.
	late bool
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
	if err == nil {
		err = f.retryUnreadable(ctx)
	}
	return err
}

func (f *feed) load(ctx context.Context) error {
	f.refetch = map[string]struct{}{}
	return f.s.store.View(ctx, func(tx store.Tx) error {
		endpoints, err := tx.Endpoints()
		if err != nil {
			return err
		}
		f.perTx = itemsPerTx(len(endpoints))
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
	paused := f.resume()
	if paused != nil && paused.listing {
		return f.fetchAndCompare(ctx, paused.want, paused.next)
	}
	starting := len(f.state.Cursor) == 0
	if f.state.Comparing && paused == nil {
		// A comparison that was interrupted begins anew: what it had been told
		// is not known any more.
		f.state.Cursor, f.seen, f.compared, starting = nil, map[string]struct{}{}, begun, true
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
			f.compared = begun
			return f.list(ctx, b.Next)
		}
		if err := f.batch(ctx, b, begun); err != nil || done {
			return err
		}
		if f.turn.over() {
			return f.stop(b.Next)
		}
		return nil
	})
	if f.stopped {
		return errTurnOver // whatever a provider makes of it
	}
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

// batch applies one batch and reads again what it told too little of; only then
// the cursor moves, so that a failure or a crash repeats what changes nothing.
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
	for chunk := range slices.Chunk(items, f.perTx) {
		if err := f.apply(ctx, chunk, asOf); err != nil {
			return err
		}
	}
	if err := f.refetchAll(ctx); err != nil {
		return err
	}
	if b.Done && f.state.Comparing {
		if err := f.missing(ctx, f.compared); err != nil {
			return err
		}
	}
	quiet := len(items) == 0 && b.Done && f.state.Complete && !f.state.Comparing && begun.Sub(f.state.Asked).Abs() < quietSave
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

// apply applies what the feed told, in one transaction.
func (f *feed) apply(ctx context.Context, items []mail.Item, asOf time.Time) error {
	return f.applyAs(ctx, items, asOf, false)
}

// applyAs applies items in one transaction; direct ones are what the messages
// themselves said.
func (f *feed) applyAs(ctx context.Context, items []mail.Item, asOf time.Time, direct bool) error {
	if err := f.s.hold(); err != nil {
		return err
	}
	refetch := map[string]struct{}{}
	var arrivedAt []time.Time
	var dropped, removed []string
	bodies, content := f.bringAhead(ctx, items)
	f.s.ahead.put(content)
	defer f.s.ahead.drop(content)
	err := f.s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		a := f.s.applier(tx, b, f.acct, asOf)
		a.first, a.bodies, a.purges, a.direct, a.started = f.first() || f.late, bodies, &f.s.purges, direct, f.s.started
		a.since, a.listed = f.since, f.seen != nil || !f.state.Complete
		for i := range items {
			if err := a.apply(&items[i]); err != nil {
				return fmt.Errorf("apply change of message: %w", err)
			}
		}
		refetch, arrivedAt, dropped, removed = a.refetch, a.arrivedAt, a.dropped, a.removed
		return f.progress(tx)
	})
	if err != nil {
		return err
	}
	f.s.metrics.items.Add(float64(len(items)))
	f.s.dropBodies(ctx, f.acct.ID, dropped)
	for _, id := range removed {
		f.s.purges.note(id, asOf)
	}
	for _, at := range arrivedAt {
		f.s.metrics.lag.Observe(max(0, f.s.now().Sub(at).Seconds()))
	}
	maps.Copy(f.refetch, refetch)
	return nil
}

// first reports whether the feed tells what was there before the account was
// connected. A mailbox that is made later has no such past.
func (f *feed) first() bool { return !f.state.Complete && f.acct.SyncedAt.IsZero() }

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

// missing holds back what a comparison was not told of: it left the scope, or
// moved while the comparison went on. settleAbsences asks the provider.
func (f *feed) missing(ctx context.Context, begun time.Time) error {
	var after store.DateKey
	for more := true; more; {
		var gone []mail.Item
		err := f.s.store.View(ctx, func(tx store.Tx) (err error) {
			gone, after, more, err = f.unseen(tx, after, begun)
			return err
		})
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(gone, f.perTx) {
			if err := f.apply(ctx, chunk, begun); err != nil {
				return err
			}
		}
	}
	return nil
}

// unseen gives the messages on one page of the scope that were not told, as
// absent from it.
func (f *feed) unseen(tx store.Tx, after store.DateKey, begun time.Time) (gone []mail.Item, next store.DateKey, more bool, err error) {
	var keys []store.DateKey
	if f.info.Scope == mail.ScopeMailbox {
		keys, err = tx.MessagesIn(ID(f.acct.ID, f.scope), after, 200)
	} else {
		keys, err = tx.MessagesOf(f.acct.ID, after, 200)
	}
	for _, k := range keys {
		m, err := tx.Message(k.ID)
		if err != nil {
			return nil, after, false, err
		}
		after = k
		if _, told := f.seen[m.ID]; told || m.PlacedAt.After(begun) && !m.PlacedAt.After(f.s.now()) {
			continue
		}
		gone = append(gone, mail.Item{Kind: mail.ItemAbsent, Mailbox: f.scope, Message: mail.Message{ProviderID: m.ProviderID}})
	}
	return gone, after, len(keys) > 0, err
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
	if f.perTx == 0 {
		f.perTx = itemsPerTx(0)
	}
	if size <= 0 || size > f.perTx {
		size = f.perTx
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
			var err error
			if items, err = f.nowhere(ctx, items); err != nil {
				return err
			}
		}
		if err := f.applyAs(ctx, items, asOf, true); err != nil {
			return err
		}
		if err := f.wereRead(ctx, sink); err != nil {
			return err
		}
		if err := f.goPast(ctx, sink.failed, len(sink.items) > 0, verify); err != nil {
			return err
		}
	}
	return nil
}

// nowhere turns messages that the provider still has, but in no mailbox of
// the mirror (a purged message that it keeps for recovery), into gone ones. One
// that waits in the outbox will turn up again: it is left as it is.
func (f *feed) nowhere(ctx context.Context, items []mail.Item) ([]mail.Item, error) {
	known := map[string]bool{}
	err := f.s.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(f.acct.ID)
		for _, m := range list {
			known[m.ProviderID] = true
		}
		return err
	})
	out := items[:0]
	for _, it := range items {
		if it.Kind == mail.ItemPresent && !slices.ContainsFunc(it.Message.Mailboxes, func(id string) bool { return known[id] }) {
			if slices.ContainsFunc(it.Message.Mailboxes, func(id string) bool { return f.hidden[id] }) {
				continue
			}
			it.Kind = mail.ItemGone
		}
		out = append(out, it)
	}
	return out, err
}

// itemSink collects fetched metadata as full items.
type itemSink struct {
	items  []mail.Item
	gone   []string
	failed []failure
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
	k.failed = append(k.failed, failure{id, err})
	return nil
}

func (k *itemSink) Raw(string, string, io.Reader) error {
	return mail.Errorf(mail.KindInternal, "fetch metadata", "the provider answered with raw bytes")
}
