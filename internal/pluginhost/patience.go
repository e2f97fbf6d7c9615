package pluginhost

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// patience bounds how long a plugin may be silent: a call that is never
// answered would hold the place of an account that could be served. A verb with
// one answer has so long for it, and the plugin knows; a stream may go on for
// ever, but has to say something now and then.
type patience struct {
	// answer is for verbs with one answer, upload for those that carry a
	// message with them, silence for what lies between two parts of a stream.
	answer, upload, silence time.Duration
}

// defaultPatience leaves room for what a plugin sits out by itself: it waits
// for a quota to come back up to 2 minutes at a time.
var defaultPatience = patience{answer: 10 * time.Minute, upload: 30 * time.Minute, silence: 10 * time.Minute}

// errSilent is why a stream was given up.
var errSilent = errors.New("the plugin was silent for too long")

// layer gives each call its limit, from when a process has it: waiting for one
// has a limit of its own.
func (p patience) layer(next doer) doer {
	return func(ctx context.Context, c *call, f func(context.Context, provider.Provider) error) error {
		switch c.verb {
		case provider.VerbListen: // hints may be rare
		case provider.VerbChanges, provider.VerbEnumerate, provider.VerbFetch:
			f = p.stream(c, f)
		case provider.VerbAppend, provider.VerbPrepare:
			f = within(p.upload, f)
		default:
			f = within(p.answer, f)
		}
		return next(ctx, c, f)
	}
}

func within(d time.Duration, f func(context.Context, provider.Provider) error) func(context.Context, provider.Provider) error {
	return func(ctx context.Context, to provider.Provider) error {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return f(ctx, to)
	}
}

func (p patience) stream(c *call, f func(context.Context, provider.Provider) error) func(context.Context, provider.Provider) error {
	return func(ctx context.Context, to provider.Provider) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		timer := time.AfterFunc(p.silence, func() { cancel(errSilent) })
		defer timer.Stop()
		c.heard = func(done bool) {
			timer.Stop()
			if done {
				timer.Reset(p.silence)
			}
		}
		err := f(ctx, to)
		if err != nil && errors.Is(context.Cause(ctx), errSilent) {
			return &mail.Error{Kind: mail.KindUnavailable, Op: c.verb.Words(), Code: "silent", Message: errSilent.Error(), Err: err}
		}
		return err
	}
}
