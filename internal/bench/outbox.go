package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// outboxRows compare journalled events, each durable before it leaves and
// waited for until its receiver has it, with bare requests.
func outboxRows(ctx context.Context, b *bench) ([]row, error) {
	body, err := b.sampleBody(ctx)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, c := range []struct{ producers, n int }{{1, 600}, {64, 12_000}, {512, 20_000}} {
		n := b.count(c.n, 2*c.producers)
		// As many connections as producers: neither side waits for one.
		name := fmt.Sprintf("outbox, %d producers", c.producers)
		if c.producers == 1 {
			name = "outbox, 1 producer"
		}
		ours, ref, err := pair{name: name,
			path: func(ctx context.Context) (figures, error) { return b.outbox(ctx, c.producers, c.producers, n) },
			ref: func(ctx context.Context) (figures, error) {
				got, err := b.bare(ctx, c.producers, c.producers, n, body)
				if err != nil {
					return nil, err
				}
				fsync, err := b.fsyncs(b.count(100, 5))
				got["fsync"] = milliseconds(fsync)
				return got, err
			},
		}.run(ctx, b)
		if err != nil {
			return nil, err
		}
		if c.producers == 1 {
			limit := ref["p50"] + 2*ref["fsync"] + 0.2
			rows = append(rows, row{path: "outbox, 1 producer, p50", reference: "bare signed POST", ours: ours["p50"], theirs: ref["p50"], unit: "ms",
				goal: fmt.Sprintf("bare + 2 fsyncs of %s + 0.2 = %s ms", short(ref["fsync"]), short(limit)), met: ours["p50"] <= limit})
		}
		r := row{path: name, reference: "bare signed POST", ours: ours["rate"], theirs: ref["rate"], unit: "/s"}
		if c.producers == 64 {
			r.goal, r.met = "at least half", ours["rate"] >= ref["rate"]/2
		}
		rows = append(rows, r,
			row{path: name + ", p99", reference: "bare signed POST", ours: ours["p99"], theirs: ref["p99"], unit: "ms"},
			row{path: name + ", processor for each", reference: "bare signed POST", ours: ours["cpu"], theirs: ref["cpu"], unit: "µs"})
	}
	return rows, nil
}

func (b *bench) outbox(ctx context.Context, producers, connections, n int) (got figures, err error) {
	h, err := b.house(houseOptions{connections: connections})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	accounts, err := h.accounts(ctx, "p", producers)
	if err != nil {
		return nil, err
	}
	secret, err := h.endpoint(ctx, b.sink.url+"/hook", nil)
	if err != nil {
		return nil, err
	}
	if err := b.sink.order(ctx, orders{Secret: secret}); err != nil {
		return nil, err
	}
	got, err = b.withProcessor(n, func() (figures, error) {
		return produce(producers, n, func(p, i int) error { return h.deliver(ctx, accounts[p], i) })
	})
	if err != nil {
		return nil, err
	}
	return got, b.sink.check(ctx, n)
}

// hangRows compare a healthy endpoint beside 200 that take requests and never
// answer with the same endpoint alone.
func hangRows(ctx context.Context, b *bench) ([]row, error) {
	n, others := b.count(8000, 32), b.count(200, 5)
	ours, ref, err := pair{name: fmt.Sprintf("healthy endpoint beside %d that hang", others),
		path: func(ctx context.Context) (figures, error) { return b.healthy(ctx, n, others) },
		ref:  func(ctx context.Context) (figures, error) { return b.healthy(ctx, n, 0) },
	}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("healthy endpoint while %d hang, ", others)
	return []row{
		{path: name + "p99", reference: "the same endpoint alone", ours: ours["p99"], theirs: ref["p99"], unit: "ms",
			goal: "unchanged (within 20 %)", met: ours["p99"] <= 1.2*ref["p99"]},
		{path: name + "p50", reference: "the same endpoint alone", ours: ours["p50"], theirs: ref["p50"], unit: "ms"},
	}, nil
}

func (b *bench) healthy(ctx context.Context, n, others int) (got figures, err error) {
	const producers, lanes, pending = 8, 4, 10
	// Attempts give up sooner than an operator would have them, so that the
	// run sees them hang, fail and be tried again.
	h, err := b.house(houseOptions{connections: 8, timeout: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	mine, err := h.accounts(ctx, "p", producers)
	if err != nil {
		return nil, err
	}
	secret, err := h.endpoint(ctx, b.sink.url+"/hook", mine)
	if err != nil {
		return nil, err
	}
	if err := b.sink.order(ctx, orders{Secret: secret}); err != nil {
		return nil, err
	}
	theirs, err := h.accounts(ctx, "h", max(1, others*lanes))
	if err != nil {
		return nil, err
	}
	for i := range others {
		if _, err := h.endpoint(ctx, fmt.Sprintf("%s/hang/%d", b.sink.url, i), theirs[i*lanes:(i+1)*lanes]); err != nil {
			return nil, err
		}
	}
	if others > 0 {
		if err := h.owe(ctx, theirs, len(theirs)*pending); err != nil {
			return nil, err
		}
	}
	if got, err = produce(producers, n, func(p, i int) error { return h.deliver(ctx, mine[p], i) }); err != nil {
		return nil, err
	}
	if err := b.sink.check(ctx, n); err != nil {
		return nil, err
	}
	c, err := b.sink.counts(ctx)
	if err == nil && c.Hanging < others {
		err = fmt.Errorf("%d endpoints should have been tried and hang, %d requests were", others, c.Hanging)
	}
	return got, err
}
