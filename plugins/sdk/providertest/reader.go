package providertest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// maxIdle is how many batches without an item a feed may give in a row: some
// feeds have empty pages, none has them without end.
const maxIdle = 200

// clockSkew is how far the clocks of suite and plugin may differ.
const clockSkew = 2 * time.Second

// reader follows the feeds of an account as a mirror does: it keeps a cursor
// per scope and folds the items into a picture of the account, which must
// come to equal the truth.
type reader struct {
	f       *fixture
	cursors map[string]mail.Cursor
	have    map[string]*known
	gone    map[string]bool // ids that any feed called gone
}

// known is what the reader knows of a message.
type known struct {
	mailboxes map[string]bool
	keywords  map[string]bool
	version   uint64
}

// told is one item and the scope that told it.
type told struct {
	scope string
	item  mail.Item
}

// follow gives the reader that the cases share, caught up.
func (f *fixture) follow() *reader {
	f.Helper()
	if f.reader == nil {
		f.acct()
		f.env.reader = f.newReader()
	}
	r := f.reader
	r.f = f
	r.read()
	return r
}

// newReader reads an account from nothing, in the order that loses nothing:
// first the cursors, then what is there.
func (f *fixture) newReader() *reader {
	f.Helper()
	r := &reader{f: f, cursors: map[string]mail.Cursor{}, have: map[string]*known{}, gone: map[string]bool{}}
	r.read()
	if f.info.FeedEnumerates {
		return r
	}
	for _, m := range f.mailboxes() {
		ids := f.listed(m.ID)
		for id, d := range f.metadata(ids...) {
			r.apply(told{m.ID, mail.Item{Kind: mail.ItemPresent, Mailbox: m.ID, Fields: mail.FieldKeywords | mail.FieldMailboxes, Message: d}})
			r.know(id).mailboxes[m.ID] = true
		}
	}
	return r
}

// scopes are what there are cursors of: "" for the account.
func (r *reader) scopes() []string {
	if r.f.info.Scope == mail.ScopeAccount {
		return []string{""}
	}
	var out []string
	for _, m := range r.f.mailboxes() {
		if m.Role != mail.RoleOutbox {
			out = append(out, m.ID)
		}
	}
	return out
}

// read follows every feed to its end, and gives what was told.
func (r *reader) read() []told {
	r.f.Helper()
	var all []told
	for _, scope := range r.scopes() {
		batches := r.f.changes(scope, r.cursors[scope])
		for _, b := range batches {
			for _, item := range b.Items {
				all = append(all, told{scope, item})
				r.apply(told{scope, item})
			}
		}
		r.cursors[scope] = batches[len(batches)-1].Next
	}
	r.forgetMailboxes()
	return all
}

// forgetMailboxes takes out mailboxes that were deleted: no feed tells that.
func (r *reader) forgetMailboxes() {
	there := map[string]bool{}
	for _, m := range r.f.mailboxes() {
		there[m.ID] = true
	}
	for _, k := range r.have {
		maps.DeleteFunc(k.mailboxes, func(id string, _ bool) bool { return !there[id] })
	}
}

// until reads until the picture is as wanted.
func (r *reader) until(what string, is func() bool) bool {
	r.f.Helper()
	return r.f.eventually(what, func() bool {
		if is() {
			return true
		}
		r.read()
		return is()
	})
}

func (r *reader) know(id string) *known {
	k := r.have[id]
	if k == nil {
		k = &known{mailboxes: map[string]bool{}, keywords: map[string]bool{}}
		r.have[id] = k
	}
	return k
}

// apply folds one item into the picture.
func (r *reader) apply(t told) {
	item, m := t.item, t.item.Message
	switch item.Kind {
	case mail.ItemGone:
		r.gone[m.ProviderID] = true
		delete(r.have, m.ProviderID)
	case mail.ItemAbsent:
		delete(r.know(m.ProviderID).mailboxes, item.Mailbox)
	case mail.ItemPresent:
		k := r.know(m.ProviderID)
		if m.Version != 0 && m.Version < k.version {
			return
		}
		k.version = m.Version
		if item.Fields&mail.FieldMailboxes != 0 {
			clear(k.mailboxes)
			for _, id := range m.Mailboxes {
				k.mailboxes[id] = true
			}
		}
		if item.Fields&mail.FieldMailbox != 0 {
			k.mailboxes[item.Mailbox] = true
		}
		if item.Fields&mail.FieldKeywords != 0 {
			clear(k.keywords)
			for _, w := range m.Keywords {
				k.keywords[w] = true
			}
		}
		for field, w := range map[mail.Fields]string{mail.FieldSeen: mail.Seen, mail.FieldFlagged: mail.Flagged} {
			if item.Fields&field != 0 {
				delete(k.keywords, w)
				if m.HasKeyword(w) {
					k.keywords[w] = true
				}
			}
		}
	}
}

