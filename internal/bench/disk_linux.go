package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// fsyncs appends 4 KiB to a file and syncs it, n times, and gives the median:
// the least that one durable write costs here.
func (b *bench) fsyncs(n int) (p50 time.Duration, err error) {
	name := filepath.Join(b.scratch, "fsync")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(name)
	}()
	page := make([]byte, 4096)
	took := make([]time.Duration, 0, n)
	for range n {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return percentile(took, 50), nil
}

// inMemory reports whether a folder's file system forgets everything: an fsync
// costs nothing there, and a measure of it says nothing.
func inMemory(dir string) (bool, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return false, err
	}
	const tmpfs, ramfs = 0x01021994, 0x858458f6 // statfs(2)
	return int64(s.Type) == tmpfs || int64(s.Type) == ramfs, nil
}

// processor is the time that this process has used.
func processor() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// load is how many processes want the processors, from /proc/loadavg.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	var one float64
	if _, err := fmt.Sscan(string(text), &one); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.2f", one)
}
