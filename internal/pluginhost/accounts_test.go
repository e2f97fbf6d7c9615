package pluginhost

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAccountsOpenOnce(t *testing.T) {
	a := newAccounts(time.Now)
	var opens atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := a.enter(t.Context(), "x", func() error { opens.Add(1); return nil }); err != nil {
				t.Error(err)
			}
			a.leave("x")
		})
	}
	wg.Wait()
	if n := opens.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
}

func TestAccountsOpeningFails(t *testing.T) {
	a := newAccounts(time.Now)
	no := errors.New("no")
	if _, err := a.enter(t.Context(), "x", func() error { return no }); err != no {
		t.Errorf("enter: %v", err)
	}
	if len(a.m) != 0 {
		t.Error("something stays")
	}
	if _, err := a.enter(t.Context(), "x", func() error { return nil }); err != nil {
		t.Errorf("enter again: %v", err)
	}
}

// TestAccountsNotOpen: of many calls that met a plugin which had forgotten the
// account, one has it opened again.
func TestAccountsNotOpen(t *testing.T) {
	a := newAccounts(time.Now)
	opens := 0
	open := func() error { opens++; return nil }
	enter := func() int {
		t.Helper()
		gen, err := a.enter(t.Context(), "x", open)
		if err != nil {
			t.Fatal(err)
		}
		a.leave("x")
		return gen
	}
	first, second := enter(), enter()
	a.notOpen("x", first)
	enter()
	a.notOpen("x", second) // late: it was opened since
	enter()
	if opens != 2 {
		t.Errorf("opened %d times", opens)
	}
}

func TestAccountsWaitForEachOther(t *testing.T) {
	a := newAccounts(time.Now)
	opening, release := make(chan struct{}), make(chan struct{})
	opened := make(chan error, 1)
	go func() {
		_, err := a.enter(context.Background(), "x", func() error { close(opening); <-release; return nil })
		opened <- err
	}()
	<-opening
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.enter(ctx, "x", func() error { t.Error("opened twice"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gave up: %v", err)
	}
	close(release)
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestAccountsIdle(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newAccounts(func() time.Time { return now })
	for _, id := range []string{"idle", "busy"} {
		if _, err := a.enter(t.Context(), id, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	a.leave("idle")
	now = now.Add(time.Hour)
	var closed []string
	note := func(id string) error { closed = append(closed, id); return nil }
	a.closeIdle(now.Add(-time.Minute), note)
	a.closeIdle(now.Add(-time.Minute), note)
	if len(closed) != 1 || closed[0] != "idle" {
		t.Errorf("closed %v", closed)
	}
	a.leave("busy")
	a.closeIdle(now.Add(-time.Minute), note)
	if len(closed) != 1 {
		t.Error("an account just used was closed")
	}
}
