package textindex

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// scanChunk is how many extracts one transaction reads.
const scanChunk = 64

// scan looks through the extracts of the messages at the places in which, on
// as many processors as there are slots.
func (x *Index) scan(ctx context.Context, account string, q *Query, needle string, messages []string, which []int, results []Result) error {
	work := make(chan []int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range min(cap(x.slots), (len(which)+scanChunk-1)/scanChunk) {
		wg.Go(func() {
			var d mime.ExtractDecoder
			for chunk := range work {
				if err := x.scanChunk(ctx, account, q, needle, messages, chunk, results, &d); err != nil {
					cancel(err)
				}
			}
		})
	}
	for chunk := range slices.Chunk(which, scanChunk) {
		if ctx.Err() != nil {
			break
		}
		work <- chunk
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

func (x *Index) scanChunk(ctx context.Context, account string, q *Query, needle string, messages []string, chunk []int, results []Result, d *mime.ExtractDecoder) error {
	select {
	case x.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-x.slots }()
	var long []int
	err := x.store.View(ctx, func(tx store.Tx) error {
		long = nil
		for _, i := range chunk {
			r, more, err := x.look(tx, account, q, needle, messages[i], d)
			if err != nil {
				return err
			}
			results[i] = r
			if more {
				long = append(long, i)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range long {
		if results[i], err = x.lookInto(ctx, account, q, needle, messages[i]); err != nil {
			return err
		}
	}
	return nil
}

// look looks into one extract. more: it is cut, and the text may be behind. One
// that is damaged is as good as none: it must not fail every search.
func (x *Index) look(tx store.Tx, account string, q *Query, needle, id string, d *mime.ExtractDecoder) (r Result, more bool, err error) {
	b, err := tx.Derived(account, store.DerivedText, id)
	if errors.Is(err, store.ErrNotFound) {
		return Unknown, false, nil
	}
	var e *mime.Extract
	if err == nil {
		e, err = d.Decode(b)
	} else if !errors.Is(err, store.ErrDamaged) {
		return No, false, err
	}
	if err != nil {
		x.log.Warn("extract is damaged", "account", account, "message", id, "error", err)
		return Unknown, false, nil
	}
	switch {
	case holds(e, q, needle):
		return Yes, false, nil
	case e.More && q.Where != InHeader:
		return No, true, nil
	}
	return No, false, nil
}

func holds(e *mime.Extract, q *Query, needle string) bool {
	switch q.Where {
	case InText:
		return e.Contains(needle, mime.InText)
	case InBody:
		return e.Contains(needle, mime.InBody)
	}
	for _, h := range e.Headers {
		if strings.EqualFold(h.Name, q.Field) && strings.Contains(h.Value, needle) {
			return true
		}
	}
	return false
}

// lookInto looks through the bytes of a message whose text is longer than its
// extract. Where they are not here any more, what is here decides.
func (x *Index) lookInto(ctx context.Context, account string, q *Query, needle, id string) (Result, error) {
	digest := ""
	err := x.store.View(ctx, func(tx store.Tx) error {
		m, err := tx.Message(id)
		if err == nil {
			digest = m.Blob
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && digest == "" {
		return No, nil
	}
	if err != nil {
		return No, err
	}
	blob, err := x.store.Blobs().Open(ctx, account, digest)
	if errors.Is(err, store.ErrNotFound) {
		return No, nil
	}
	if err != nil {
		return No, err
	}
	defer blob.Close()
	scope := mime.InText
	if q.Where == InBody {
		scope = mime.InBody
	}
	found, err := mime.Contains(blob, blob.Size(), []string{needle}, scope)
	if err == nil && found[0] {
		return Yes, nil
	}
	return No, err
}
