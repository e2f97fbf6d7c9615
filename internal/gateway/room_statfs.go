//go:build linux || darwin || freebsd

package gateway

import (
	"fmt"
	"math"
	"syscall"
)

// freeSpace gives what a process without privileges can still write to a
// folder's file system.
func freeSpace(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	free := float64(st.Bavail) * float64(st.Bsize) // their types differ by system
	return int64(min(max(free, 0), math.MaxInt64/2)), nil
}
