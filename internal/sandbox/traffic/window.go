package traffic

import "time"

// slots is the resolution of a window.
const slots = 60

// A Window sums what was added in the last while, in slots of a sixtieth of it.
// The zero value is empty; every call is to name the same span.
type Window struct {
	sums [slots]int64
	last int64 // number of the newest slot since the epoch
	sum  int64
}

// Add adds n now and returns the sum.
func (w *Window) Add(now time.Time, span time.Duration, n int64) int64 {
	w.Sum(now, span)
	w.sums[w.last%slots] += n
	w.sum += n
	return w.sum
}

// Sum is what was added within the span that ends now.
func (w *Window) Sum(now time.Time, span time.Duration) int64 {
	slot := now.UnixNano() / int64(span/slots)
	if slot-w.last >= slots {
		*w = Window{last: slot}
	}
	for w.last < slot {
		w.last++
		w.sum -= w.sums[w.last%slots]
		w.sums[w.last%slots] = 0
	}
	return w.sum
}

// Frees is how long it takes until at least need of the sum has fallen out of
// the window, oldest first; the whole span where that is never enough.
func (w *Window) Frees(now time.Time, span time.Duration, need int64) time.Duration {
	step := int64(span / slots)
	for i := w.last - slots + 1; i <= w.last; i++ {
		if i >= 0 && w.sums[i%slots] > 0 {
			if need -= w.sums[i%slots]; need <= 0 {
				return time.Duration((i+slots)*step - now.UnixNano())
			}
		}
	}
	return span
}
