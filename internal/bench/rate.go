package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// rateRows measure how many new messages of one account reach a webhook, while
// every answer of the provider takes 100 ms longer.
func rateRows(ctx context.Context, b *bench) (rows []row, err error) {
	const least, delay = 200, 100
	n := b.count(4000, 30)
	w, secret, err := b.mailWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var runs []figures
	for range b.runs {
		got, err := b.rate(ctx, w, secret, n, delay)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b.log, "  rate: %v\n", got)
		runs = append(runs, got)
	}
	got := medians(runs)
	return []row{
		{path: fmt.Sprintf("new mail of one account, %d at once, provider %d ms slower", n, delay), reference: "4 requests of 20 at once, by the clock",
			ours: got["rate"], theirs: 4 * 20 * 1000 / delay, unit: "/s", goal: fmt.Sprintf("at least %d /s", least), met: got["rate"] >= least},
		{path: "until the first of them", ours: got["first"], unit: "ms"},
	}, nil
}

// rate delivers n messages to the provider as fast as it takes them, and counts
// from the first of them to the last webhook.
func (b *bench) rate(ctx context.Context, w *world, secret string, n, delay int) (figures, error) {
	if err := b.sink.order(ctx, orders{Secret: secret}); err != nil {
		return nil, err
	}
	address, err := w.mailbox(ctx, 0)
	if err != nil {
		return nil, err
	}
	fault := map[string]any{"cloud": "microsoft", "user": address, "delay_ms": delay}
	if err := w.control(ctx, http.MethodPut, "/control/faults", fault, nil); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := loop(4, 0, n, func(_, i int) error { _, err := w.deliver(ctx, address, i, ""); return err }); err != nil {
		return nil, err
	}
	delivered := time.Since(began)
	var last counts
	err = w.gateway.until(ctx, "wait for webhooks", func() (ok bool, err error) {
		last, err = b.sink.counts(ctx)
		return last.Distinct >= n, err
	})
	if err != nil {
		return nil, err
	}
	if err := w.control(ctx, http.MethodDelete, "/control/faults", nil, nil); err != nil {
		return nil, err
	}
	return figures{
		"rate":      float64(n) / time.Unix(0, last.Last).Sub(began).Seconds(),
		"delivered": float64(n) / delivered.Seconds(),
		"first":     milliseconds(time.Unix(0, last.First).Sub(began)),
	}, b.sink.check(ctx, n)
}