// in reports whether the reader sees the message in a mailbox.
func (r *reader) in(id, mailbox string) bool {
	k := r.have[id]
	return k != nil && k.mailboxes[mailbox]
}

// there reports whether the reader sees the message anywhere.
func (r *reader) there(id string) bool {
	k := r.have[id]
	return k != nil && len(k.mailboxes) > 0
}

func (r *reader) keyword(id, word string) bool {
	k := r.have[id]
	return k != nil && k.keywords[word]
}

// differs compares the picture with the truth: empty where they are equal.
func (r *reader) differs(truth map[string]Message) string {
	for id, m := range truth {
		k := r.have[id]
		if k == nil {
			return fmt.Sprintf("message %s is missing", id)
		}
		if have, want := slices.Sorted(maps.Keys(k.mailboxes)), slices.Sorted(slices.Values(m.Mailboxes)); !slices.Equal(have, want) {
			return fmt.Sprintf("message %s is seen in %v, is in %v", id, have, want)
		}
		have, want := r.f.held(slices.Collect(maps.Keys(k.keywords))), r.f.held(m.Keywords)
		if !slices.Equal(have, want) {
			return fmt.Sprintf("message %s is seen with keywords %v, has %v", id, have, want)
		}
	}
	for id, k := range r.have {
		if _, ok := truth[id]; !ok && len(k.mailboxes) > 0 {
			return fmt.Sprintf("message %s is seen in %v, is nowhere", id, slices.Sorted(maps.Keys(k.mailboxes)))
		}
	}
	return ""
}

// changes reads one feed from a cursor to its end, and holds every batch to
// what the contract says of batches.
func (f *fixture) changes(scope string, cursor mail.Cursor) []*mail.Batch {
	f.Helper()
	var batches []*mail.Batch
	var broken error
	idle, at, began := 0, cursor, time.Now()
	err := f.p.Changes(f.ctx, &provider.ChangesRequest{Call: f.call(), Mailbox: scope, Cursor: cursor}, func(b *mail.Batch) error {
		broken = f.checkBatch(b, batches, at, began)
		if idle++; len(b.Items) > 0 {
			idle = 0
		}
		if broken == nil && idle > maxIdle {
			broken = fmt.Errorf("%d batches without an item, and no end", idle)
		}
		at = b.Next
		batches = append(batches, b)
		return broken
	})
	switch {
	case broken != nil:
		f.Fatalf("changes: %v", broken)
	case err != nil:
		f.Fatalf("changes: %v", err)
	case len(batches) == 0:
		f.Fatalf("changes: no batch at all, want at least one that is done")
	case !batches[len(batches)-1].Done:
		f.Fatalf("changes: the last batch is not done")
	}
	return batches
}

func (f *fixture) checkBatch(b *mail.Batch, before []*mail.Batch, at mail.Cursor, began time.Time) error {
	now := time.Now()
	switch {
	case b == nil:
		return errors.New("a batch is nil")
	case len(before) > 0 && before[len(before)-1].Done:
		return errors.New("a batch follows one that was done")
	case len(b.Next) == 0:
		return errors.New("a batch has no next cursor")
	case !b.Done && bytes.Equal(b.Next, at):
		return errors.New("the cursor of a batch that is not done makes no progress")
	case b.AsOf.IsZero():
		return errors.New("a batch does not say as of when it is")
	case b.AsOf.After(now.Add(clockSkew)):
		return fmt.Errorf("a batch is as of %v, in the future", b.AsOf)
	case b.AsOf.Before(began.Add(-clockSkew)):
		return fmt.Errorf("a batch is as of %v, before it was asked for", b.AsOf)
	}
	for _, item := range b.Items {
		if err := f.checkItem(item); err != nil {
			return err
		}
	}
	return nil
}

func (f *fixture) checkItem(item mail.Item) error {
	m := item.Message
	if m.ProviderID == "" {
		return fmt.Errorf("an item of kind %q has no message id", item.Kind)
	}
	switch item.Kind {
	case mail.ItemGone:
	case mail.ItemAbsent:
		if item.Mailbox == "" {
			return errors.New("an absent item does not say from which mailbox")
		}
	case mail.ItemPresent:
		if item.Fields&mail.FieldMailbox != 0 && item.Mailbox == "" {
			return errors.New("an item says that its mailbox is known, and does not name it")
		}
		if item.Fields&mail.FieldMailboxes != 0 && len(m.Mailboxes) == 0 {
			return errors.New("a present message is in no mailbox")
		}
	default:
		return fmt.Errorf("an item of kind %q", item.Kind)
	}
	return nil
}
