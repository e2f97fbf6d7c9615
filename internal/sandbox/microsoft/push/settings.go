package push

import (
	"net/http"
	"time"
)

// Settings are the knobs of change notifications: what the sources dispute,
// and what a test wants shorter. The zero value is the documented behaviour.
type Settings struct {
	// AllowHTTP takes notification URLs without https.
	AllowHTTP bool
	// MaxLifetime of a subscription to mail: 10,070 minutes are enforced;
	// 10,080 are documented, 4,230 were in 2021.
	MaxLifetime time.Duration
	// MinLifetime is what a shorter one is silently raised to: 45 minutes.
	// Negative: never raised.
	MinLifetime time.Duration
	// MaxPerMailbox active subscriptions, over all apps: 1,000.
	MaxPerMailbox int
	// AllowDuplicates permits a second subscription with the same resource and
	// change types by the same app and user; otherwise it is refused with 409.
	AllowDuplicates bool
	// RequireClientState refuses a subscription without one. The reference
	// calls it optional, the guide required; optional is the default.
	RequireClientState bool
	// ReauthorizeStatus answers POST /subscriptions/{id}/reauthorize: 204.
	ReauthorizeStatus int
	// ValidationCode is the error code of a failed handshake: ValidationError;
	// InvalidRequest was seen as well.
	ValidationCode string
	// ValidationTimeout of the handshake: 10 s.
	ValidationTimeout time.Duration

	// BatchWindow is how long notifications are gathered: 100 ms.
	BatchWindow time.Duration
	// MaxBatch is the most notifications in one post: 100.
	MaxBatch int
	// DeliveryTimeout is how long an endpoint may take to answer: 3 s.
	DeliveryTimeout time.Duration
	// RetryBackoff is the wait before the second attempt, doubled for each
	// further one up to RetryBackoffMax: 5 s and 10 min.
	RetryBackoff, RetryBackoffMax time.Duration
	// RetryFor is how long is waited in all before a notification is dropped:
	// 4 h.
	RetryFor time.Duration
	// MaxPending bounds the posts under way to one URL, waiting ones included:
	// 1,000. What exceeds it is dropped.
	MaxPending int

	// An endpoint (a host) is judged once SlowSamples posts were answered
	// within SlowWindow: 100 in 10 min; negative: never. A post is slow over
	// SlowAfter: 2.9 s. From SlowShare (0.10) on, everything for the host is
	// held back by SlowDelay (10 s); from DropShare (0.15) on it is dropped for
	// the rest of the window, and "missed" is told.
	SlowSamples          int
	SlowWindow           time.Duration
	SlowAfter, SlowDelay time.Duration
	SlowShare, DropShare float64

	// ReauthorizeBefore is how long before a subscription ends
	// reauthorizationRequired is sent, every ReauthorizeEvery: 30 min, 15 min.
	ReauthorizeBefore, ReauthorizeEvery time.Duration
	// ReauthorizePause withholds notifications when reauthorizationRequired
	// was not answered for so long; 0: never.
	ReauthorizePause time.Duration
	// RemovedOnExpiry sends subscriptionRemoved when a subscription runs out.
	RemovedOnExpiry bool
	// SweepEvery is how often subscriptions are looked through for both: 1 s.
	SweepEvery time.Duration
	// LowerCaseResources writes users/{oid}@{tenant}/messages/{id} instead of
	// Users/{oid}/Messages/{id}; both were seen.
	LowerCaseResources bool
}

func (s Settings) withDefaults() Settings {
	setDuration := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	setInt := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	setDuration(&s.MaxLifetime, 10070*time.Minute)
	setDuration(&s.MinLifetime, 45*time.Minute)
	setDuration(&s.ValidationTimeout, 10*time.Second)
	setDuration(&s.BatchWindow, 100*time.Millisecond)
	setDuration(&s.DeliveryTimeout, 3*time.Second)
	setDuration(&s.RetryBackoff, 5*time.Second)
	setDuration(&s.RetryBackoffMax, 10*time.Minute)
	setDuration(&s.RetryFor, 4*time.Hour)
	setDuration(&s.SlowWindow, 10*time.Minute)
	setDuration(&s.SlowAfter, 2900*time.Millisecond)
	setDuration(&s.SlowDelay, 10*time.Second)
	setDuration(&s.ReauthorizeBefore, 30*time.Minute)
	setDuration(&s.ReauthorizeEvery, 15*time.Minute)
	setDuration(&s.SweepEvery, time.Second)
	setInt(&s.MaxPerMailbox, 1000)
	setInt(&s.ReauthorizeStatus, http.StatusNoContent)
	setInt(&s.MaxBatch, 100)
	setInt(&s.MaxPending, 1000)
	setInt(&s.SlowSamples, 100)
	if s.ValidationCode == "" {
		s.ValidationCode = "ValidationError"
	}
	if s.SlowShare == 0 {
		s.SlowShare = 0.10
	}
	if s.DropShare == 0 {
		s.DropShare = 0.15
	}
	return s
}
