package smtpd

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// TestSpoolGivesBackWhatItTook: however a message ends, what all take on the disk
// is counted to the byte: a disk that was full for a while leaves the door open.
func TestSpoolGivesBackWhatItTook(t *testing.T) {
	large := make([]byte, 2*spoolMemory)
	for name, write := range map[string]func(sp *spool) error{
		"written": func(sp *spool) error { return nil },
		"the disk is full": func(sp *spool) error {
			if err := sp.file.Close(); err != nil {
				return err
			}
			if _, err := sp.Write(large); err == nil || errors.Is(err, errSpoolFull) {
				return errors.New("it was written")
			}
			return nil
		},
		"all have too much": func(sp *spool) error {
			sp.all.Add(spoolTotal)
			defer sp.all.Add(-spoolTotal)
			if _, err := sp.Write(large); !errors.Is(err, errSpoolFull) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var all atomic.Int64
			dir := t.TempDir()
			sp := newSpool(dir, 1<<30, &all)
			if _, err := sp.Write(large); err != nil {
				t.Fatal(err)
			}
			if err := write(sp); err != nil {
				t.Fatal(err)
			}
			sp.close()
			if n := all.Load(); n != 0 {
				t.Errorf("%d bytes are counted still", n)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
				t.Errorf("left on the disk: %q, %v", left, err)
			}
		})
	}
}
