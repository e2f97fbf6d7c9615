package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

const (
	// smallBody is up to which length a body is read whole before a byte of it is
	// written: damage of it is a failure of one message, not of the connection.
	smallBody = 256 << 10
	// openBodies is how many bodies are held open ahead of the writer, and
	// openers how many are opened at once: opening is mostly unsealing.
	openBodies = 6
	openers    = 2
)

// body is a message's bytes, opened to be read.
type body struct {
	err  error
	blob store.Blob
	data []byte // all of it, where it is small
	size int64
	slot bool // it counts as open ahead
}

// ReadAt reads a range.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	if b.data == nil {
		return b.blob.ReadAt(p, off)
	}
	if off >= int64(len(b.data)) {
		return 0, io.EOF
	}
	n := copy(p, b.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *body) close() {
	if b.blob != nil {
		_ = b.blob.Close() // it was read
		b.blob = nil
	}
}

// open opens the bytes that a record tells of. ErrNotFound where they were
// evicted; with fetch they are brought back. Whatever goes wrong, be it a panic,
// does so for this message alone.
func (f *fetcher) open(ctx context.Context, m *message, r *record, fetch bool) *body {
	b := &body{}
	b.err = guard.Do(ctx, f.log, "open a body", func() error { return f.openBytes(ctx, m, r, fetch, b) },
		"account", f.account, "message", m.row.Message)
	if b.err != nil {
		b.close()
	}
	return b
}

func (f *fetcher) openBytes(ctx context.Context, m *message, r *record, fetch bool, b *body) error {
	blob, err := f.store.Blobs().Open(ctx, f.account, r.digest)
	if errors.Is(err, store.ErrNotFound) && fetch {
		var whole *store.Message
		blob, whole, err = f.mirror.Raw(ctx, m.row.Message)
		switch {
		case mail.KindOf(err) == mail.KindNotFound:
			err = errGone
		case err == nil && (whole.Blob != r.digest || whole.UIDs[f.mailbox] != m.uid):
			// Other bytes are another message to IMAP, with a UID of its own.
			_ = blob.Close()
			err = errGone
		}
	}
	if err != nil {
		return err
	}
	b.blob, b.size = blob, blob.Size()
	if whole, ok := blob.(store.InMemory); ok {
		b.data = whole.Bytes()
	} else if b.size <= smallBody {
		b.data = make([]byte, b.size)
		_, err = blob.ReadAt(b.data, 0)
		b.close()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// ahead opens bodies in the order in which they are written, some ahead.
type ahead struct {
	bodies []chan *body // by record, nil where none is needed
	slots  chan struct{}
	cancel context.CancelFunc
	all    sync.WaitGroup
}

// openAhead begins to open the bodies that are needed of records.
func (f *fetcher) openAhead(ctx context.Context, messages []message, records []record, fetch bool) *ahead {
	var wanted []int
	for i := range records {
		if r := &records[i]; r.bytes && !r.missing && !r.gone {
			wanted = append(wanted, i)
		}
	}
	a := &ahead{cancel: func() {}}
	if len(wanted) == 0 {
		return a
	}
	a.bodies = make([]chan *body, len(records))
	for _, i := range wanted {
		a.bodies[i] = make(chan *body, 1)
	}
	if len(wanted) == 1 {
		a.bodies[wanted[0]] <- f.open(ctx, &messages[wanted[0]], &records[wanted[0]], fetch)
		return a
	}
	ctx, a.cancel = context.WithCancel(ctx)
	a.slots = make(chan struct{}, openBodies)
	queue := make(chan int)
	a.all.Go(func() {
		defer close(queue)
		for n, i := range wanted {
			select {
			case a.slots <- struct{}{}:
			case <-ctx.Done():
				// Who waits for one of those that are left must learn of it.
				for _, i := range wanted[n:] {
					a.bodies[i] <- &body{err: ctx.Err()}
				}
				return
			}
			queue <- i
		}
	})
	for range openers {
		a.all.Go(func() {
			for i := range queue {
				b := f.open(ctx, &messages[i], &records[i], fetch)
				b.slot = true
				a.bodies[i] <- b
			}
		})
	}
	return a
}

// next gives the body of a record, which must be closed.
func (a *ahead) next(i int) *body {
	b := <-a.bodies[i]
	if b.err != nil {
		a.close(b)
	}
	return b
}

// close lets a body go.
func (a *ahead) close(b *body) {
	b.close()
	if b.slot {
		b.slot = false
		<-a.slots
	}
}

// stop ends the opening and closes what nobody took.
func (a *ahead) stop() {
	a.cancel()
	a.all.Wait()
	for _, ch := range a.bodies {
		select {
		case b := <-ch: // a nil channel is never ready
			b.close()
		default:
		}
	}
}
