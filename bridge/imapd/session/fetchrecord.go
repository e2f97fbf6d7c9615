package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// loadBytes is how much of derived records one transaction loads.
const loadBytes = 4 << 20

// stillEvery is how often a client that waits for the provider is told that
// somebody works on it; many give a server half a minute to say anything.
const stillEvery = 15 * time.Second

// record is what is known of a message beside its row.
type record struct {
	// missing: something that is asked for is not here yet. gone: the message is
	// no longer in the account.
	missing, gone bool
	// bytes: the raw bytes are needed, whose digest is known then.
	bytes    bool
	rows     *mime.Rows
	header   []byte // the header block, as much as is stored of it
	envelope []byte
	digest   string // of the bytes
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
			r, size, err := f.record(tx, &messages[i])
			if err != nil {
				return err
			}
			records = append(records, r)
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
func (f *fetcher) record(tx store.Tx, m *message) (r record, size int, err error) {
	id := m.row.Message
	needs := f.needs
	if m.row.Size != 0 {
		needs &^= needSize
	}
	var whole *store.Message
	message := func() (bool, error) {
		if whole != nil {
			return true, nil
		}
		whole, err = tx.Message(id)
		if errors.Is(err, store.ErrNotFound) || err == nil && whole.UIDs[f.mailbox] != m.uid {
			r.gone, r.missing = true, false
			return false, nil
		}
		return err == nil, err
	}
	if needs&needHeader != 0 {
		if r.header, err = derived(tx, f.account, store.DerivedHeader, id); err != nil {
			return r, 0, err
		}
		size += len(r.header)
		if r.header == nil {
			r.missing = true
		} else if len(r.header) >= mime.MaxStoredHeader {
			// There may be more of it: the rows say so, the bytes have it.
			needs |= needRows | needBytes
		}
	}
	if needs&(needSize|needEnvelope|needRows) != 0 {
		b, err := derived(tx, f.account, store.DerivedRows, id)
		if err != nil {
			return r, 0, err
		}
		size += len(b)
		if b != nil {
			// Rows of another version are made anew.
			r.rows, _ = mime.DecodeRows(b)
		}
		if r.rows != nil {
			r.envelope = r.rows.Envelope
		} else if needs&(needSize|needRows) != 0 {
			r.missing = true
		}
	}
	if needs&needBytes != 0 || r.missing || needs&needEnvelope != 0 && r.envelope == nil {
		if ok, err := message(); !ok {
			return r, 0, err
		}
		r.digest = whole.Blob
		r.bytes = needs&needBytes != 0
		r.missing = r.missing || r.bytes && r.digest == ""
	}
	if needs&needEnvelope != 0 && r.envelope == nil {
		if whole.Blob != "" {
			r.missing = true // the bytes are here, or were
		} else {
			r.envelope = mime.EnvelopeOf(&whole.Message)
		}
	}
	return r, size, nil
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

// stillHere tells the client from time to time that its command is being
// worked on, until the function that it gives is called.
func (f *fetcher) stillHere() (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// A connection that takes nothing any more ends the command itself.
				_, _ = f.w.Interject("* OK Fetching from the provider")
			case <-stopped:
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-ended
	}
}
