package textindex

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// scanChunk is how many extracts one transaction reads.
const scanChunk = 64

// scan looks through the extracts of the messages at the places in which.
func (x *Index) scan(ctx context.Context, account string, q *Query, needle string, messages []string, which []int, results []Result) error {
	long := make(chan int, len(which)) // their extracts are cut, and the text may be behind
	err := x.each(ctx, account, messages, which, func(i int, e *mime.Extract) {
		switch {
		case e == nil:
			results[i] = Unknown
		case holds(e, q, needle):
			results[i] = Yes
		default:
			results[i] = No
			if e.More && q.Where != InHeader {
				long <- i
			}
		}
	})
	close(long)
	for i := range long {
		if err != nil {
			return err
		}
		results[i], err = x.lookInto(ctx, account, q, needle, messages[i])
	}
	return err
}

// each reads the extracts of the messages at the places in which, on as many
// processors as there are slots, and hands them out by place, at several places
// at once. nil is one that is not here, or damaged: that must not fail every
// search. An extract is good until look returns.
func (x *Index) each(ctx context.Context, account string, messages []string, which []int, look func(int, *mime.Extract)) error {
	work := make(chan []int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range min(cap(x.slots), (len(which)+scanChunk-1)/scanChunk) {
		wg.Go(func() {
			var d mime.ExtractDecoder
			for chunk := range work {
				err := guard.Do(ctx, x.log, "search messages", func() error {
					return x.eachOf(ctx, account, messages, chunk, look, &d)
				}, "account", account)
				if err != nil {
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

// eachOf is each of as many as one transaction reads.
func (x *Index) eachOf(ctx context.Context, account string, messages []string, chunk []int, look func(int, *mime.Extract), d *mime.ExtractDecoder) error {
	select {
	case x.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-x.slots }()
	return x.store.View(ctx, func(tx store.Tx) error {
		for _, i := range chunk {
			b, err := tx.Derived(account, store.DerivedText, messages[i])
			var e *mime.Extract
			switch {
			case err == nil:
				if e, err = d.Decode(b); err != nil {
					x.log.WarnContext(ctx, "extract is damaged", "account", account, "message", messages[i], "error", err)
				}
			case errors.Is(err, store.ErrDamaged):
				x.log.WarnContext(ctx, "extract is damaged", "account", account, "message", messages[i], "error", err)
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
			look(i, e)
		}
		return nil
	})
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
