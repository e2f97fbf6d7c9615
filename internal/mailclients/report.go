package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report is what became of one program.
type report struct {
	client string
	steps  []step
	took   time.Duration
}

type step struct {
	name string
	err  error
}

// step runs one step and notes its fate. After one that failed the caller may go
// on or not: false says that it failed.
func (r *report) step(name string, do func() error) bool {
	err := do()
	r.steps = append(r.steps, step{name, err})
	if err != nil {
		fmt.Printf("  %-10s FAILED: %v\n", name, err)
		return false
	}
	fmt.Printf("  %-10s ok\n", name)
	return true
}

func (r *report) fail(name string, err error) {
	r.step(name, func() error { return err })
}

func (r *report) failed() bool {
	for _, s := range r.steps {
		if s.err != nil {
			return true
		}
	}
	return len(r.steps) == 0
}

// printTable prints program by step, and gives an error where one failed.
func printTable(w io.Writer, table []*report, skipped []string) error {
	fmt.Fprintln(w)
	failed := 0
	for _, r := range table {
		cells := make([]string, len(r.steps))
		for i, s := range r.steps {
			cells[i] = s.name
			if s.err != nil {
				cells[i] += " FAILED"
			}
		}
		verdict := "ok"
		if r.failed() {
			verdict = "FAILED"
			failed++
		}
		fmt.Fprintf(w, "%-12s %-6s %5.1fs  %s\n", r.client, verdict, r.took.Seconds(), strings.Join(cells, ", "))
	}
	for _, name := range skipped {
		fmt.Fprintf(w, "%-12s skipped by SKIP\n", name)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d programs failed", failed, len(table))
	}
	fmt.Fprintf(w, "%d of %d programs passed\n", len(table), len(table))
	return nil
}
