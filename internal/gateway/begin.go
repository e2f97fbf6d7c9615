package gateway

import (
	"context"
	"time"

	"github.com/postern-mail/postern/internal/pluginhost"
)

const (
	// firstStart bounds how long accounts and submissions wait for plugins that
	// are starting: one that hangs holds up nobody else's for longer.
	firstStart = 5 * time.Second
	// firstLook is how often it is looked whether they have started.
	firstLook = 20 * time.Millisecond
)

// afterPlugins runs fn once no plugin is at its first start any more. What was
// due at once would fail only because the gateway is not ready to do it, and
// would be told as a failure.
func (g *Gateway) afterPlugins(fn func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		awaitStarted(ctx, g.plugins.Status)
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(ctx)
	}
}

// awaitStarted waits until no instance is starting, and at most firstStart.
func awaitStarted(ctx context.Context, status func() []pluginhost.InstanceStatus) {
	ctx, cancel := context.WithTimeout(ctx, firstStart)
	defer cancel()
	ticker := time.NewTicker(firstLook)
	defer ticker.Stop()
	for {
		starting := false
		for _, p := range status() {
			starting = starting || p.State == pluginhost.StateStarting
		}
		if !starting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
