package textindex

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// Field is what a message has of a header field.
type Field struct {
	// Here: the message's extract is here.
	Here bool
	// Values are folded by mime.Fold, in the order of the header.
	Values []string
}

// Fields gives a header field of messages of an account.
func (x *Index) Fields(ctx context.Context, account, name string, messages []string) ([]Field, error) {
	fields := make([]Field, len(messages))
	from := 0
	var d mime.ExtractDecoder
	for chunk := range slices.Chunk(messages, scanChunk) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := x.store.View(ctx, func(tx store.Tx) error {
			for i, id := range chunk {
				b, err := tx.Derived(account, store.DerivedText, id)
				if err != nil {
					if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
						continue
					}
					return err
				}
				e, err := d.Decode(b)
				if err != nil {
					x.log.WarnContext(ctx, "extract is damaged", "account", account, "message", id, "error", err)
					continue
				}
				f := Field{Here: true}
				for _, h := range e.Headers {
					if strings.EqualFold(h.Name, name) {
						f.Values = append(f.Values, strings.Clone(h.Value))
					}
				}
				fields[from+i] = f
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read header fields: %w", err)
		}
		from += len(chunk)
	}
	return fields, nil
}
