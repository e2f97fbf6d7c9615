package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// ahead holds the content of messages that are about to be journalled, for
// readers of the journal who want it in the same transaction. A transaction
// does no I/O, so the bytes are brought before it.
type ahead struct {
	mu      sync.Mutex
	content map[string]*mime.Content
}

// At gives the content of a message that is being journalled now.
func (s *Service) At(message string) (*mime.Content, bool) {
	s.ahead.mu.Lock()
	defer s.ahead.mu.Unlock()
	c, ok := s.ahead.content[message]
	return c, ok
}

func (a *ahead) put(content map[string]*mime.Content) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.content == nil {
		a.content = map[string]*mime.Content{}
	}
	for id, c := range content {
		a.content[id] = c
	}
}

func (a *ahead) drop(content map[string]*mime.Content) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range content {
		delete(a.content, id)
	}
}

// arrived is what was brought of a message before it was journalled.
type arrived struct {
	ref     store.BlobRef
	tag     string
	derived *derived
}

// arrive keeps bytes and derives what is derived from them. Anybody may have
// written them: what panics over them is a *guard.Panic.
func (s *Service) arrive(ctx context.Context, account, tag string, r io.Reader) (*arrived, error) {
	ref, err := s.store.Blobs().Put(ctx, account, r, false)
	if err != nil {
		return nil, fmt.Errorf("keep raw message: %w", err)
	}
	d, err := s.derived(ctx, account, ref.Digest)
	if err != nil {
		return nil, fmt.Errorf("derive rows: %w", err)
	}
	return &arrived{ref: ref, tag: tag, derived: d}, nil
}

// bringAhead brings the bytes of the new messages among items where somebody
// wants their content with the event. It is a comfort: what cannot be brought
// is journalled without.
func (f *feed) bringAhead(ctx context.Context, items []mail.Item) (map[string]arrived, map[string]*mime.Content) {
	if f.s.opts.WantContent == nil || !f.s.opts.WantContent(ctx, f.acct.ID) {
		return nil, nil
	}
	var ids []string
	err := f.s.store.View(ctx, func(tx store.Tx) error {
		ids = ids[:0]
		for i := range items {
			it := &items[i]
			backfill := f.first() && second(it.Message.ReceivedAt).Before(f.acct.ConnectedAt)
			if it.Kind != mail.ItemPresent || it.Fields&mail.FieldEnvelope == 0 || backfill {
				continue
			}
			_, err := tx.Message(MessageID(f.acct.ID, it.Message.ProviderID))
			if errors.Is(err, store.ErrNotFound) {
				ids = append(ids, it.Message.ProviderID)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(ids) == 0 {
		return nil, nil
	}
	sink := &aheadSink{ctx: ctx, f: f, arrived: map[string]arrived{}, content: map[string]*mime.Content{}}
	call := f.call()
	call.Priority = provider.Delta
	if err := f.p.Fetch(ctx, &provider.FetchRequest{Call: call, IDs: ids, Mode: provider.FetchRaw}, sink); err != nil {
		f.s.log.WarnContext(ctx, "content was not brought with the events", "account", f.acct.ID, "error", err)
	}
	return sink.arrived, sink.content
}

type aheadSink struct {
	ctx     context.Context
	f       *feed
	arrived map[string]arrived
	content map[string]*mime.Content
}

func (k *aheadSink) Message(*mail.Message) error { return nil }

func (k *aheadSink) Failed(string, error) error { return nil }

func (k *aheadSink) Raw(providerID, tag string, r io.Reader) error {
	blobs, account := k.f.s.store.Blobs(), k.f.acct.ID
	got, err := k.f.s.arrive(k.ctx, account, tag, r)
	if err != nil {
		return err
	}
	id := MessageID(account, providerID)
	k.arrived[id] = *got
	blob, err := blobs.Open(k.ctx, account, got.ref.Digest)
	if err != nil {
		return err
	}
	defer blob.Close()
	err = guard.Do(k.ctx, k.f.s.log, "read a message's content", func() error {
		c, err := mime.Parse(blob)
		if err == nil {
			k.content[id] = c
		}
		return err
	}, "account", account, "message", id)
	if err != nil {
		k.f.s.log.WarnContext(k.ctx, "content was not brought with its event", "account", account, "message", id, "error", err)
	}
	return nil
}
