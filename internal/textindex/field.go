package textindex

import (
	"context"
	"fmt"
	"strings"

	"github.com/postern-mail/postern/internal/mime"
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
	kept := keptField(name)
	which, err := x.ask(ctx, account, nil, kept, messages, func(i int, value []byte) {
		fields[i].Values = append(fields[i].Values, string(value))
	})
	if err != nil {
		return nil, fmt.Errorf("read header fields: %w", err)
	}
	for i := range fields {
		fields[i].Here = true
	}
	err = x.each(ctx, account, messages, which, func(i int, e *mime.Extract) {
		fields[i] = Field{Here: e != nil}
		if e == nil {
			return
		}
		for _, h := range e.Headers {
			if strings.EqualFold(h.Name, name) {
				fields[i].Values = append(fields[i].Values, strings.Clone(h.Value))
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read header fields: %w", err)
	}
	return fields, nil
}

// all are the places of all messages.
func all(messages []string) []int {
	which := make([]int, len(messages))
	for i := range which {
		which[i] = i
	}
	return which
}
