package mailbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Change is what UpdateMessages does to each message. Mailboxes are our ids.
type Change struct {
	AddKeywords, RemoveKeywords   []string
	AddMailboxes, RemoveMailboxes []string
}

// Result is the fate of one message of a bulk command.
type Result struct {
	ID string
	// Message is its state afterwards; for a copy, the copy.
	Message *store.Message
	Err     error
}

// work is one account's share of a bulk command.
type work struct {
	acct     *store.Account
	p        provider.Provider
	info     *provider.Info
	messages []*store.Message
	change   Change
}

// Update changes keywords and mailboxes of messages: the provider first, then
// mirror and journal in one transaction, then the answer. A message that
// fails stays as it was and does not keep the others back.
func (s *Service) Update(ctx context.Context, ids []string, ch Change) ([]Result, error) {
	ch.AddKeywords, ch.RemoveKeywords = normalKeywords(ch.AddKeywords), normalKeywords(ch.RemoveKeywords)
	if err := ch.check(); err != nil {
		return nil, err
	}
	return s.bulk(ctx, ids, func(w *work) ([]Result, error) { return s.update(ctx, w, ch) })
}

// Mark adds a keyword to one message.
func (s *Service) Mark(ctx context.Context, id, keyword string) error {
	rs, err := s.Update(ctx, []string{id}, Change{AddKeywords: []string{keyword}})
	if err != nil {
		return err
	}
	return rs[0].Err
}

// Move puts messages into one mailbox and out of all others.
func (s *Service) Move(ctx context.Context, ids []string, to string) ([]Result, error) {
	return s.bulk(ctx, ids, func(w *work) ([]Result, error) {
		var out []Result
		for _, group := range groupBy(w.messages, func(m *store.Message) string { return joinIDs(m.In) }) {
			part := *w
			part.messages = group
			remove := slices.DeleteFunc(slices.Clone(group[0].In), func(in string) bool { return in == to })
			rs, err := s.update(ctx, &part, Change{AddMailboxes: []string{to}, RemoveMailboxes: remove})
			for _, m := range group {
				if err != nil { // this group's alone: others may have moved
					rs = append(rs, Result{ID: m.ID, Err: err})
				}
			}
			out = append(out, rs...)
		}
		return out, nil
	})
}

// Copy copies messages into a mailbox. Where a message can be in several
// mailboxes, it joins this one.
func (s *Service) Copy(ctx context.Context, ids []string, to string) ([]Result, error) {
	return s.bulk(ctx, ids, func(w *work) ([]Result, error) {
		target, err := s.target(ctx, w.acct.ID, to)
		if err != nil {
			return nil, err
		}
		if target.Kind == mail.KindLabel {
			return s.update(ctx, w, Change{AddMailboxes: []string{to}})
		}
		return s.send(ctx, w, 0, func(ids []string) (*provider.ModifyResponse, error) {
			return w.p.Copy(ctx, &provider.CopyRequest{Call: write(w.acct), IDs: ids, Mailbox: target.ProviderID})
		}, nil)
	})
}

// Delete moves messages to the trash, or removes them for good.
func (s *Service) Delete(ctx context.Context, ids []string, permanently bool) ([]Result, error) {
	return s.bulk(ctx, ids, func(w *work) ([]Result, error) {
		req := func(ids []string) *provider.DeleteRequest {
			return &provider.DeleteRequest{Call: write(w.acct), IDs: ids}
		}
		if permanently {
			return s.send(ctx, w, purged, func(ids []string) (*provider.ModifyResponse, error) { return w.p.Purge(ctx, req(ids)) }, nil)
		}
		return s.send(ctx, w, mail.FieldMailboxes, func(ids []string) (*provider.ModifyResponse, error) { return w.p.Delete(ctx, req(ids)) }, nil)
	})
}

func write(a *store.Account) provider.Call {
	return provider.Call{Account: a.ID, Priority: provider.Write}
}

