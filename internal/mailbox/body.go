package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// recentAge and recentBatch bound what the mirror mode "recent" brings ahead,
// and how much one round does before it lets others work.
const (
	recentAge   = 30 * 24 * time.Hour
	bodiesAhead = 50
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
	ch := s.bodies.DoChan(id, func() (any, error) {
		// Whoever asked first may leave; the others still want the bytes.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		landed, err := s.flights.add(cancel)
		if err != nil {
			return nil, err
		}
		defer landed()
		for range 3 { // a draft may change while it is read
			if have, err := s.here(ctx, id); err != nil || have {
				return nil, err
			}
			if err := s.bring(ctx, m.Account, []string{m.ProviderID}, provider.Interactive); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	select {
	case r := <-ch:
		if r.Err != nil {
			return nil, nil, r.Err
		}
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if m, err = s.message(ctx, id); err != nil {
		return nil, nil, err
	}
	if m.Blob == "" {
		return nil, nil, mail.Errorf(mail.KindUnavailable, "read message", "the message is being changed")
	}
	blob, err := s.store.Blobs().Open(ctx, m.Account, m.Blob)
	return blob, m, err
}

// here reports whether a message's bytes are here: somebody may have brought
// them just now.
func (s *Service) here(ctx context.Context, id string) (bool, error) {
	m, err := s.message(ctx, id)
	if err != nil || m.Blob == "" {
		return false, err
	}
	blob, err := s.store.Blobs().Open(ctx, m.Account, m.Blob)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, blob.Close()
}

// bring fetches raw bytes of an account's messages and keeps them.
func (s *Service) bring(ctx context.Context, account string, ids []string, priority provider.Priority) error {
	acct, err := s.account(ctx, account)
	if err != nil {
		return err
	}
	p, _, err := s.plug(acct)
	if err != nil {
		return err
	}
	tags, err := s.contentTags(ctx, account, ids)
	if err != nil {
		return err
	}
	sink := &rawSink{ctx: ctx, s: s, account: account, tags: tags}
	req := &provider.FetchRequest{Call: provider.Call{Account: account, Priority: priority}, IDs: ids, Mode: provider.FetchRaw}
	if err := p.Fetch(ctx, req, sink); err != nil {
		return fmt.Errorf("fetch raw message: %w", err)
	}
	if sink.gone {
		// The mirror is behind: the feeds will tell what became of it.
		s.Touch(ctx, account)
	}
	return sink.err
}

// contentTags notes the messages' content tags before their bytes are read.
func (s *Service) contentTags(ctx context.Context, account string, ids []string) (map[string]string, error) {
	tags := map[string]string{}
	err := s.store.View(ctx, func(tx store.Tx) error {
		for _, pid := range ids {
			m, err := tx.Message(MessageID(account, pid))
			if err == nil {
				tags[m.ID] = m.ContentTag
			} else if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	return tags, err
}

type rawSink struct {
	ctx     context.Context
	s       *Service
	account string
	// tags are the content tags from before the bytes were asked for.
	tags map[string]string
	gone bool
	err  error
}

func (k *rawSink) Message(*mail.Message) error {
	return mail.Errorf(mail.KindInternal, "fetch raw message", "the provider answered with metadata")
}

func (k *rawSink) Failed(_ string, err error) error {
	k.gone = k.gone || mail.KindOf(err) == mail.KindNotFound
	k.err = errors.Join(k.err, err)
	return nil
}

func (k *rawSink) Raw(providerID, contentTag string, r io.Reader) error {
	ref, err := k.s.store.Blobs().Put(k.ctx, k.account, r, false)
	if err != nil {
		return fmt.Errorf("keep raw message: %w", err)
	}
	id := MessageID(k.account, providerID)
	return k.s.keepBody(k.ctx, id, k.tags[id], contentTag, ref)
}

// keepBody notes where a message's bytes are. Other bytes than were served
// before get a new UID, and bytes that were read while the message changed are
// not taken for its own: before is its content tag from before they were read.
func (s *Service) keepBody(ctx context.Context, id, before, contentTag string, ref store.BlobRef) error {
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
		changed := m.Blob != "" && m.Blob != ref.Digest
		m.Blob, m.Size = ref.Digest, ref.Size
		if contentTag != "" {
			m.ContentTag = contentTag
		}
		if !changed {
			return tx.PutMessage(m)
		}
		// The number is for readers by modification sequence; nobody outside is
		// told, since the message says what it said.
		e := &event.Event{Type: event.MessageUpdated, Account: m.Account, Message: id, Internal: true}
		if m.ModSeq, err = b.Add(e); err != nil {
			return err
		}
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		return tx.RenewUIDs(id, m.ModSeq)
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

// bringBodies brings the bytes of messages ahead where the account's mirror
// mode wants them, newest first, a bounded number each round.
func (s *Service) bringBodies(ctx context.Context, acct *store.Account) error {
	if acct.Mirror != store.MirrorRecent && acct.Mirror != store.MirrorFull {
		return nil
	}
	ids, err := s.withoutBody(ctx, acct)
	if err != nil || len(ids) == 0 {
		return err
	}
	for chunk := range slices.Chunk(ids, 10) {
		if s.hold() != nil {
			return nil // the mirror is in step; the bodies come with a later round
		}
		if err := s.bring(ctx, acct.ID, chunk, provider.Backfill); err != nil {
			// Bodies ahead are a comfort: the mirror is in step without them.
			s.log.WarnContext(ctx, "bodies were not brought ahead", "account", acct.ID, "error", err)
			return nil
		}
	}
	s.schedule.again(acct.ID)
	return nil
}

func (s *Service) withoutBody(ctx context.Context, acct *store.Account) ([]string, error) {
	var ids []string
	var after store.DateKey
	for len(ids) < bodiesAhead {
		n := 0
		err := s.store.View(ctx, func(tx store.Tx) error {
			keys, err := tx.MessagesOf(acct.ID, after, 200)
			if err != nil {
				return err
			}
			for _, k := range keys {
				after = k
				n++
				if acct.Mirror == store.MirrorRecent && s.now().Sub(k.At) > recentAge {
					n = 0
					return nil
				}
				m, err := tx.Message(k.ID)
				if err != nil {
					return err
				}
				if m.Blob == "" && len(ids) < bodiesAhead {
					ids = append(ids, m.ProviderID)
				}
			}
			return nil
		})
		if err != nil || n == 0 {
			return ids, err
		}
	}
	return ids, nil
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
