package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postern-mail/postern/internal/event"
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

// bring fetches raw bytes of an account's messages, by our ids, and keeps them.
// told gets the fate of each as it is known.
func (s *Service) bring(ctx context.Context, account string, messages []*store.Message, priority provider.Priority, told func(id string, err error) error) error {
	acct, err := s.account(ctx, account)
	if err != nil {
		return err
	}
	p, _, err := s.plug(acct)
	if err != nil {
		return err
	}
	sink := &rawSink{ctx: ctx, s: s, account: account, tags: map[string]string{}, told: told}
	req := &provider.FetchRequest{Call: provider.Call{Account: account, Priority: priority}, Mode: provider.FetchRaw}
	for _, m := range messages {
		req.IDs = append(req.IDs, m.ProviderID)
		sink.tags[m.ID] = m.ContentTag
	}
	if err := p.Fetch(ctx, req, sink); err != nil {
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
}

func (k *rawSink) Message(*mail.Message) error {
	return mail.Errorf(mail.KindInternal, "fetch raw message", "the provider answered with metadata")
}

func (k *rawSink) Failed(providerID string, err error) error {
	k.gone = k.gone || mail.KindOf(err) == mail.KindNotFound
	return k.told(MessageID(k.account, providerID), err)
}

func (k *rawSink) Raw(providerID, contentTag string, r io.Reader) error {
	ref, err := k.s.store.Blobs().Put(k.ctx, k.account, r, false)
	if err != nil {
		return fmt.Errorf("keep raw message: %w", err)
	}
	id := MessageID(k.account, providerID)
	if err := k.s.keepBody(k.ctx, id, k.tags[id], contentTag, ref); err != nil {
		return err
	}
	return k.told(id, nil)
}

// keepBody notes where a message's bytes are, their length, and what is derived
// from them. Other bytes than were served before, or of another length than was
// told, get a new UID, and bytes that were read while the message changed are
// not taken for its own: before is its content tag from before they were read.
func (s *Service) keepBody(ctx context.Context, id, before, contentTag string, ref store.BlobRef) error {
	m, err := s.message(ctx, id)
	if mail.KindOf(err) == mail.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	d, err := s.derive(ctx, m.Account, ref.Digest)
	if err != nil {
		return fmt.Errorf("derive rows: %w", err)
	}
	return s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		m, err := tx.Message(id)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if m.ContentTag != before && m.ContentTag != contentTag {
			return nil
		}
		changed := m.Blob != "" && m.Blob != ref.Digest || m.Size != 0 && m.Size != ref.Size
		m.Blob, m.Size = ref.Digest, ref.Size
		if contentTag != "" {
			m.ContentTag = contentTag
		}
		if changed {
			// The number is for readers by modification sequence; nobody outside is
			// told, since the message says what it said.
			e := &event.Event{Type: event.MessageUpdated, Account: m.Account, Message: id, Internal: true}
			if m.ModSeq, err = b.Add(e); err != nil {
				return err
			}
		}
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		if changed {
			if err := tx.RenewUIDs(id, m.ModSeq); err != nil {
				return err
			}
		}
		return s.putDerived(tx, m, d)
	})
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
// the same bytes fetches them again when it is read.
func (s *Service) dropBodies(ctx context.Context, account string, digests []string) {
	for _, d := range digests {
		if err := s.store.Blobs().Delete(ctx, account, d); err != nil {
			s.log.WarnContext(ctx, "bytes of a deleted message stay", "account", account, "error", err)
		}
	}
}