func (c *Change) check() error {
	for _, k := range append(slices.Clone(c.AddKeywords), c.RemoveKeywords...) {
		if err := checkKeyword(k); err != nil {
			return err
		}
	}
	for _, k := range c.AddKeywords {
		if slices.Contains(c.RemoveKeywords, k) {
			return mail.Errorf(mail.KindInvalid, "update messages", "keyword %q is both added and removed", k)
		}
	}
	for _, m := range c.AddMailboxes {
		if slices.Contains(c.RemoveMailboxes, m) {
			return mail.Errorf(mail.KindInvalid, "update messages", "mailbox %s is both added and removed", m)
		}
	}
	if len(c.AddKeywords)+len(c.RemoveKeywords)+len(c.AddMailboxes)+len(c.RemoveMailboxes) == 0 {
		return mail.Errorf(mail.KindInvalid, "update messages", "nothing to change")
	}
	return nil
}

// checkKeyword holds a keyword to RFC 8621, 4.1.1: 1 to 255 characters of
// ASCII without what an IMAP atom forbids.
func checkKeyword(k string) error {
	bad := len(k) == 0 || len(k) > 255
	for _, r := range k {
		bad = bad || r < 0x21 || r > 0x7e || slices.Contains([]rune(`(){]%*"\`), r)
	}
	if bad {
		return mail.Errorf(mail.KindInvalid, "update messages", "%q is not a keyword", k)
	}
	if k == mail.Draft {
		return mail.Errorf(mail.KindInvalid, "update messages", "%s cannot be set or cleared", mail.Draft)
	}
	return nil
}

// bulk splits a command by account and puts the results in the order asked.
func (s *Service) bulk(ctx context.Context, ids []string, do func(*work) ([]Result, error)) ([]Result, error) {
	if len(ids) == 0 {
		return nil, mail.Errorf(mail.KindInvalid, "change messages", "no message named")
	}
	found := map[string]*store.Message{}
	failed := map[string]error{}
	err := s.store.View(ctx, func(tx store.Tx) error {
		clear(found)
		for _, id := range ids {
			m, err := tx.Message(id)
			switch {
			case errors.Is(err, store.ErrNotFound):
				failed[id] = notFound(store.ErrNotFound, "message")
			case err != nil:
				return err
			default:
				found[id] = m
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	byID := map[string]Result{}
	for account, messages := range groupBy(values(ids, found), func(m *store.Message) string { return m.Account }) {
		rs, err := s.bulkAccount(ctx, account, messages, do)
		for _, m := range messages {
			if err != nil {
				byID[m.ID] = Result{ID: m.ID, Err: err}
			}
		}
		for _, r := range rs {
			byID[r.ID] = r
		}
	}
	out := make([]Result, len(ids))
	for i, id := range ids {
		if err := failed[id]; err != nil {
			out[i] = Result{ID: id, Err: err}
			continue
		}
		out[i] = byID[id]
	}
	return out, nil
}

func (s *Service) bulkAccount(ctx context.Context, account string, messages []*store.Message, do func(*work) ([]Result, error)) ([]Result, error) {
	acct, err := s.account(ctx, account)
	if err != nil {
		return nil, err
	}
	if acct.State == store.AccountGrantExpired {
		return nil, &mail.Error{Kind: mail.KindGrantExpired, Op: "change messages", Message: "the owner must connect the account again"}
	}
	p, info, err := s.plug(acct)
	if err != nil {
		return nil, err
	}
	return do(&work{acct: acct, p: p, info: info, messages: messages})
}

// update is Update for one account.
func (s *Service) update(ctx context.Context, w *work, ch Change) ([]Result, error) {
	w.change = ch
	req := provider.ModifyRequest{Call: write(w.acct)}
	var local Change
	for _, k := range ch.AddKeywords {
		if w.info.HoldsKeyword(k) {
			req.AddKeywords = append(req.AddKeywords, k)
		} else {
			local.AddKeywords = append(local.AddKeywords, k)
		}
	}
	for _, k := range ch.RemoveKeywords {
		if w.info.HoldsKeyword(k) {
			req.RemoveKeywords = append(req.RemoveKeywords, k)
		}
		// One that the provider came to hold later may still lie with us.
		local.RemoveKeywords = append(local.RemoveKeywords, k)
	}
	for _, list := range []struct {
		ours []string
		to   *[]string
	}{{ch.AddMailboxes, &req.AddMailboxes}, {ch.RemoveMailboxes, &req.RemoveMailboxes}} {
		for _, id := range list.ours {
			m, err := s.target(ctx, w.acct.ID, id)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, m.ProviderID)
		}
	}
	var fields mail.Fields
	if len(req.AddKeywords)+len(req.RemoveKeywords) > 0 {
		fields |= mail.FieldKeywords
	}
	if len(req.AddMailboxes)+len(req.RemoveMailboxes) > 0 {
		fields |= mail.FieldMailboxes
	}
	call := func(ids []string) (*provider.ModifyResponse, error) {
		r := req
		r.IDs = ids
		return w.p.Modify(ctx, &r)
	}
	if fields == 0 {
		call = nil // ours alone
	}
	return s.send(ctx, w, fields, call, func(m *store.Message) {
		for _, k := range local.AddKeywords {
			m.Local = withKeyword(m.Local, k, true)
		}
		for _, k := range local.RemoveKeywords {
			m.Local = withKeyword(m.Local, k, false)
		}
	})
}

// target finds a mailbox of the account.
func (s *Service) target(ctx context.Context, account, id string) (*store.Mailbox, error) {
	var m *store.Mailbox
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		m, err = tx.Mailbox(id)
		return err
	})
	if err == nil && m.Account != account {
		return nil, mail.Errorf(mail.KindInvalid, "change messages", "mailbox %s belongs to another account", id)
	}
	return m, notFound(err, "mailbox")
}

// purged stands for a write after which the message is nowhere.
const purged mail.Fields = 1 << 31

// settleLimit bounds writing down what a provider has done, which goes on when
// the caller has left.
const settleLimit = 30 * time.Second

// send carries out one provider call per batch, which is as many messages as
// the provider takes at once, and writes what came of it in short transactions.
// fields are those that the call decides; 0 means that it makes new messages.
// Every message has its own outcome: what was done for some is not denied
// because of others.
func (s *Service) send(ctx context.Context, w *work, fields mail.Fields, call func(ids []string) (*provider.ModifyResponse, error), local func(*store.Message)) ([]Result, error) {
	size := w.info.Limits.ModifyBatch
	if size <= 0 {
		size = itemsPerTx(1)
	}
	var out []Result
	for chunk := range slices.Chunk(w.messages, size) {
		results := make([]provider.Result, len(chunk))
		ids := make([]string, len(chunk))
		for i, m := range chunk {
			ids[i], results[i] = m.ProviderID, provider.Result{ID: m.ProviderID}
		}
		end := s.underway.begin(chunk)
		defer end()
		if call != nil {
			s.schedule.wrote(w.acct.ID)
			resp, err := call(ids)
			s.schedule.wrote(w.acct.ID)
			if err == nil && len(resp.Results) != len(ids) {
				err = mail.Errorf(mail.KindInternal, "change messages", "the provider answered %d of %d messages", len(resp.Results), len(ids))
			}
			if err == nil {
				results = resp.Results
			}
			for i := range results {
				if err != nil {
					results[i].Err = err
				}
			}
		}
		parts := s.settleAll(ctx, w, chunk, s.now(), fields, results, local)
		end()
		for _, part := range parts {
			if fields == 0 && local == nil {
				s.readCopies(ctx, w, part.chunk, part.results, part.rs)
			}
			s.readOvertaken(ctx, w, part.overtaken, part.rs)
			out = append(out, part.rs...)
		}
	}
	return out, nil
}

// settle writes the outcome of a provider's call that was answered at a time
// into mirror and journal, and gives the provider's ids of messages of which that could not be told.
// begun is called once the store has its turn.
func (s *Service) settle(ctx context.Context, w *work, chunk []*store.Message, answered time.Time, fields mail.Fields, results []provider.Result, local func(*store.Message), begun func()) (out []Result, overtaken []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
	defer cancel()
	var dropped []string
	behind := false
	err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		begun()
		out, overtaken, behind = make([]Result, len(chunk)), nil, false
		a := s.applier(tx, b, w.acct, answered)
		a.direct, a.change = true, w.change
		for i, asked := range chunk {
			out[i].ID = asked.ID
			r := &results[i]
			if r.Err != nil {
				out[i].Err = r.Err
				behind = behind || mail.KindOf(r.Err) == mail.KindNotFound || mail.KindOf(r.Err) == mail.KindOutcomeUnknown
				continue
			}
			m, err := s.settleOne(a, asked, fields, r, local)
			if err != nil {
				return err
			}
			out[i].Message = m
			behind = behind || (m == nil && fields != purged)
		}
		behind, dropped, overtaken = behind || len(a.refetch) > 0, a.dropped, a.doubted
		return nil
	})
	if err != nil {
		// Done at the provider, not written here: the feeds will tell.
		behind, out, overtaken = true, out[:0], nil
		for i, m := range chunk {
			failed := results[i].Err
			if failed == nil {
				failed = err
			}
			out = append(out, Result{ID: m.ID, Err: failed})
		}
	} else {
		s.dropBodies(ctx, w.acct.ID, dropped)
	}
	if behind {
		s.Touch(ctx, w.acct.ID)
	}
	return out, overtaken
}

func (s *Service) settleOne(a *applier, asked *store.Message, fields mail.Fields, r *provider.Result, local func(*store.Message)) (*store.Message, error) {
	if fields == 0 && local == nil {
		// A copy: a message of its own. What we alone keep goes along.
		it := &mail.Item{Kind: mail.ItemPresent, Fields: r.Fields, Message: r.Message}
		return a.made(it, asked.Local)
	}
	old, err := a.known(asked.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // gone meanwhile, and told so
	}
	if err != nil {
		return nil, err
	}
	if fields == purged {
		s.purges.note(old.ID, a.asOf)
		return nil, a.remove(old)
	}
	doubt := func() (*store.Message, error) {
		a.doubted = append(a.doubted, old.ProviderID)
		next := clone(old)
		if local != nil {
			local(next) // ours alone
		}
		if err := a.update(old, next); err != nil {
			return nil, err
		}
		return next, a.doubt(old.ID)
	}
	if old.Wrote.At.After(a.asOf) {
		// A later write was faster to get here; what is true now is asked.
		return doubt()
	}
	it := &mail.Item{Kind: mail.ItemPresent, Message: r.Message}
	next := merge(old, it, r.Fields&fields)
	if r.Fields&fields&mail.FieldMailboxes != 0 {
		in, err := a.place(old.In, it, mail.FieldMailboxes)
		if err != nil {
			return nil, err
		}
		if len(in) > 0 {
			moved := !slices.Equal(in, old.In)
			next.In = in
			if err := a.placed(old.ID, moved); err != nil {
				return nil, err
			}
		} else {
			a.refetch[old.ProviderID] = struct{}{}
		}
		next.PlacedAt = a.asOf
	}
	if old.ModSeq != asked.ModSeq || s.underway.told(asked.ID) {
		// Something else became known while the call was under way. Where the
		// answer says otherwise, nobody knows which of the two is newer.
		normalise(&next.Message)
		if !slices.Equal(old.Keywords, next.Keywords) || !slices.Equal(old.In, next.In) {
			return doubt()
		}
	}
	if r.Fields&fields&mail.FieldKeywords != 0 {
		keepDisplaced(asked, next, a.change)
	}
	if local != nil {
		local(next)
	}
	if fields != 0 {
		next.Wrote = store.Write{Fields: fields | next.Wrote.Fields, At: a.asOf}
	}
	if err := a.update(old, next); err != nil {
		return nil, err
	}
	return a.tx.Message(old.ID)
}
