package smtpd

import (
	"sync"
	"time"
)

// rates bounds how many messages each app password submits: a program that has
// gone mad, or a password that was stolen, is not to spend what the provider
// allows the account. Each may save up a minute's worth.
type rates struct {
	perMinute int
	now       func() time.Time
	mu        sync.Mutex
	of        map[string]rate
}

type rate struct {
	left float64
	at   time.Time
}

// take counts a message, or says how long to wait.
func (r *rates) take(who string) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, full := r.now(), float64(r.perMinute)
	perSecond := full / 60
	have, known := r.of[who]
	if !known {
		have = rate{full, now}
		for other, h := range r.of { // who has all of it again need not be known
			if now.Sub(h.at) > 2*time.Minute {
				delete(r.of, other)
			}
		}
	}
	have.left = min(full, have.left+max(0, now.Sub(have.at).Seconds())*perSecond)
	have.at = now
	if have.left < 1 {
		r.of[who] = have
		return time.Duration((1 - have.left) / perSecond * float64(time.Second)), false
	}
	have.left--
	r.of[who] = have
	return 0, true
}
