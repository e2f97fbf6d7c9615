package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// grown is a world with one mailbox of some size.
type grown struct {
	*world
	size    int
	secret  string
	address string
	runs    []figures
}

// growthRows measure what one new message costs in mailboxes of several sizes:
// the time from its notification to the webhook, and the processor time of
// gateway and plugin.
func growthRows(ctx context.Context, b *bench) (rows []row, err error) {
	var worlds []*grown
	defer func() {
		for _, g := range worlds {
			err = errors.Join(err, g.close())
		}
	}()
	for _, size := range []int{b.count(1000, 10), b.count(10_000, 20), b.count(100_000, 40)} {
		g := &grown{size: size}
		if g.world, g.secret, err = b.mailWorld(ctx); err != nil {
			return nil, err
		}
		worlds = append(worlds, g)
		if g.address, err = g.mailbox(ctx, size); err != nil {
			return nil, fmt.Errorf("a mailbox of %d: %w", size, err)
		}
		fmt.Fprintf(b.log, "  a mailbox of %d messages is in step\n", size)
	}
	// In turn, so that what else happens on the machine meets all of them.
	for i := range b.runs {
		for _, g := range worlds {
			got, err := b.newMail(ctx, g, b.count(100, 3))
			if err != nil {
				return nil, fmt.Errorf("new mail at %d: %w", g.size, err)
			}
			fmt.Fprintf(b.log, "  new mail at %d, run %d: %v\n", g.size, i+1, got)
			g.runs = append(g.runs, got)
		}
	}
	least := medians(worlds[0].runs)
	for _, figure := range []struct{ name, what string }{{"cpu", "processor"}, {"p50", "p50 to the webhook"}} {
		for _, g := range worlds {
			got := medians(g.runs)[figure.name]
			r := row{path: fmt.Sprintf("one new mail at %d messages, %s", g.size, figure.what), ours: got, unit: "ms"}
			if g != worlds[0] {
				r.reference, r.theirs = fmt.Sprintf("at %d messages", worlds[0].size), least[figure.name]
				r.goal, r.met = "flat within 20 %", got <= 1.2*least[figure.name]
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// newMail lets n messages come, one after the other.
func (b *bench) newMail(ctx context.Context, g *grown, n int) (figures, error) {
	if err := b.sink.order(ctx, orders{Secret: g.secret, Arrivals: true}); err != nil {
		return nil, err
	}
	before, err := g.processor()
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := range n {
		g.relay.reset()
		id, err := g.deliver(ctx, g.address, i, "")
		if err != nil {
			return nil, err
		}
		at, err := b.sink.arrival(ctx, id)
		if err != nil {
			return nil, err
		}
		if began, ok := g.relay.since(); ok {
			took = append(took, at.Sub(began))
		}
	}
	if len(took) < n/2 {
		return nil, fmt.Errorf("of %d messages %d were told by a notification", n, len(took))
	}
	after, err := g.processor()
	if err != nil {
		return nil, err
	}
	slices.Sort(took)
	return figures{"p50": milliseconds(percentile(took, 50)), "cpu": milliseconds(after-before) / float64(n)}, b.sink.check(ctx, n)
}

// processor is what gateway and plugin have used together.
func (w *world) processor() (time.Duration, error) {
	plugin, err := w.plugin()
	if err != nil {
		return 0, err
	}
	a, err := used(w.gateway.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	b, err := used(plugin)
	return a + b, err
}
