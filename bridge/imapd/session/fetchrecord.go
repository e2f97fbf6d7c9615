package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// loadBytes is how much of derived records one transaction loads.
const loadBytes = 4 << 20

// record is what is known of a message beside its row.
type record struct {
	// missing: something that is asked for is not here yet. gone: the message is
	// no longer in the account.
	missing, gone bool
	// bytes: the raw bytes are needed, whose digest is known then.
	bytes bool
	// here: rows were found. Their sections are decoded only where the plan asks
	// for some.
	here     bool
	rows     mime.Rows
	header   []byte // the header block, as much as is stored of it
	envelope []byte
	digest   string // of the bytes
	preview  string
}

// load looks up what the plan needs of messages, of as many as fit: one short
// transaction, so that no old pages are kept alive by a slow client.
func (f *fetcher) load(ctx context.Context, messages []message) (records []record, err error) {
	err = f.store.View(ctx, func(tx store.Tx) error {
		records = make([]record, 0, len(messages))
		total := 0
		for i := range messages {
			if total > loadBytes {
				return nil
			}
			records = append(records, record{})
			size, err := f.record(tx, &messages[i], &records[i])
			if err != nil {
				return err
			}
			total += size
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return records, nil
}

// record looks up one message.
func (f *fetcher) record(tx store.Tx, m *message, r *record) (size int, err error) {
	id := m.row.Message
	needs := f.needs
	if m.row.Size != 0 {
		needs &^= needSize
	}
	if needs&needHeader != 0 {
		if r.header, err = derived(tx, f.account, store.DerivedHeader, id); err != nil {
			return 0, err
		}
		size += len(r.header)
		r.missing = r.header == nil
		if len(r.header) >= mime.MaxStoredHeader {
			// There may be more of it: the rows say so, the bytes have it.
			needs |= needRows | needBytes
		}
	}
	if needs&(needSize|needEnvelope|needRows|needBytes) != 0 {
		n, err := f.rows(tx, id, r)
		if err != nil {
			return 0, err
		}
		size += n
		r.missing = r.missing || !r.here && needs&(needSize|needRows) != 0
	}
	r.bytes, r.digest, r.envelope = needs&needBytes != 0, r.rows.Digest, r.rows.Envelope
	// What was stored is of the bytes that the message has now; the client asks
	// for those of this UID. They are not the same only while the mailbox's index
	// is about to be told, of which a draft that is edited has many such moments.
	sure := r.here && m.row.Size == r.rows.Size || r.header != nil && !r.here
	if sure && needs&needPreview == 0 && !r.missing && !m.row.Has(mail.Draft) && (!r.bytes || r.digest != "") {
		return size, nil
	}
	whole, err := tx.Message(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && whole.UIDs[f.mailbox] != m.uid {
		r.gone, r.missing = true, false
		return size, nil
	}
	if err != nil {
		return 0, err
	}
	if r.digest = whole.Blob; needs&needPreview != 0 {
		r.preview = previewText(whole.Preview)
		size += len(r.preview)
	}
	r.missing = r.missing || r.bytes && r.digest == ""
	if needs&needEnvelope != 0 && !r.here {
		if whole.Blob != "" {
			r.missing = true // the bytes are here, or were
		} else {
			r.envelope = mime.EnvelopeOf(&whole.Message)
		}
	}
	return size, nil
}

// rows reads the rows of a message; those of another version are made anew.
func (f *fetcher) rows(tx store.Tx, id string, r *record) (int, error) {
	b, err := derived(tx, f.account, store.DerivedRows, id)
	if err != nil || b == nil {
		return 0, err
	}
	if !f.sections {
		if r.rows, err = mime.DecodeHead(b); err != nil {
			return 0, nil
		}
		r.here = true
		if f.needs&(needEnvelope|needRows) == 0 {
			r.rows.Envelope, r.rows.Body, r.rows.BodyStructure = nil, nil, nil // and b with them
			return 0, nil
		}
		return len(b), nil
	}
	if rows, err := mime.DecodeRows(b); err == nil {
		r.rows, r.here = *rows, true
	}
	return len(b), nil
}

// derived reads a derived value, nil where there is none.
func derived(tx store.Tx, account string, kind store.DerivedKind, id string) ([]byte, error) {
	b, err := tx.Derived(account, kind, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}
