package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// message reads one message's record.
func (s *Service) message(ctx context.Context, id string) (m *store.Message, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		m, err = tx.Message(id)
		return err
	})
	return m, notFound(err, "message")
}

// Raw opens a message's raw bytes, as the provider gave them. They are
// fetched where they are not here; calls for the same message share one fetch.
func (s *Service) Raw(ctx context.Context, id string) (store.Blob, *store.Message, error) {
	m, err := s.message(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if m.Blob != "" {
		blob, err := s.store.Blobs().Open(ctx, m.Account, m.Blob)
		if !errors.Is(err, store.ErrNotFound) {
			return blob, m, err
		}
	}
	if err := s.land(ctx, m.Account, []string{id}); err != nil {
		return nil, nil, err
	}
	if m, err = s.message(ctx, id); err != nil {
		return nil, nil, err
	}
	if m.Blob == "" {
		return nil, nil, errChanging()
	}
	blob, err := s.store.Blobs().Open(ctx, m.Account, m.Blob)
	return blob, m, err
}

func errChanging() error {
	return mail.Errorf(mail.KindUnavailable, "read message", "the message is being changed")
}

// bring fetches raw bytes of an account's messages and keeps them. told gets the
// fate of each as it is known. What nobody waits for is kept in one transaction.
func (s *Service) bring(ctx context.Context, account string, messages []*store.Message, priority provider.Priority, told func(id string, err error) error) error {
	acct, err := s.account(ctx, account)
	if err != nil {
		return err
	}
	p, _, err := s.plug(acct)
	if err != nil {
		return err
	}
	sink := &rawSink{ctx: ctx, s: s, account: account, tags: map[string]string{}, told: told, gathers: priority == provider.Backfill}
	req := &provider.FetchRequest{Call: provider.Call{Account: account, Priority: priority}, Mode: provider.FetchRaw}
	for _, m := range messages {
		req.IDs = append(req.IDs, m.ProviderID)
		sink.tags[m.ID] = m.ContentTag
	}
	err = p.Fetch(ctx, req, sink)
	if kept := sink.keep(); err == nil {
		err = kept
	}
	if err != nil {
		return fmt.Errorf("fetch raw message: %w", err)
	}
	if sink.gone {
		// The mirror is behind: the feeds will tell what became of it.
		s.Touch(ctx, account)
	}
	return nil
}

type rawSink struct {
	ctx     context.Context
	s       *Service
	account string
	// tags are the content tags from before the bytes were asked for.
	tags map[string]string
	told func(id string, err error) error
	gone bool
	// gathers: bodies are kept some at a time, and not one by one.
	gathers bool
	bodies  []body
	size    int // of what is derived of them
}

// maxGathered is how much is derived of bodies that are kept in one transaction.
const maxGathered = 1 << 20

func (k *rawSink) Message(*mail.Message) error {
	return mail.Errorf(mail.KindInternal, "fetch raw message", "the provider answered with metadata")
}

func (k *rawSink) Failed(providerID string, err error) error {
	k.gone = k.gone || mail.KindOf(err) == mail.KindNotFound
	return k.told(MessageID(k.account, providerID), err)
}

func (k *rawSink) Raw(providerID, contentTag string, r io.Reader) error {
	id := MessageID(k.account, providerID)
	got, err := k.s.arrive(k.ctx, k.account, contentTag, r)
	if guard.Is(err) {
		return k.told(id, err) // the others have nothing to do with it
	}
	if err != nil {
		return err
	}
	k.bodies = append(k.bodies, body{id: id, before: k.tags[id], arrived: *got})
	if k.size += got.derived.size(); k.gathers && k.size < maxGathered {
		return nil
	}
	return k.keep()
}

// keep keeps what was gathered.
func (k *rawSink) keep() error {
	bodies := k.bodies
	k.bodies, k.size = nil, 0
	if len(bodies) == 0 {
		return nil
	}
	err := k.keepAll(bodies)
	if guard.Is(err) && len(bodies) > 1 {
		// Some one of them has caused it, and the others are to be kept.
		k.gathers = false
		for i := range bodies {
			k.bodies = bodies[i : i+1]
			if err := k.keep(); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil && !guard.Is(err) {
		return err
	}
	for _, b := range bodies {
		if err := k.told(b.id, err); err != nil {
			return err
		}
	}
	return nil
}

func (k *rawSink) keepAll(bodies []body) error {
	return guard.Do(k.ctx, k.s.log, "keep messages", func() error {
		return k.s.keepBodies(k.ctx, bodies...)
	}, "account", k.account)
}

// body is what was brought of a message that is in the mirror.
type body struct {
	id string
	// before is the message's content tag from before the bytes were read.
	before string
	arrived
}

// keepBody notes the bytes of one message.
func (s *Service) keepBody(ctx context.Context, id, before string, got *arrived) error {
	return s.keepBodies(ctx, body{id: id, before: before, arrived: *got})
}

// keepBodies notes where messages' bytes are, their length, and what is derived
// from them. Other bytes than were served before, or of another length than was
// told, get a new UID, and bytes that were read while the message changed are
// not taken for its own.
func (s *Service) keepBodies(ctx context.Context, bodies ...body) error {
	return s.journal.Update(ctx, func(tx store.Tx, batch *journal.Batch) error {
		for i := range bodies {
			if err := s.keepOne(tx, batch, &bodies[i]); err != nil {
				return fmt.Errorf("keep raw message: %w", err)
			}
		}
		return nil
	})
}

func (s *Service) keepOne(tx store.Tx, batch *journal.Batch, b *body) error {
	m, err := tx.Message(b.id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if m.ContentTag != b.before && m.ContentTag != b.tag {
		return nil
	}
	same := m.Blob == b.ref.Digest
	changed := m.Blob != "" && m.Blob != b.ref.Digest || m.Size != 0 && m.Size != b.ref.Size
	m.Blob, m.Size = b.ref.Digest, b.ref.Size
	if b.tag != "" {
		m.ContentTag = b.tag
	}
	if changed {
		// The number is for readers by modification sequence; nobody outside is
		// told, since the message says what it said.
		e := &event.Event{Type: event.MessageUpdated, Account: m.Account, Message: m.ID, Internal: true}
		if m.ModSeq, err = batch.Add(e); err != nil {
			return err
		}
	}
	if err := tx.PutMessage(m); err != nil {
		return err
	}
	if changed {
		if err := tx.RenewUIDs(m.ID, m.ModSeq); err != nil {
			return err
		}
	}
	if same {
		// The bytes had been evicted; what is derived of them had not.
		if whole, err := hydrated(tx, m); whole || err != nil {
			return err
		}
	}
	return s.putDerived(tx, m, b.derived)
}

// Content parses a message: text, HTML, headers, attachments.
func (s *Service) Content(ctx context.Context, id string) (*mime.Content, error) {
	blob, _, err := s.Raw(ctx, id)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return mime.Parse(blob)
}

// dropBodies forgets the bytes of messages that are gone. Another message with
// the same bytes fetches them again when it is read; a submission that waits to
// send them keeps them.
func (s *Service) dropBodies(ctx context.Context, account string, digests []string) {
	for _, d := range digests {
		if err := s.store.Blobs().Drop(ctx, account, d); err != nil {
			s.log.WarnContext(ctx, "bytes of a deleted message stay", "account", account, "error", err)
		}
	}
}
