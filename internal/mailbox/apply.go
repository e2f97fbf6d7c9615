package mailbox

import (
	"errors"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// applier writes what a provider told into the mirror, inside one
// transaction.
type applier struct {
	tx    store.Tx
	batch *journal.Batch
	acct  *store.Account
	// asOf is when the provider began to answer: our own writes after it win.
	asOf time.Time
	// now is the clock's time: nothing was written after it.
	now time.Time
	// change is our own write whose answer is applied.
	change Change
	// direct: the messages themselves were asked for. Feeds may lag behind what
	// such an answer says.
	direct bool
	// since, of direct answers: when the doubt began which led to the question,
	// by our ids.
	since map[string]time.Time
	// own: a program of the owner's has stored them through us. None is the draft of
	// a submission, whatever Message-ID it bears.
	own bool
	// listed: a feed will tell when these messages go from where they are.
	listed bool
	// lag is Options.FeedLag.
	lag time.Duration
	// tell notes of which messages something was told.
	tell func(id string)
	// started is when the service began; what it knows of purges is from then on.
	started time.Time
	// first: the feed tells for the first time what has always been there.
	first bool
	// refetch collects provider ids of messages of which too little is known.
	refetch map[string]struct{}

	// bodies are those that were brought before their messages are created.
	bodies map[string]arrived
	// putDerived keeps what is derived of them.
	putDerived func(tx store.Tx, m *store.Message, d *derived) error
	// dropText tells the search that a message's text is not known any more.
	dropText func(tx store.Tx, m *store.Message) error
	// local are keywords that we keep of messages from their creation on.
	local map[string][]string
	// dropped are the bytes of messages that are gone, removed their ids.
	dropped, removed []string
	// doubted are provider ids of messages of which our write's answer may be
	// older than what is known.
	doubted []string
	// arrivedAt are the dates of the new messages that were created.
	arrivedAt []time.Time

	// purges, for feeds: what they tell may be older than that.
	purges *purges

	mailboxes map[string]*store.Mailbox
}

func (s *Service) applier(tx store.Tx, b *journal.Batch, acct *store.Account, asOf time.Time) *applier {
	return &applier{tx: tx, batch: b, acct: acct, asOf: asOf, now: s.now(), lag: s.opts.FeedLag, putDerived: s.putDerived, dropText: s.dropText, tell: s.underway.tell,
		refetch: map[string]struct{}{}, mailboxes: map[string]*store.Mailbox{}}
}

func (a *applier) apply(it *mail.Item) error {
	switch it.Kind {
	case mail.ItemPresent:
		return a.present(it)
	case mail.ItemAbsent:
		return a.absent(it)
	case mail.ItemGone:
		return a.gone(it)
	}
	return mail.Errorf(mail.KindInternal, "apply change", "unknown kind of item %q", it.Kind)
}

// known reads a message. What it says of times to come was written before the
// clock was set back. Taken at its word, nothing that the provider tells would
// be new enough until the clock has caught up, and what feeds tell once would be
// lost; so it counts as just now, which has contradictions looked into.
func (a *applier) known(id string) (*store.Message, error) {
	m, err := a.tx.Message(id)
	if err != nil {
		return nil, err
	}
	if m.PlacedAt.After(a.now) {
		m.PlacedAt = a.asOf
	}
	if m.Wrote.At.After(a.now) {
		m.Wrote.At = a.asOf
	}
	return m, nil
}

// mailbox finds one of the account's mailboxes by the provider's id; nil
// where the mirror does not have it (yet).
func (a *applier) mailbox(providerID string) (*store.Mailbox, error) {
	id := ID(a.acct.ID, providerID)
	if m, ok := a.mailboxes[id]; ok {
		return m, nil
	}
	m, err := a.tx.Mailbox(id)
	if errors.Is(err, store.ErrNotFound) {
		m, err = nil, nil
	}
	if err == nil {
		a.mailboxes[id] = m
	}
	return m, err
}

func (a *applier) present(it *mail.Item) error {
	id := MessageID(a.acct.ID, it.Message.ProviderID)
	old, err := a.known(id)
	if errors.Is(err, store.ErrNotFound) {
		return a.create(id, it)
	}
	if err != nil {
		return err
	}
	if it.Fields == 0 {
		a.refetch[it.Message.ProviderID] = struct{}{}
		return nil
	}
	a.tell(id)
	if it.Message.Version != 0 && it.Message.Version < old.Version {
		return nil
	}
	fields := it.Fields
	if guarded := a.guard(old, it, fields); guarded != 0 {
		a.refetch[it.Message.ProviderID] = struct{}{}
		fields &^= guarded
	}
	if placed := fields & (mail.FieldMailbox | mail.FieldMailboxes); placed != 0 && a.asOf.Before(old.PlacedAt) {
		fields &^= placed
		if in, err := a.place(nil, it, placed); err != nil {
			return err
		} else if !slices.Equal(in, old.In) {
			if err := a.doubt(id); err != nil {
				return err
			}
		}
	}
	next := merge(old, it, fields)
	if fields&(mail.FieldMailbox|mail.FieldMailboxes) != 0 {
		in, err := a.place(old.In, it, fields)
		if err != nil {
			return err
		}
		if len(in) > 0 {
			next.In, next.PlacedAt = in, a.asOf
			if err := a.placed(id, !slices.Equal(in, old.In)); err != nil {
				return err
			}
		}
	}
	if a.direct && a.asOf.After(old.Wrote.At) {
		next.Wrote = store.Write{Fields: old.Wrote.Fields | guardedFields, At: a.asOf}
	}
	return a.update(old, next)
}

// guardedFields are those of which feeds tell former states.
const guardedFields = mail.FieldKeywords | mail.FieldMailboxes

// guard gives the fields that the item must not decide: they were written by
// us, or read from the message itself, after the provider began to answer, or
// so shortly before that a feed which says otherwise may lag behind.
func (a *applier) guard(old *store.Message, it *mail.Item, fields mail.Fields) mail.Fields {
	fields &= widen(old.Wrote.Fields)
	switch {
	case fields == 0:
		return 0
	case old.Wrote.At.After(a.asOf):
		return fields
	case a.direct, old.Wrote.At.Before(a.asOf.Add(-a.lag)):
		return 0
	}
	next := merge(old, it, fields)
	normalise(&next.Message)
	if slices.Equal(old.Keywords, next.Keywords) && slices.Equal(old.Mailboxes, next.Mailboxes) {
		return 0
	}
	return fields
}

// unsure reports whether an item that would create a message may be what a
// lagging feed tells of one that is gone.
func (a *applier) unsure(id string, it *mail.Item) bool {
	if a.direct || a.first || a.purges == nil {
		return false
	}
	return a.purges.since(id, a.asOf.Add(-a.lag)) || a.asOf.Sub(a.started) < a.lag && it.Message.ReceivedAt.Before(a.started)
}

// widen gives everything that a field that we wrote covers: a feed may tell
// parts of it.
func widen(f mail.Fields) mail.Fields {
	if f&mail.FieldKeywords != 0 {
		f |= mail.FieldSeen | mail.FieldFlagged
	}
	if f&mail.FieldMailboxes != 0 {
		f |= mail.FieldMailbox
	}
	return f
}

// doubt has the provider asked where a message is: an answer older than what
// we know says otherwise, and no feed will say it again.
func (a *applier) doubt(id string) error {
	return a.tx.PutAbsence(store.Absence{Account: a.acct.ID, Message: id, Since: a.asOf})
}

// placed settles where a message is. A feed will tell when it goes from a place
// that the feed has told; of what came and went between two of its answers it
// says nothing. So a place that is known by our own write, or from the message
// itself, stays in doubt until a feed has told it, or until one that has not
// would lag too far behind.
func (a *applier) placed(id string, moved bool) error {
	since, asked := a.since[id]
	switch {
	case !a.direct, asked && !a.asOf.Before(since.Add(a.lag)):
		return a.tx.DeleteAbsence(a.acct.ID, id)
	case moved && !asked && !a.listed:
		return a.doubt(id)
	}
	return nil
}

// create adds a message that the mirror does not know.
func (a *applier) create(id string, it *mail.Item) error {
	if it.Fields&mail.FieldEnvelope == 0 || a.unsure(id, it) {
		a.refetch[it.Message.ProviderID] = struct{}{}
		return nil
	}
	if a.purges != nil && a.purges.since(id, a.asOf) {
		return nil
	}
	hidden, err := a.hidden(it)
	if err != nil || hidden {
		return err
	}
	in, err := a.place(nil, it, it.Fields)
	if err != nil || len(in) == 0 {
		return err
	}
	m := &store.Message{ID: id, Account: a.acct.ID, Message: it.Message, In: in, PlacedAt: a.asOf}
	normalise(&m.Message)
	m.Thread = threadID(a.acct.ID, &m.Message)
	if a.direct {
		m.Wrote = store.Write{Fields: guardedFields, At: a.asOf}
	}
	m.Local = slices.DeleteFunc(sortedSet(a.local[id]), m.HasKeyword)
	if b, ok := a.bodies[id]; ok {
		m.Blob, m.Size = b.ref.Digest, b.ref.Size
		if b.tag != "" {
			m.ContentTag = b.tag
		}
	}
	// What arrived after connecting is told to everybody, however late it is
	// found; what was there before only to those who ask for it.
	m.Backfill = a.first && m.ReceivedAt.Before(a.acct.ConnectedAt)
	e := &event.Event{
		Type: event.MessageCreated, Account: a.acct.ID, Message: id, Backfill: m.Backfill,
		AddedKeywords: m.AllKeywords(), AddedMailboxes: in, Snapshot: snapshot(m),
	}
	seq, err := a.batch.Add(e)
	if err != nil {
		return err
	}
	m.ModSeq, m.CreatedSeq = seq, seq
	if !m.Backfill {
		a.arrivedAt = append(a.arrivedAt, m.ReceivedAt)
	}
	if a.direct && !a.listed {
		if err := a.doubt(id); err != nil {
			return err
		}
	}
	if err := a.tx.PutMessage(m); err != nil {
		return err
	}
	return a.putDerived(a.tx, m, a.bodies[id].derived)
}

// place says in which of our mailboxes the item puts the message.
func (a *applier) place(old []string, it *mail.Item, fields mail.Fields) ([]string, error) {
	var in []string
	if fields&mail.FieldMailboxes != 0 {
		for _, pid := range it.Message.Mailboxes {
			m, err := a.mailbox(pid)
			if err != nil {
				return nil, err
			}
			if m != nil {
				in = append(in, m.ID)
			}
		}
	} else {
		m, err := a.mailbox(it.Mailbox)
		if err != nil || m == nil {
			return nil, err
		}
		in = append(in, m.ID)
		if m.Kind == mail.KindLabel {
			in = append(in, old...)
		}
	}
	slices.Sort(in)
	return slices.Compact(in), nil
}

// absent takes the message out of one mailbox. Out of its last one it is only
// held back: a move shows first where it left.
func (a *applier) absent(it *mail.Item) error {
	id := MessageID(a.acct.ID, it.Message.ProviderID)
	old, err := a.known(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	left := ID(a.acct.ID, it.Mailbox)
	switch {
	case it.Mailbox == "": // absent from a whole listing
		return a.doubt(id)
	case !slices.Contains(old.In, left):
		return nil
	case a.asOf.Before(old.PlacedAt), len(old.In) == 1:
		return a.doubt(id)
	}
	next := clone(old)
	next.In = slices.DeleteFunc(slices.Clone(old.In), func(in string) bool { return in == left })
	next.PlacedAt = a.asOf
	return a.update(old, next)
}

// gone removes the message: the provider says that it is nowhere.
func (a *applier) gone(it *mail.Item) error {
	id := MessageID(a.acct.ID, it.Message.ProviderID)
	old, err := a.known(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if a.asOf.Before(old.PlacedAt) {
		return a.doubt(id)
	}
	return a.remove(old)
}

// remove tells and takes out a message.
func (a *applier) remove(old *store.Message) error {
	seq, err := a.batch.Add(&event.Event{
		Type: event.MessageDeleted, Account: a.acct.ID, Message: old.ID,
		RemovedMailboxes: old.In, Snapshot: snapshot(old),
	})
	if err != nil {
		return err
	}
	if err := a.tx.DeleteAbsence(a.acct.ID, old.ID); err != nil {
		return err
	}
	if old.Blob != "" {
		a.dropped = append(a.dropped, old.Blob)
	}
	a.removed = append(a.removed, old.ID)
	return a.tx.DeleteMessage(old.ID, seq)
}

// update tells and writes the difference between two states of a message; no
// difference writes nothing but what only we know.
func (a *applier) update(old, next *store.Message) error {
	normalise(&next.Message)
	next.Local = slices.DeleteFunc(slices.Clone(next.Local), next.HasKeyword)
	added, removed := difference(old.AllKeywords(), next.AllKeywords())
	addedIn, removedIn := difference(old.In, next.In)
	content := !sameContent(old, next)
	if len(added)+len(removed)+len(addedIn)+len(removedIn) == 0 && !content {
		if sameInternals(old, next) {
			return nil
		}
		return a.tx.PutMessage(next)
	}
	seq, err := a.batch.Add(&event.Event{
		Type: event.MessageUpdated, Account: a.acct.ID, Message: next.ID,
		AddedKeywords: added, RemovedKeywords: removed,
		AddedMailboxes: addedIn, RemovedMailboxes: removedIn, Snapshot: snapshot(next),
	})
	if err != nil {
		return err
	}
	next.ModSeq = seq
	renew := old.ContentTag != "" && next.ContentTag != "" && old.ContentTag != next.ContentTag && old.Blob != ""
	if renew {
		// Bytes once served never change under a UID.
		next.Blob, next.Size = "", 0
	}
	unknown := renew
	renew = renew || old.Size != 0 && next.Size != old.Size // nor does a size
	if err := a.tx.PutMessage(next); err != nil {
		return err
	}
	if unknown {
		if err := a.dropText(a.tx, next); err != nil {
			return err
		}
	}
	if renew {
		return a.tx.RenewUIDs(next.ID, seq)
	}
	return nil
}
