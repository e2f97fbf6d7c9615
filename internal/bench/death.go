package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// deathRows measure from a plugin's sudden end to the next call that succeeds.
// Each run has a gateway of its own: one whose plugin dies again and again waits
// longer and longer, and rightly so.
func deathRows(ctx context.Context, b *bench) ([]row, error) {
	var took []float64
	for range b.runs {
		d, err := b.death(ctx)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b.log, "  after the plugin's death: %s\n", d.Round(time.Millisecond))
		took = append(took, d.Seconds())
	}
	return []row{
		{path: "a plugin's death to the next successful call", ours: median(took), unit: "s", goal: "2 s", met: median(took) <= 2},
		{path: "the same, slowest run", ours: slices.Max(took), unit: "s"},
	}, nil
}

func (b *bench) death(ctx context.Context) (took time.Duration, err error) {
	w, err := b.world(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	const address = "owner@contoso.example"
	if err := w.user(ctx, address); err != nil {
		return 0, err
	}
	account, err := w.connect(ctx, address)
	if err != nil {
		return 0, err
	}
	if err := w.inStep(ctx, account); err != nil {
		return 0, err
	}
	return w.death(ctx, account)
}

// death kills the plugin and calls the provider until that succeeds.
func (w *world) death(ctx context.Context, account string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	search := func() error {
		return w.query(ctx, `query($id: ID!) { account(id: $id) { search(query: "minutes", first: 1) { edges { node { id } } } } }`, map[string]any{"id": account}, nil)
	}
	if err := search(); err != nil {
		return 0, err
	}
	pid, err := w.plugin()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := kill(pid); err != nil {
		return 0, err
	}
	for {
		err := search()
		if err == nil {
			return time.Since(began), nil
		}
		if ctx.Err() != nil {
			return 0, err
		}
	}
}
