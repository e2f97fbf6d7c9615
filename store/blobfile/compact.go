package blobfile

import (
	"context"
	"errors"
	"os"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// run writes places behind, and takes care of segments that are mostly dead.
func (p *packs) run() {
	defer close(p.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case <-p.stop:
			return
		case <-p.kick:
		}
		if err := p.tend(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
			p.blobs.log.Error("small blobs are not tended to", "error", err)
		}
	}
}

// tend flushes, then removes dead segments and moves what is left of mostly
// dead ones.
func (p *packs) tend(ctx context.Context) error {
	p.moving.Lock()
	defer p.moving.Unlock()
	p.mu.Lock()
	active := p.number
	p.mu.Unlock()
	p.flushing.Lock()
	err := p.flush(ctx, p.blobs.index.UpdateSoon)
	p.flushing.Unlock()
	if err != nil {
		return err
	}
	numbers, err := p.segments()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n >= active {
			continue
		}
		if err := p.tendSegment(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (p *packs) tendSegment(ctx context.Context, number uint32) error {
	info, err := os.Stat(p.path(number))
	if err != nil {
		return err
	}
	var live int64
	err = p.blobs.index.View(ctx, func(tx *table.Tx) (err error) {
		live, err = tx.SegmentWeight(number)
		return err
	})
	if err != nil || live*4 >= info.Size() && live > 0 {
		return err
	}
	if live > 0 {
		if _, err := p.move(ctx, number); err != nil {
			return err
		}
	}
	return p.remove(number)
}

// remove removes a segment that nothing needs.
func (p *packs) remove(number uint32) error {
	err := os.Remove(p.path(number))
	p.readers.forget(number)
	return err
}

// move copies what is needed of a segment to the active one, and tells how many
// bytes that was.
func (p *packs) move(ctx context.Context, number uint32) (copied int64, err error) {
	for offset := int64(0); ; {
		var items []table.SegmentItem
		err := p.blobs.index.View(ctx, func(tx *table.Tx) (err error) {
			items, err = tx.SegmentItems(number, offset, flushStep)
			return err
		})
		if err != nil || len(items) == 0 {
			return copied, err
		}
		offset = items[len(items)-1].Place.Offset + 1
		moved := make([]table.Place, len(items)) // the zero place: lost
		for i, item := range items {
			sealed, err := p.read(item.Place, nil)
			if errors.Is(err, store.ErrDamaged) {
				p.blobs.log.Warn("a small blob is lost", "segment", number, "offset", item.Place.Offset, "error", err)
				continue
			}
			if err != nil {
				return copied, err
			}
			p.mu.Lock()
			moved[i], err = p.append(sealed, int(item.Place.Size))
			p.mu.Unlock()
			if err != nil {
				return copied, err
			}
			copied += int64(len(sealed))
		}
		if err := p.sync(); err != nil {
			return copied, err
		}
		err = p.blobs.index.Update(ctx, func(tx *table.Tx) error {
			var errs []error
			for i, item := range items {
				if moved[i].Length == 0 {
					errs = append(errs, tx.DeleteBlobPlace(item.Name))
				} else {
					errs = append(errs, tx.MoveBlobPlace(item.Name, item.Place, moved[i]))
				}
			}
			return errors.Join(errs...)
		})
		if err != nil {
			return copied, err
		}
	}
}
