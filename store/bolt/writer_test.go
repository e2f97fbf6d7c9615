package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store"
)

// commits takes notes of what the observer is told.
type commits struct {
	mu      sync.Mutex
	members []int
	errs    []error
	reruns  int
}

func (c *commits) observer() Observer {
	return Observer{
		Commit: func(_ time.Duration, members int, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.members, c.errs = append(c.members, members), append(c.errs, err)
		},
		Rerun: func(members int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.reruns += members
		},
	}
}

func (c *commits) all() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int(nil), c.members...)
}

// queued waits until n jobs wait for the writer.
func queued(t *testing.T, s *Store, n int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s.writer.mu.Lock()
		have := len(s.writer.queue)
		s.writer.mu.Unlock()
		if have >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d jobs are queued", have, n)
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// behind runs updates that queue while the writer is busy, and gives their
// errors.
func behind(t *testing.T, s *Store, fns ...func(store.Tx) error) []error {
	t.Helper()
	ctx := context.Background()
	inside, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.Update(ctx, func(tx store.Tx) error { close(inside); <-goOn; return put(tx, "first") })
	}()
	<-inside
	// The one before is past its time to take others in.
	for began := time.Now(); time.Since(began) <= maxWork; {
		time.Sleep(time.Millisecond)
	}
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = s.Update(ctx, fn)
		}()
		queued(t, s, i+1)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return errs
}

func TestUpdatesThatWaitShareACommit(t *testing.T) {
	var c commits
	s := open(t, Options{Observe: c.observer()})
	var fns []func(store.Tx) error
	for i := range 40 {
		fns = append(fns, func(tx store.Tx) error { return put(tx, fmt.Sprint(i)) })
	}
	for _, err := range behind(t, s, fns...) {
		if err != nil {
			t.Error(err)
		}
	}
	if got := c.all(); len(got) != 2 || got[0] != 1 || got[1] != 40 {
		t.Errorf("commits of %v", got)
	}
}

func TestIdleWriterCommitsAtOnce(t *testing.T) {
	var c commits
	s := open(t, Options{Observe: c.observer()})
	began := time.Now()
	for i := range 20 {
		if err := s.Update(context.Background(), func(tx store.Tx) error { return put(tx, fmt.Sprint(i)) }); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 20*hold/2 {
		t.Errorf("20 updates took %v: they were held back", took)
	}
	if got := c.all(); len(got) != 20 {
		t.Errorf("commits of %v", got)
	}
}

func TestOneThatFailsRollsBackAndTheRestRunAgain(t *testing.T) {
	var c commits
	s := open(t, Options{Observe: c.observer()})
	bad := errors.New("bad")
	var runs [4]int
	errs := behind(t, s,
		func(tx store.Tx) error { runs[0]++; return put(tx, "0") },
		func(tx store.Tx) error { runs[1]++; return put(tx, "1") },
		func(tx store.Tx) error { runs[2]++; return errors.Join(put(tx, "2"), bad) },
		func(tx store.Tx) error { runs[3]++; return put(tx, "3") },
	)
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], bad) || errs[3] != nil {
		t.Errorf("errors %v", errs)
	}
	if runs != [4]int{2, 2, 1, 1} || c.reruns != 2 {
		t.Errorf("runs %v, told of %d", runs, c.reruns)
	}
	if got := c.all(); len(got) != 3 || got[1] != 2 || got[2] != 1 {
		t.Errorf("commits of %v", got)
	}
}

func TestOneThatFailsBeforeWritingDisturbsNobody(t *testing.T) {
	var c commits
	s := open(t, Options{Observe: c.observer()})
	bad := errors.New("bad")
	errs := behind(t, s,
		func(tx store.Tx) error { return put(tx, "0") },
		func(store.Tx) error { return bad },
		func(tx store.Tx) error { return put(tx, "2") },
	)
	if errs[0] != nil || !errors.Is(errs[1], bad) || errs[2] != nil || c.reruns != 0 {
		t.Errorf("errors %v, %d ran again", errs, c.reruns)
	}
	if got := c.all(); len(got) != 2 || got[1] != 2 {
		t.Errorf("commits of %v", got)
	}
}

