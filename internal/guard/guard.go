// Package guard makes errors of panics. One that nobody recovers from ends the
// gateway, for every account and every client: whoever starts a goroutine that
// looks at mail, which anybody may write, runs it under Do.
//
// What is kept true. A panic is logged once, with its stack, where it was
// caught, and becomes a *Panic, whose words hold nothing of what was being
// looked at. Deferred functions have run by then, so locks are free and
// transactions rolled back.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Panic is the error of what has panicked.
type Panic struct {
	// What was being done.
	What string
}

func (p *Panic) Error() string { return p.What + ": something went wrong here; it is in the log" }

// Is reports whether a panic is what an error came of.
func Is(err error) bool {
	var p *Panic
	return errors.As(err, &p)
}

// Do calls do and gives its error, or a *Panic. args are of the log's line, as
// slog takes them.
func Do(ctx context.Context, log *slog.Logger, what string, do func() error, args ...any) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		err = &Panic{What: what}
		args = append([]any{"doing", what, "panic", fmt.Sprint(v), "stack", string(debug.Stack())}, args...)
		log.ErrorContext(ctx, "panicked", args...)
	}()
	return do()
}
