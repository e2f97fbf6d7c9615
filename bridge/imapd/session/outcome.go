package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// writeAtOnce is how many messages one call to the mirror changes, and
// writeLimit how long that may take. Within them a change that was begun is
// carried through, though the client leaves: it asked for it. Where the gateway
// stops and can wait no longer, the client is told that nobody knows.
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
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			// The provider had it, perhaps, when it was given up.
			err = mail.Errorf(mail.KindOutcomeUnknown, "change messages", "interrupted")
		}
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
		if mail.KindOf(o.failed) == mail.KindOutcomeUnknown {
			t.Text = line(fmt.Sprintf("It is not certain that %d of %d messages were %s: %s", o.fail, o.fail+o.done, verb, t.Text))
			return t
		}
		t.Text = line(fmt.Sprintf("%d of %d messages not %s: %s", o.fail, o.fail+o.done, verb, t.Text))
		return t
	case o.lost > 0 && !uid:
		return &Tagged{Status: No, Code: "EXPUNGEISSUED", Text: fmt.Sprintf("%d messages are gone", o.lost)}
	}
	return &Tagged{Status: OK, Text: "Done"}
}

// inBatches has a change made for some messages after the other. One that is
// under way goes on though the client leaves, but not when stopping is closed.
func inBatches[T any](ctx context.Context, stopping <-chan struct{}, all []T, change func(context.Context, []T) error) error {
	for part := range slices.Chunk(all, writeAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
		go func() {
			select {
			case <-stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
		err := change(ctx, part)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
