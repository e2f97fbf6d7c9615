package gmail

import (
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// maxSilence is how long a refusal is believed without asking again: quotas are
// raised, and caps lifted, before their time.
const maxSilence = time.Hour

// silences are refusals that say to come back so much later that nobody waits
// for it here (maxWait). Until then requests are refused in Gmail's place, at
// once, for each that is sent counts against the quota. The cap of messages that
// an account may send in a day is about sending alone: reading goes on.
type silences struct {
	mu         sync.Mutex
	mails, all silence
}

type silence struct {
	err         *mail.Error
	since, ends time.Time
	until       time.Time // for how long it is believed
}

// begin notes a refusal of a request that sends mail, or of another one.
func (s *silences) begin(mails bool, err *mail.Error, now time.Time, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := silence{err: err, since: now, ends: now.Add(wait), until: now.Add(min(wait, maxSilence))}
	if mails {
		s.mails = one
	} else {
		s.all = one
	}
}

// refusal is the one that a request would meet, nil where none is known.
func (s *silences) refusal(mails bool, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, one := range []silence{s.all, s.mails} {
		if i > 0 && !mails || one.err == nil || now.Before(one.since) || !now.Before(one.until) {
			continue // another's, none, or one of a clock that was set back
		}
		e := *one.err
		e.Op, e.RetryAfter = "", one.ends.Sub(now)
		return &e
	}
	return nil
}

// end forgets them: the settings have changed.
func (s *silences) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails, s.all = silence{}, silence{}
}
