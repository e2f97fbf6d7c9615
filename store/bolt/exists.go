package bolt

import (
	"os"
	"path/filepath"
)

// Exists reports whether a folder holds a store, or one that was restored and
// that the next Open moves into its place. It changes nothing.
func Exists(path string) bool {
	if _, err := os.Lstat(filepath.Join(path, fileName)); err == nil {
		return true
	}
	ready, err := filepath.Glob(filepath.Join(path, readyDir+"*"))
	return err == nil && len(ready) > 0
}
