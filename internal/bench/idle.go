package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// idleRows measure what gateway and plugin keep in memory for accounts that are
// connected and in step, and where nothing happens.
func idleRows(ctx context.Context, b *bench) (rows []row, err error) {
	const (
		base = 100 << 20 // in all, with the first accounts
		each = 20 << 10
	)
	w, err := b.world(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	connected := 0
	for _, accounts := range []int{b.count(10, 2), b.count(1000, 4), b.count(10_000, 6)} {
		if err := w.idleAccounts(ctx, connected, accounts); err != nil {
			return nil, err
		}
		connected = accounts
		all, own, err := w.memory(ctx, b)
		if err != nil {
			return nil, err
		}
		limit := float64(base + each*accounts)
		name := fmt.Sprintf("memory with %d idle accounts", accounts)
		rows = append(rows,
			row{path: name, ours: float64(own) / (1 << 20), theirs: limit / (1 << 20), reference: "100 MB, and 20 KB each", unit: "MiB",
				goal: "no more", met: float64(own) <= limit},
			row{path: name + ", with pages of files", ours: float64(all) / (1 << 20), unit: "MiB"})
		fmt.Fprintf(b.log, "  %s: %s MiB, with pages of files %s MiB\n", name, short(float64(own)/(1<<20)), short(float64(all)/(1<<20)))
	}
	return rows, nil
}

// idleAccounts connects more accounts and waits until they are in step.
func (w *world) idleAccounts(ctx context.Context, from, to int) error {
	ids := make([]string, to-from)
	_, err := loop(8, 0, to-from, func(_, i int) (err error) {
		address := fmt.Sprintf("idle%05d@contoso.example", from+i)
		if err := w.user(ctx, address); err != nil {
			return err
		}
		ids[i], err = w.connect(ctx, address)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.inStep(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// memory gives what both processes keep once that has settled: what the
// accounts' first syncs took is given back to the system little by little.
func (w *world) memory(ctx context.Context, b *bench) (all, own int64, err error) {
	const steps = 36
	least := int64(-1)
	quiet := 0
	for range b.count(steps, 1) {
		if err := pass(ctx, time.Duration(b.count(5000, 50))*time.Millisecond); err != nil {
			return 0, 0, err
		}
		plugin, err := w.plugin()
		if err != nil {
			return 0, 0, err
		}
		all, own = 0, 0
		for _, pid := range []int{w.gateway.cmd.Process.Pid, plugin} {
			a, o, err := memory(pid)
			if err != nil {
				return 0, 0, err
			}
			all, own = all+a, own+o
		}
		if least >= 0 && own > least*99/100 {
			if quiet++; quiet == 4 {
				break
			}
		} else {
			quiet = 0
		}
		if least < 0 || own < least {
			least = own
		}
	}
	return all, own, nil
}
