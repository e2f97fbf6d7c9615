package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopInCommit stops the gateway in the middle of a commit of its store, where
// it can only be killed. That it is one is proved: while the gateway stood
// still the store's meta pages were read and everything written before that was
// known; since then something was written, and the meta pages, which a commit
// writes last, are still the same.
func (s *soak) stopInCommit(ctx context.Context) error {
	name := filepath.Join(s.dir, "data", "postern.db")
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := syscall.InotifyAddWatch(fd, name, syscall.IN_MODIFY); err != nil {
		return fmt.Errorf("watch the store: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Unix(1, 0)) })()
	pid := s.gateway.cmd.Process.Pid
	for {
		if err := freeze(pid); err != nil {
			return err
		}
		before, err := metaTx(name)
		if err == nil {
			err = drain(fd)
		}
		if err := errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)); err != nil {
			return err
		}
		var buf [4096]byte
		if _, err := events.Read(buf[:]); err != nil {
			return errors.Join(ctx.Err(), err)
		}
		if err := freeze(pid); err != nil {
			return err
		}
		after, err := metaTx(name)
		if err != nil {
			return errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
		}
		if after == before && ctx.Err() == nil {
			return nil // it stays stopped
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// drain reads what is there.
func drain(fd int) error {
	var buf [4096]byte
	for {
		switch _, err := syscall.Read(fd, buf[:]); {
		case errors.Is(err, syscall.EAGAIN):
			return nil
		case err != nil && !errors.Is(err, syscall.EINTR):
			return err
		}
	}
}

// freeze stops a process and waits until it stands still.
func freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		// proc_pid_stat(5): the state stands behind the name in parentheses. All
		// threads of a group stop together, each where it next could.
		still := true
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(tasks) == 0 {
			return fmt.Errorf("process %d is gone", pid)
		}
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue // a thread that has ended
			}
			if _, rest, ok := strings.Cut(string(b), ") "); ok && !strings.HasPrefix(rest, "T") {
				still = false
			}
		}
		if still {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// metaTx is the number of the last transaction that the store's two meta pages
// name: bbolt's page header has 16 bytes, in the meta behind it the number is
// at 48.
func metaTx(name string) (uint64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var last uint64
	for page := range 2 {
		var b [8]byte
		if _, err := f.ReadAt(b[:], int64(page*os.Getpagesize()+16+48)); err != nil {
			return 0, err
		}
		last = max(last, binary.LittleEndian.Uint64(b[:]))
	}
	return last, nil
}
