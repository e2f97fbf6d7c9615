package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// recoveryRows measure how a backlog leaves once its endpoint is back. The
// reference is the same number of bare requests.
func recoveryRows(ctx context.Context, b *bench) ([]row, error) {
	const connections = 8 // what one endpoint has by default
	body, err := b.sampleBody(ctx)
	if err != nil {
		return nil, err
	}
	n := b.count(100_000, 300)
	ours, ref, err := pair{name: fmt.Sprintf("recovery of %d pending", n),
		path: func(ctx context.Context) (figures, error) { return b.recovery(ctx, n, connections) },
		ref: func(ctx context.Context) (figures, error) {
			return b.bare(ctx, connections, connections, max(n/5, 10), body)
		},
	}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("recovery of %d pending, ", n)
	return []row{
		{path: name + "rate", reference: "bare signed POST", ours: ours["rate"], theirs: ref["rate"], unit: "/s",
			goal: "each once and in order, or the run fails", met: true},
		{path: name + "in all", ours: ours["seconds"], unit: "s"},
		{path: name + "until the first", ours: ours["first"], unit: "s"},
		{path: "commits of a backlog while the endpoint is down", ours: ours["fill"], unit: "events/s"},
	}, nil
}

// recovery lets an endpoint refuse everything while events pile up, and
// measures from the moment that it answers again.
func (b *bench) recovery(ctx context.Context, n, connections int) (got figures, err error) {
	h, err := b.house(houseOptions{connections: connections})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	accounts, err := h.accounts(ctx, "p", 64)
	if err != nil {
		return nil, err
	}
	secret, err := h.endpoint(ctx, b.sink.url+"/hook", nil)
	if err != nil {
		return nil, err
	}
	if err := b.sink.order(ctx, orders{Secret: secret, Refuse: true}); err != nil {
		return nil, err
	}
	filling := time.Now()
	if err := h.owe(ctx, accounts, n); err != nil {
		return nil, err
	}
	filled := time.Since(filling)
	all := h.wire.expect(n)
	if err := b.sink.order(ctx, orders{Secret: secret, Keep: true}); err != nil {
		return nil, err
	}
	back := time.Now()
	select {
	case <-all:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	took, first := time.Since(back), *h.wire.first.Load()
	if err := b.sink.check(ctx, n); err != nil {
		return nil, err
	}
	return figures{
		"rate": float64(n) / (took - first.Sub(back)).Seconds(), "seconds": took.Seconds(),
		"first": first.Sub(back).Seconds(), "fill": float64(n) / filled.Seconds(),
	}, nil
}
