package traffic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Fault spoils the requests it matches, or the notifications of its user.
type Fault struct {
	// Cloud and User narrow the fault to one cloud ("microsoft", "google") or
	// to one user's address; empty means all. A request that carries no user
	// (an unknown token, say) matches only faults without one.
	Cloud string `json:"cloud,omitempty"`
	User  string `json:"user,omitempty"`
	// Match is an optional method, then a part of the path or of its pattern:
	// "POST /me/sendMail", "token", "GET /me/messages/{id}". Empty matches
	// every request; /users/{id}/... is matched by /me/... as well. A $ at the
	// end ties it to the end of the path ("POST /me/messages$" leaves
	// /me/messages/{id}/send alone). Case does not matter.
	Match string `json:"match,omitempty"`
	// Status answers with this status instead of executing the request.
	Status int `json:"status,omitempty"`
	// RetryAfter, in seconds, goes with Status; decimals are allowed, as in
	// the items of a batch.
	RetryAfter float64 `json:"retry_after,omitempty"`
	// AADSTS is, on a token endpoint, the code to refuse with; it goes
	// instead of Status.
	AADSTS int `json:"aadsts,omitempty"`
	// Rate is the share of requests that meet the fault, 0 to 1; 0 means all.
	Rate float64 `json:"rate,omitempty"`
	// Times ends the fault after it was met so often; 0 means never.
	Times int `json:"times,omitempty"`
	// DelayMS holds the answer back: the request is executed (or refused)
	// first, and answered so many milliseconds later.
	DelayMS int `json:"delay_ms,omitempty"`
	// CutAfter executes the request completely and then cuts the connection
	// without a byte of the answer, so that the client cannot know. Status is
	// ignored. Inside a batch, the whole batch is executed and then cut.
	CutAfter bool `json:"cut_after,omitempty"`
	// Body executes the request and spoils the body of its answer. An item
	// inside a batch has no body of its own on the wire: there only what
	// changes its document is done, and a fault that matches $batch spoils the
	// batch's.
	Body Body `json:"body,omitempty"`
	// DeltaLagMS makes delta queries tell changes only when they are so old.
	// It holds for a whole cloud, whatever User and Match say.
	DeltaLagMS int `json:"delta_lag_ms,omitempty"`
	// Notifications spoils push notifications; a fault that has it and
	// neither Match nor an effect on requests leaves requests alone.
	Notifications *NotificationFault `json:"notifications,omitempty"`
}

// A NotificationFault spoils push notifications on their way out.
type NotificationFault struct {
	Drop    bool `json:"drop,omitempty"`     // never sent
	Double  bool `json:"double,omitempty"`   // sent twice
	DelayMS int  `json:"delay_ms,omitempty"` // sent so much later
}

func (f Fault) validate() error {
	switch {
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d is not between 400 and 599", f.Status)
	case f.Rate < 0 || f.Rate > 1:
		return fmt.Errorf("rate %v is not between 0 and 1", f.Rate)
	case f.DelayMS < 0 || f.DeltaLagMS < 0 || f.Times < 0 || f.RetryAfter < 0,
		f.Notifications != nil && f.Notifications.DelayMS < 0:
		return fmt.Errorf("a fault has no negative numbers")
	case f.DelayMS > int(time.Hour/time.Millisecond):
		return fmt.Errorf("delay_ms is more than an hour")
	}
	return f.Body.validate()
}

// all reports whether the fault leaves no room for others beside it.
func (f Fault) all() bool { return f.Rate == 0 || f.Rate == 1 }

// way is how the fault spoils what it meets.
func (f Fault) way() string {
	n := NotificationFault{}
	if f.Notifications != nil {
		n = *f.Notifications
	}
	return fmt.Sprint(f.Status, f.AADSTS, f.CutAfter, f.Body, f.DelayMS > 0, f.DeltaLagMS > 0, n.Drop, n.Double, n.DelayMS > 0)
}

func (f Fault) touchesRequests() bool {
	return f.Status != 0 || f.AADSTS != 0 || f.DelayMS > 0 || f.CutAfter || f.Body != ""
}

