package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// writeAtOnce is how many messages one call to the mirror changes, and
// writeLimit how long that may take. Within them a change that was begun is
// carried through, though the client leaves: it asked for it.
const (
	writeAtOnce = 500
	writeLimit  = 5 * time.Minute
)

// outcome is what came of a change of several messages.
type outcome struct {
	done   int
	failed error
	// lost is how many were gone.
	lost int
	fail int
}

// note adds the fate of one message.
func (o *outcome) note(err error) {
	switch {
	case err == nil:
		o.done++
	case mail.KindOf(err) == mail.KindNotFound:
		o.lost++
	default:
		o.fail++
		if o.failed == nil {
			o.failed = err
		}
	}
}

// answer is the answer to a command that changed messages. uid: it named them
// by UID, where one that is gone is no error (RFC 9051, 6.4.9).
func (o *outcome) answer(uid bool, verb string) *Tagged {
	switch {
	case o.fail > 0:
		t := Answer(o.failed)
		t.Text = line(fmt.Sprintf("%d of %d messages not %s: %s", o.fail, o.fail+o.done, verb, t.Text))
		return t
	case o.lost > 0 && !uid:
		return &Tagged{Status: No, Code: "EXPUNGEISSUED", Text: fmt.Sprintf("%d messages are gone", o.lost)}
	}
	return &Tagged{Status: OK, Text: "Done"}
}

// inBatches has a change made for some messages after the other.
func inBatches[T any](ctx context.Context, all []T, change func(context.Context, []T) error) error {
	for part := range slices.Chunk(all, writeAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
		err := change(ctx, part)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