func TestUpdateSoonWaitsForCompanyButNotLong(t *testing.T) {
	var c commits
	s := open(t, Options{Observe: c.observer()})
	ctx := context.Background()
	soon := func(name string) chan error {
		done := make(chan error, 1)
		go func() { done <- s.UpdateSoon(ctx, func(tx store.Tx) error { return put(tx, name) }) }()
		queued(t, s, 1)
		return done
	}
	done := soon("a")
	if err := s.Update(ctx, func(tx store.Tx) error { return put(tx, "b") }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := c.all(); len(got) != 1 || got[0] != 2 {
		t.Errorf("with company: commits of %v", got)
	}
	began := time.Now()
	if err := <-soon("c"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < hold/2 || took > 20*hold {
		t.Errorf("without company it took %v", took)
	}
	done = soon("d")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("on close: %v", err)
	}
}

func TestLongWorkIsSplit(t *testing.T) {
	var c commits
	s := open(t, Options{Observe: c.observer()})
	slow := func(tx store.Tx) error {
		for end := time.Now().Add(maxWork * 2 / 3); time.Now().Before(end); {
		}
		return put(tx, "x")
	}
	for _, err := range behind(t, s, slow, slow, slow, slow, slow, slow) {
		if err != nil {
			t.Error(err)
		}
	}
	for _, members := range c.all() {
		if members > 2 {
			t.Errorf("commits of %v: one took too much in", c.all())
		}
	}
}

func TestFullDiskPasses(t *testing.T) {
	s := open(t, Options{})
	ctx := context.Background()
	for _, cause := range []error{
		&fs.PathError{Op: "write", Path: "postern.db", Err: syscall.ENOSPC},
		errors.New("file resize error: truncate postern.db: " + syscall.ENOSPC.Error()),
	} {
		s.writer.commit = func(tx *bbolt.Tx) error { _ = tx.Rollback(); return cause }
		if err := s.Update(ctx, func(tx store.Tx) error { return put(tx, "a") }); !errors.Is(err, ErrFull) || errors.Is(err, ErrBroken) {
			t.Errorf("%v: %v", cause, err)
		}
		s.writer.commit = (*bbolt.Tx).Commit
		if err := s.Update(ctx, func(tx store.Tx) error { return put(tx, "b") }); err != nil {
			t.Errorf("after %v: %v", cause, err)
		}
	}
}

func TestFailedSyncEndsWriting(t *testing.T) {
	ctx := context.Background()
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, &fs.PathError{Op: "write", Path: "postern.db", Err: syscall.EIO}} {
		dir, key := t.TempDir(), ring(t, newKey(t))
		s := open(t, Options{Path: dir, Keyring: key})
		update := func(name string) error {
			return s.Update(ctx, func(tx store.Tx) error { return put(tx, name) })
		}
		if err := update("before"); err != nil {
			t.Fatal(err)
		}
		// Whoever queues behind the failing commit hears of it, too.
		entered, goOn := make(chan struct{}), make(chan struct{})
		s.writer.commit = func(tx *bbolt.Tx) error { close(entered); <-goOn; _ = tx.Rollback(); return cause }
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- update("first") }()
		<-entered
		go func() { second <- update("second") }()
		queued(t, s, 1)
		close(goOn)
		if err := <-first; !errors.Is(err, ErrBroken) || !errors.Is(err, cause) {
			t.Errorf("%v: the failing one: %v", cause, err)
		}
		if err := <-second; !errors.Is(err, ErrBroken) {
			t.Errorf("%v: one behind: %v", cause, err)
		}
		if err := update("third"); !errors.Is(err, ErrBroken) || !errors.Is(err, cause) {
			t.Errorf("%v: one that comes later: %v", cause, err)
		}
		if err := s.Watch(ctx); !errors.Is(err, ErrBroken) || !errors.Is(err, cause) {
			t.Errorf("%v: whoever watches hears: %v", cause, err)
		}
		err := s.View(ctx, func(tx store.Tx) error {
			_, err := tx.Setting("before")
			return err
		})
		if err != nil {
			t.Errorf("%v: reading: %v", cause, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%v: close: %v", cause, err)
		}
		s = open(t, Options{Path: dir, Keyring: key})
		if err := update("fourth"); err != nil {
			t.Errorf("%v: after opening again: %v", cause, err)
		}
	}
}
