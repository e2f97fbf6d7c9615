package bolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"
)

// ErrBroken is in the chain of every error after a commit, or a sync of blobs,
// has failed in a way that leaves open what is on the disk.
var ErrBroken = errors.New("the store takes no more writes, because a commit failed; see what the disk says, then start again")

// ErrFull is in the chain of an error of an update that found no room.
var ErrFull = errors.New("the disk is full")

// failed judges a commit's error. No room for data pages changes nothing that
// was there (bbolt makes a commit valid by its meta page, last of all), so
// writing may go on when there is room again. After anything else, a failed
// fsync above all, the pages in the kernel's cache may be neither old nor new.
func (w *writer) failed(err error) error {
	if full(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return w.breakOff(err)
}

// breakOff ends writing for good.
func (w *writer) breakOff(err error) error {
	broken := fmt.Errorf("%w: %w", ErrBroken, err)
	w.mu.Lock()
	if w.broken == nil {
		close(w.fell)
	}
	w.broken = broken
	w.mu.Unlock()
	w.store.opts.Log.Error("store is broken", "error", err)
	w.fail(broken)
	return broken
}

func full(err error) bool {
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrMaxSizeReached):
		return true
	case errors.As(err, &errno):
		var writing interface{ Timeout() bool } // *fs.PathError, not a bare errno of fdatasync
		_, bare := err.(syscall.Errno)
		return !bare && errors.As(err, &writing) &&
			(errno == syscall.ENOSPC || errno == syscall.EDQUOT || errno == syscall.EFBIG)
	}
	// bbolt gives the cause of a failed growth as text alone.
	text := err.Error()
	return strings.HasPrefix(text, "file resize error: ") && strings.Contains(text, syscall.ENOSPC.Error())
}

// Watch blocks until ctx ends, or until nothing is written any more, and says
// why. A gateway that cannot write is of no use: it ends, so that whoever
// watches it hears of it.
func (s *Store) Watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.writer.fell:
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		return s.writer.broken
	}
}
