//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package bolt

import "os"

// flock has nothing to lock with: bbolt's own lock on the database stands alone.
func flock(*os.File) error { return nil }
