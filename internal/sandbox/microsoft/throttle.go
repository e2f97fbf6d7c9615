package microsoft

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
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
	requests traffic.Window
	bytes    traffic.Window
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
	if n := b.requests.Add(now, t.settings.RequestWindow, 1); n > int64(t.settings.Requests) {
		return nil, &throttled{"ApplicationThrottled", "Application is over its RequestCount limit.", b.requests.Frees(now, t.settings.RequestWindow, 1)}
	}
	if upload > 0 {
		if n := b.bytes.Add(now, t.settings.UploadWindow, upload); n > t.settings.UploadBytes {
			return nil, &throttled{"ApplicationThrottled", "Application is over its UploadBytes limit.", b.bytes.Frees(now, t.settings.UploadWindow, 1)}
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
