package session

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// tell answers for messages whose records were loaded, but for those of which
// something is missing. last says that what is not here is fetched one by one
// then; before, it is missing.
func (f *fetcher) tell(ctx context.Context, messages []message, records []record, last bool) error {
	ahead := f.openAhead(ctx, messages, records, last)
	defer ahead.stop()
	for i := range records {
		r := &records[i]
		switch {
		case r.gone:
			f.gone++
			continue
		case r.missing:
			continue // it is brought later, or could not be
		case !r.bytes:
			if err := f.one(ctx, &messages[i], r, nil); err != nil {
				return err
			}
			continue
		}
		b := ahead.next(i)
		err := b.err
		if err == nil {
			err = f.one(ctx, &messages[i], r, b)
			ahead.close(b)
			if err != nil {
				return err
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case errors.Is(err, errGone):
			f.gone++
		case errors.Is(err, store.ErrNotFound) && !last:
			r.missing = true // evicted
		default:
			f.fail(err)
		}
	}
	return f.w.Err()
}

// one answers for one message. An error ends the command, and for most the
// connection: half of a response may have been written.
func (f *fetcher) one(ctx context.Context, m *message, r *record, b *body) error {
	// Everything that can fail without harm does so before the first byte.
	pieces, err := f.find(r, b)
	if err != nil {
		f.fail(err)
		return ctx.Err()
	}
	f.begin(m)
	f.facts(m, r)
	k := 0
	for i := range f.items {
		it := &f.items[i]
		switch it.kind {
		case itemEnvelope:
			f.item("ENVELOPE ")
			f.buf = append(f.buf, r.envelope...)
		case itemBody:
			f.item("BODY ")
			f.buf = append(f.buf, r.rows.Body...)
		case itemStructure:
			f.item("BODYSTRUCTURE ")
			f.buf = append(f.buf, r.rows.BodyStructure...)
		case itemPreview:
			f.item("PREVIEW ")
			f.buf = wire.AppendString(f.buf, r.preview, false)
		case itemSection, itemBinary, itemBinarySize:
			f.item(it.label)
			if err := f.write(it, &pieces[k]); err != nil {
				return err
			}
			k++
		}
	}
	f.end()
	if f.marks && !m.row.Has(mail.Seen) {
		f.read = append(f.read, m.row.Message)
	}
	return f.w.Err()
}

// begin starts a response. What is in the buffer is of this response alone.
func (f *fetcher) begin(m *message) {
	f.buf = append(f.buf[:0], "* "...)
	f.buf = strconv.AppendUint(f.buf, uint64(m.seq), 10)
	f.buf = append(f.buf, " FETCH ("...)
	f.first = true
}

// item writes the name of the next item.
func (f *fetcher) item(label string) {
	if !f.first {
		f.buf = append(f.buf, ' ')
	}
	f.first = false
	f.buf = append(f.buf, label...)
}

// facts writes what stands in the row.
func (f *fetcher) facts(m *message, r *record) {
	for i := range f.items {
		switch f.items[i].kind {
		case itemUID:
			f.item("UID ")
			f.buf = strconv.AppendUint(f.buf, uint64(m.uid), 10)
		case itemFlags:
			f.item("FLAGS ")
			f.buf = append(f.buf, box.FlagList(m.row)...)
		case itemDate:
			f.item("INTERNALDATE \"")
			f.buf = time.Unix(m.row.Date, 0).UTC().AppendFormat(f.buf, "_2-Jan-2006 15:04:05 -0700\"")
		case itemSize:
			f.item("RFC822.SIZE ")
			size := m.row.Size
			if r != nil && r.here {
				size = r.rows.Size
			}
			f.buf = strconv.AppendInt(f.buf, size, 10)
		}
	}
}

// end ends a response and gives it to the writer.
func (f *fetcher) end() {
	f.buf = append(f.buf, ')')
	f.w.Bytes(f.buf).CRLF()
	f.release()
}

// release lets go of a buffer that one message made large.
func (f *fetcher) release() {
	if cap(f.buf) > 256<<10 {
		f.buf = nil
	}
	f.buf = f.buf[:0]
}
