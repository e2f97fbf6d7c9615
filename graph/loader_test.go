package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestLoaderFetchesTogether: keys of the same moment in one fetch, none twice.
func TestLoaderFetchesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var fetches [][]string
		l := newLoader(t.Context(), func(_ context.Context, keys []string) (map[string]int, error) {
			mu.Lock()
			defer mu.Unlock()
			fetches = append(fetches, keys)
			found := map[string]int{}
			for _, k := range keys {
				if k != "missing" {
					found[k] = len(k)
				}
			}
			return found, nil
		})
		l.prime("primed", 77)
		var wait sync.WaitGroup
		for _, k := range []string{"a", "bb", "a", "missing", "primed", "bb"} {
			wait.Go(func() {
				want := len(k)
				switch k {
				case "missing":
					want = 0
				case "primed":
					want = 77
				}
				if v, err := l.load(t.Context(), k); err != nil || v != want {
					t.Errorf("%s: %d %v", k, v, err)
				}
			})
		}
		wait.Wait()
		if len(fetches) != 1 || len(fetches[0]) != 3 {
			t.Errorf("fetched %v", fetches)
		}
		l.reset()
		if _, err := l.load(t.Context(), "a"); err != nil || len(fetches) != 2 {
			t.Errorf("after reset: %v %v", err, fetches)
		}
	})
}

func TestLoaderBoundsItsFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		l := newLoader(t.Context(), func(_ context.Context, keys []string) (map[string]int, error) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(keys))
			return nil, nil
		})
		var wait sync.WaitGroup
		for n := range 2*loadMax + 5 {
			wait.Go(func() { _, _ = l.load(t.Context(), fmt.Sprint(n)) })
		}
		wait.Wait()
		slices.Sort(sizes)
		if !slices.Equal(sizes, []int{5, loadMax, loadMax}) {
			t.Error(sizes)
		}
	})
}

func TestLoaderTellsItsErrors(t *testing.T) {
	wrong := errors.New("wrong")
	failing := newLoader(t.Context(), func(context.Context, []string) (map[string]int, error) { return nil, wrong })
	if _, err := failing.load(t.Context(), "a"); !errors.Is(err, wrong) {
		t.Error(err)
	}
	panicking := newLoader(t.Context(), func(context.Context, []string) (map[string]int, error) { panic("ordered") })
	if _, err := panicking.load(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "ordered") {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	stuck := newLoader(t.Context(), func(ctx context.Context, _ []string) (map[string]int, error) { <-ctx.Done(); return nil, ctx.Err() })
	if _, err := stuck.load(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
