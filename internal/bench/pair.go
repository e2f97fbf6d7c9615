package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// figures are what one run gave, by name.
type figures map[string]float64

// pair is a path and its reference.
type pair struct {
	name      string
	path, ref func(context.Context) (figures, error)
}

// run lets reference and path alternate, so that what else happens on the
// machine meets both, and gives the medians.
func (p pair) run(ctx context.Context, b *bench) (path, ref figures, err error) {
	var paths, refs []figures
	for i := range b.runs {
		r, err := p.ref(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: reference: %w", p.name, err)
		}
		m, err := p.path(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", p.name, err)
		}
		refs, paths = append(refs, r), append(paths, m)
		fmt.Fprintf(b.log, "  %s, run %d: %v; reference %v\n", p.name, i+1, m, r)
	}
	return medians(paths), medians(refs), nil
}

func (f figures) String() string {
	keys := make([]string, 0, len(f))
	for k := range f {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	s := ""
	for i, k := range keys {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %s", k, short(f[k]))
	}
	return s
}

func medians(runs []figures) figures {
	out := figures{}
	for name := range runs[0] {
		var all []float64
		for _, r := range runs {
			all = append(all, r[name])
		}
		out[name] = median(all)
	}
	return out
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return all[n/2]
	}
	return (all[n/2-1] + all[n/2]) / 2
}

// row is one line of the table.
type row struct {
	path, reference string
	// ours and theirs are absolute figures in unit; theirs is 0 where the path
	// has no reference but a goal in itself.
	ours, theirs float64
	unit         string
	goal         string
	met          bool
}

func printTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "path\treference\tmeasured\treference's\tratio\tgoal\t")
	for _, r := range rows {
		theirs, ratio := "-", "-"
		if r.theirs != 0 {
			theirs, ratio = short(r.theirs)+" "+r.unit, fmt.Sprintf("%.2f", r.ours/r.theirs)
		}
		verdict := ""
		switch {
		case r.goal == "":
		case r.met:
			verdict = "met"
		default:
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%s\t%s\t%s\n", r.path, r.reference, short(r.ours), r.unit, theirs, ratio, r.goal, verdict)
	}
	return t.Flush()
}

// short writes a figure with three digits that count.
func short(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// produce runs op n times on some goroutines, each in a closed loop, and gives
// rate and latencies in milliseconds. The first tenth is not counted.
func produce(producers, n int, op func(producer, i int) error) (figures, error) {
	warm := n / 10
	if _, err := loop(producers, 0, warm, op); err != nil {
		return nil, err
	}
	began := time.Now()
	took, err := loop(producers, warm, n, op)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(began)
	slices.Sort(took)
	return figures{
		"rate": float64(len(took)) / elapsed.Seconds(),
		"p50":  milliseconds(percentile(took, 50)),
		"p99":  milliseconds(percentile(took, 99)),
	}, nil
}

// withProcessor adds the processor time of an operation, in microseconds, ours
// and the sink's together: on a busy machine it says more than the clock.
func (b *bench) withProcessor(n int, run func() (figures, error)) (figures, error) {
	before, err := b.processor()
	if err != nil {
		return nil, err
	}
	got, err := run()
	if err != nil {
		return nil, err
	}
	after, err := b.processor()
	if err != nil {
		return nil, err
	}
	got["cpu"] = float64((after - before).Microseconds()) / float64(n)
	return got, nil
}

func (b *bench) processor() (time.Duration, error) {
	sink, err := used(b.sink.cmd.Process.Pid)
	return processor() + sink, err
}

func loop(producers, from, to int, op func(producer, i int) error) ([]time.Duration, error) {
	var next atomic.Int64
	next.Store(int64(from))
	took := make([][]time.Duration, producers)
	errs := make([]error, producers)
	var all sync.WaitGroup
	for p := range producers {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= to {
					return
				}
				began := time.Now()
				if errs[p] = op(p, i); errs[p] != nil {
					next.Store(int64(to))
					return
				}
				took[p] = append(took[p], time.Since(began))
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(took...), nil
}

// percentile takes sorted durations.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
