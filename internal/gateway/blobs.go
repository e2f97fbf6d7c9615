package gateway

import (
	"container/list"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// blobs gives the bytes of messages and attachments.
type blobs struct {
	mirror  *mailbox.Service
	store   store.Store
	decoded decodedParts
}

func (b *blobs) Raw(ctx context.Context, message string) (io.ReadSeekCloser, time.Time, error) {
	blob, m, err := b.mirror.Raw(ctx, message)
	if err != nil {
		return nil, time.Time{}, err
	}
	return blob, m.ReceivedAt, nil
}

// Attachment decodes one part. The decoded bytes become a blob of their own,
// so that ranges can be read without decoding again.
func (b *blobs) Attachment(ctx context.Context, message, part string) (io.ReadSeekCloser, string, string, error) {
	var m *store.Message
	err := b.store.View(ctx, func(tx store.Tx) (err error) {
		m, err = tx.Message(message)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = &mail.Error{Kind: mail.KindNotFound, Op: "read attachment", Message: "no such message", Err: err}
	}
	if err != nil {
		return nil, "", "", err
	}
	if d, ok := b.decoded.get(partKey{message, m.Blob, part}); ok {
		blob, err := b.store.Blobs().Open(ctx, m.Account, d.digest)
		if !errors.Is(err, store.ErrNotFound) { // else it was dropped: decoded again
			return blob, d.name, d.mediaType, err
		}
	}
	raw, m, err := b.mirror.Raw(ctx, message)
	if err != nil {
		return nil, "", "", err
	}
	defer raw.Close()
	var d decodedPart
	err = mime.Open(raw, part, func(found mime.Attachment, r io.Reader) error {
		ref, err := b.store.Blobs().Put(ctx, m.Account, r, false)
		d = decodedPart{digest: ref.Digest, name: found.Name, mediaType: found.Type}
		return err
	})
	if err != nil {
		return nil, "", "", err
	}
	if m.Blob != "" {
		b.decoded.put(partKey{message, m.Blob, part}, d)
	}
	blob, err := b.store.Blobs().Open(ctx, m.Account, d.digest)
	return blob, d.name, d.mediaType, err
}

// maxDecoded is how many decoded parts are remembered.
const maxDecoded = 512

// partKey names a part of a message's bytes.
type partKey struct{ message, blob, part string }

type decodedPart struct{ digest, name, mediaType string }

// decodedParts remembers where the bytes of parts lie that were decoded last:
// who reads a large one by ranges asks for it again and again.
type decodedParts struct {
	mu    sync.Mutex
	order list.List // of *decodedEntry, the last used first
	parts map[partKey]*list.Element
}

type decodedEntry struct {
	key  partKey
	part decodedPart
}

func (d *decodedParts) get(k partKey) (decodedPart, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.parts[k]
	if !ok {
		return decodedPart{}, false
	}
	d.order.MoveToFront(at)
	return at.Value.(*decodedEntry).part, true
}

func (d *decodedParts) put(k partKey, p decodedPart) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.parts == nil {
		d.parts = map[partKey]*list.Element{}
	}
	if at, ok := d.parts[k]; ok {
		at.Value.(*decodedEntry).part = p
		d.order.MoveToFront(at)
		return
	}
	d.parts[k] = d.order.PushFront(&decodedEntry{k, p})
	for d.order.Len() > maxDecoded {
		oldest := d.order.Back()
		delete(d.parts, d.order.Remove(oldest).(*decodedEntry).key)
	}
}