// Faults is the list of faults in force. Its random numbers come from a seed,
// so that a run can be repeated.
type Faults struct {
	mu    sync.Mutex
	rules []*rule
	rand  *rand.Rand
}

type rule struct {
	Fault
	met int
}

// NewFaults returns an empty list.
func NewFaults(seed uint64) *Faults {
	return &Faults{rand: rand.New(rand.NewPCG(seed, 0x6661756c74))}
}

// Put adds faults. One takes the place of those in force with the same cloud,
// user and match, but for faults that both spoil a share only, and in different
// ways: these stand beside each other, as those of one call do. A request meets
// at most one of them, asked in order. Either all are taken or none.
func (f *Faults) Put(faults ...Fault) error {
	for _, n := range faults {
		if err := n.validate(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = slices.DeleteFunc(f.rules, func(old *rule) bool {
		return slices.ContainsFunc(faults, func(n Fault) bool {
			return old.Cloud == n.Cloud && strings.EqualFold(old.User, n.User) && strings.EqualFold(old.Match, n.Match) &&
				(old.all() || n.all() || old.way() == n.way())
		})
	})
	for _, n := range faults {
		f.rules = append(f.rules, &rule{Fault: n})
	}
	return nil
}

// List returns the faults in force.
func (f *Faults) List() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Fault, 0, len(f.rules))
	for _, r := range f.rules {
		if !r.spent() {
			out = append(out, r.Fault)
		}
	}
	return out
}

// Clear ends all faults.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Request returns the first fault in force that the request meets, if any.
func (f *Faults) Request(cloud, user, method, path string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rules) == 0 {
		return Fault{}, false
	}
	for _, r := range f.rules {
		if r.spent() || !r.touchesRequests() || !r.concerns(cloud, user) || !matches(r.Match, method, path) {
			continue
		}
		if r.Rate > 0 && f.rand.Float64() >= r.Rate {
			continue
		}
		r.met++
		return r.Fault, true
	}
	return Fault{}, false
}

// Notification returns what is to be done to a notification for the user.
func (f *Faults) Notification(cloud, user string) (NotificationFault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.Notifications == nil || !r.concerns(cloud, user) {
			continue
		}
		if !r.touchesRequests() && r.spent() || r.Rate > 0 && f.rand.Float64() >= r.Rate {
			continue
		}
		if !r.touchesRequests() {
			r.met++
		}
		return *r.Notifications, true
	}
	return NotificationFault{}, false
}

// DeltaLag is the longest lag that is set for the cloud.
func (f *Faults) DeltaLag(cloud string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lag time.Duration
	for _, r := range f.rules {
		if r.Cloud == "" || r.Cloud == cloud {
			lag = max(lag, time.Duration(r.DeltaLagMS)*time.Millisecond)
		}
	}
	return lag
}

func (r *rule) spent() bool { return r.Times > 0 && r.met >= r.Times }

func (r *rule) concerns(cloud, user string) bool {
	return (r.Cloud == "" || r.Cloud == cloud) && (r.User == "" || strings.EqualFold(r.User, user))
}

func matches(match, method, path string) bool {
	match = strings.TrimSpace(match)
	if m, rest, ok := strings.Cut(match, " "); ok {
		if !strings.EqualFold(m, method) {
			return false
		}
		match = strings.TrimSpace(rest)
	} else if match == strings.ToUpper(match) && !strings.Contains(match, "/") && match != "" {
		return match == method // a method alone: "PATCH"
	}
	if match == "" {
		return true
	}
	match = strings.ToLower(match)
	path = strings.ToLower(path)
	pattern := strings.ToLower(Pattern(path))
	mine := pattern
	if rest, ok := strings.CutPrefix(pattern, "/users/{id}"); ok {
		mine = "/me" + rest
	}
	end, anchored := strings.CutSuffix(match, "$")
	for _, p := range []string{path, pattern, mine} {
		if anchored && strings.HasSuffix(p, end) || !anchored && strings.Contains(p, match) {
			return true
		}
	}
	return false
}
