package pubsub

import "time"

// Settings are the knobs. The zero value is the documented behaviour.
type Settings struct {
	// AllowHTTP takes push endpoints without https.
	AllowHTTP bool
	// AckDeadline of a subscription that names none: 10 s.
	AckDeadline time.Duration
	// Retention of messages that are not acknowledged: 7 days.
	Retention time.Duration
	// PollFor is how long a pull waits for a first message: 90 s.
	PollFor time.Duration
	// Backoff is the wait before a push is tried again, doubled for each
	// further one up to BackoffMax: 100 ms and 60 s.
	Backoff, BackoffMax time.Duration
	// MaxOutstanding pushes of one subscription are under way: 16.
	MaxOutstanding int
	// MaxQueued messages wait in one subscription: 10,000; one more drops the
	// oldest.
	MaxQueued int
}

func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&s.AckDeadline, 10*time.Second)
	set(&s.Retention, 7*24*time.Hour)
	set(&s.PollFor, 90*time.Second)
	set(&s.Backoff, 100*time.Millisecond)
	set(&s.BackoffMax, 60*time.Second)
	if s.MaxOutstanding == 0 {
		s.MaxOutstanding = 16
	}
	if s.MaxQueued == 0 {
		s.MaxQueued = 10_000
	}
	return s
}
