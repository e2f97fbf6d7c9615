package microsoft

import (
	"math/rand/v2"
	"sync"
	"time"
)

// throttle counts what each app does to each mailbox.
type throttle struct {
	settings Throttle
	now      func() time.Time

	mu      sync.Mutex
	rand    *rand.Rand
	buckets map[bucketKey]*bucket
}

type bucketKey struct{ app, user string }

type bucket struct {
	running  int
	requests window
	bytes    window
}

func newThrottle(settings Throttle, seed uint64, now func() time.Time) *throttle {
	return &throttle{
		settings: settings.withDefaults(), now: now, buckets: map[bucketKey]*bucket{},
		rand: rand.New(rand.NewPCG(seed, 0x7468726f74746c65)),
	}
}

// A throttled request is told why and, unless zero, when to come back.
type throttled struct {
	code, message string
	after         time.Duration
}

// enter admits a request, which then calls leave, or says why not.
func (t *throttle) enter(app, user string, upload int64) (leave func(), why *throttled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	key := bucketKey{app, user}
	b := t.buckets[key]
	if b == nil {
		b = &bucket{}
		t.buckets[key] = b
	}
	if n := b.requests.add(now, t.settings.RequestWindow, 1); n > int64(t.settings.Requests) {
		return nil, &throttled{"ApplicationThrottled", "Application is over its RequestCount limit.", b.requests.frees(now, t.settings.RequestWindow)}
	}
	if upload > 0 {
		if n := b.bytes.add(now, t.settings.UploadWindow, upload); n > t.settings.UploadBytes {
			return nil, &throttled{"ApplicationThrottled", "Application is over its UploadBytes limit.", b.bytes.frees(now, t.settings.UploadWindow)}
		}
	}
	if t.settings.Concurrent > 0 && b.running >= t.settings.Concurrent && t.rand.Float64() < t.settings.RefuseShare {
		return nil, &throttled{"ApplicationThrottled", "Application is over its MailboxConcurrency limit.", t.settings.RetryAfter}
	}
	b.running++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		b.running--
	}, nil
}

// slots is the resolution of a window.
const slots = 60

// A window sums what was added in the last while, in slots of a sixtieth.
type window struct {
	sums [slots]int64
	last int64 // number of the newest slot since the epoch
	sum  int64
}

// add adds n now and returns the sum.
func (w *window) add(now time.Time, span time.Duration, n int64) int64 {
	slot := now.UnixNano() / int64(span/slots)
	if slot-w.last >= slots {
		*w = window{last: slot}
	}
	for w.last < slot {
		w.last++
		w.sum -= w.sums[w.last%slots]
		w.sums[w.last%slots] = 0
	}
	w.sums[w.last%slots] += n
	w.sum += n
	return w.sum
}

// frees is how long it takes until the oldest slot with something in it falls
// out of the window.
func (w *window) frees(now time.Time, span time.Duration) time.Duration {
	step := int64(span / slots)
	for i := w.last - slots + 1; i <= w.last; i++ {
		if i >= 0 && w.sums[i%slots] > 0 {
			return time.Duration((i+slots)*step - now.UnixNano())
		}
	}
	return span
}
