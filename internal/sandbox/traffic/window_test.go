package traffic

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	var w Window
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		if got := w.Add(now, time.Minute, 10); got != int64(10*(i+1)) {
			t.Errorf("sum %d", got)
		}
		now = now.Add(10 * time.Second)
	}
	// The first of the three falls out in 30 s, the last in 50 s.
	for need, want := range map[int64]time.Duration{1: 30 * time.Second, 10: 30 * time.Second, 11: 40 * time.Second, 30: 50 * time.Second, 31: time.Minute} {
		if got := w.Frees(now, time.Minute, need); got != want {
			t.Errorf("%d are free in %v, want %v", need, got, want)
		}
	}
	if got := w.Sum(now.Add(30*time.Second), time.Minute); got != 20 {
		t.Errorf("after half a minute %d are left", got)
	}
	if got := w.Sum(now.Add(time.Hour), time.Minute); got != 0 {
		t.Errorf("after an hour %d are left", got)
	}
}
