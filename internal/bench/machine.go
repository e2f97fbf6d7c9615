package main

import (
	"fmt"
	"runtime"
)

// describeMachine prints what the figures depend on, and refuses a disk that
// is none.
func (b *bench) describeMachine() error {
	memory, err := inMemory(b.scratch)
	if err != nil {
		return err
	}
	if memory && !b.quick {
		return fmt.Errorf("%s lies in memory: give a folder on a disk by -dir", b.dir)
	}
	p50, err := b.fsyncs(b.count(400, 5))
	if err != nil {
		return fmt.Errorf("measure fsync: %w", err)
	}
	fmt.Fprintf(b.out, "disk: append of 4 KiB and fdatasync, p50 %s ms (fsync on everywhere)\n", short(milliseconds(p50)))
	fmt.Fprintf(b.out, "machine: %d processors, %s, load %s at the start; medians of %d alternating runs\n\n", runtime.NumCPU(), runtime.Version(), load(), b.runs)
	return nil
}
