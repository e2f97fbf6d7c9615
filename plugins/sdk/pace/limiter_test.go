package pace

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// queue starts a waiter and returns when it stands in line.
func queue(l *Limiter, p Priority, weight int, name string, served *[]string, mu *sync.Mutex, hold <-chan struct{}) {
	go func() {
		release, err := l.Acquire(context.Background(), p, weight)
		if err != nil {
			return
		}
		mu.Lock()
		*served = append(*served, name)
		mu.Unlock()
		<-hold
		release()
	}()
	synctest.Wait()
}

func TestLimiterServesByPriorityThenAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		busy, err := l.Acquire(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var served []string
		hold := make(chan struct{})
		close(hold)
		for _, w := range []struct {
			p    Priority
			name string
		}{{3, "backfill 1"}, {2, "delta"}, {3, "backfill 2"}, {0, "interactive 1"}, {1, "write"}, {0, "interactive 2"}} {
			queue(l, w.p, 1, w.name, &served, &mu, hold)
		}
		busy()
		busy() // gives nothing back twice
		synctest.Wait()
		want := []string{"interactive 1", "interactive 2", "write", "delta", "backfill 1", "backfill 2"}
		if diff := cmp.Diff(want, served); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLimiterCountsWeightAndStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(4)
		one, err := l.Acquire(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var served []string
		hold := make(chan struct{})
		queue(l, 1, 9, "batch", &served, &mu, hold) // as many as there are: four
		queue(l, 1, 1, "single", &served, &mu, hold)
		if len(served) != 0 {
			t.Errorf("served while three slots are free: %v", served)
		}
		one()
		synctest.Wait()
		if diff := cmp.Diff([]string{"batch"}, served); diff != "" {
			t.Error(diff)
		}
		close(hold)
		synctest.Wait()
		if diff := cmp.Diff([]string{"batch", "single"}, served); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLimiterKeepsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(4)
		l.Pause(10 * time.Second)
		l.Pause(5 * time.Second) // does not shorten it
		began := time.Now()
		release, err := l.Acquire(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestLimiterLetsGoOfThoseWhoLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		busy, err := l.Acquire(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Acquire(ctx, 0, 1); err == nil {
			t.Fatal("a slot that was not there")
		}
		busy()
		release, err := l.Acquire(t.Context(), 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		release()
		if l.used != 0 || len(l.queue) != 0 {
			t.Errorf("%d used, %d waiting", l.used, len(l.queue))
		}
	})
}

func TestLimiterKeepsWithinTheQuotaOfAnyMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(10)
		l.SetQuota(100, time.Minute)
		type spending struct {
			at    time.Time
			units int
		}
		var spent []spending
		for range 40 {
			release, err := l.AcquireUnits(t.Context(), 0, 1, 20)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second) // the provider counts it anywhere in here
			spent = append(spent, spending{time.Now(), 20})
			release()
		}
		for i, first := range spent {
			sum := 0
			for _, s := range spent[i:] {
				if s.at.Sub(first.at) < time.Minute {
					sum += s.units
				}
			}
			if sum > 100 {
				t.Fatalf("%d units in the minute of request %d", sum, i)
			}
		}
		// Five in a minute: the quota is used, not just kept to.
		if took := spent[39].at.Sub(spent[0].at); took > 10*time.Minute {
			t.Errorf("forty took %v", took)
		}
	})
}

func TestLimiterLeavesUnitsToTheUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(10)
		l.SetQuota(100, time.Minute)
		began := time.Now()
		spend := func(p Priority, units int) {
			t.Helper()
			release, err := l.AcquireUnits(t.Context(), p, 1, units)
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
		spend(3, 80)
		var mu sync.Mutex
		var served []string
		hold := make(chan struct{})
		close(hold)
		go func() {
			spend(3, 20) // over the share of what waits gladly
			mu.Lock()
			defer mu.Unlock()
			served = append(served, "backfill")
		}()
		synctest.Wait()
		spend(0, 20)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("an urgent one waited %v", waited)
		}
		spend(0, 10) // the minute is spent
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("one too many waited %v", waited)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"backfill"}, served); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLimiterTakesWhatIsLargerThanTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		l.SetQuota(10, time.Minute)
		for range 2 {
			release, err := l.AcquireUnits(t.Context(), 2, 1, 50)
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
		l.SetQuota(0, time.Minute)
		release, err := l.AcquireUnits(t.Context(), 2, 1, 50)
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}
