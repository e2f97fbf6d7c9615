package traffic

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// Counters count what happened since the start or the last Reset. The zero
// value is ready; all methods may be called at once.
type Counters struct {
	mu       sync.Mutex
	requests map[requestKey]int64
	events   map[eventKey]int64
}

type requestKey struct {
	cloud, user, method, path string
	status                    int
}

type eventKey struct {
	cloud, user string
	kind, a, b  string
}

// Kinds of events that are counted beside requests.
const (
	kindToken        = "token"
	kindAuthorize    = "authorize"
	kindNotification = "notification"
	kindMail         = "mail"
	kindFault        = "fault"
	kindUnits        = "units"
	kindRefusal      = "refusal"
)

// Request counts one answered request. The path may be raw: ids are taken out
// of it here. Status 0 means that the connection was cut before the answer.
func (c *Counters) Request(cloud, user, method, path string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests = map[requestKey]int64{}
	}
	c.requests[requestKey{cloud, strings.ToLower(user), method, Pattern(path), status}]++
}

// Token counts one answer of a token endpoint: grant type and outcome, which
// is "ok" or the OAuth error.
func (c *Counters) Token(cloud, user, grantType, outcome string) {
	c.event(eventKey{cloud, strings.ToLower(user), kindToken, grantType, outcome})
}

// Authorize counts one decision on an authorize page: approved, denied, shown
// or an error.
func (c *Counters) Authorize(cloud, user, outcome string) {
	c.event(eventKey{cloud, strings.ToLower(user), kindAuthorize, outcome, ""})
}

// Notification counts one push notification by what became of it.
func (c *Counters) Notification(cloud, user, outcome string) {
	c.event(eventKey{cloud, strings.ToLower(user), kindNotification, outcome, ""})
}

// Mail counts what the small internet did: sent, delivered, bounced, received.
func (c *Counters) Mail(cloud, user, outcome string) {
	c.event(eventKey{cloud, strings.ToLower(user), kindMail, outcome, ""})
}

// Fault counts a fault that was met.
func (c *Counters) Fault(cloud, user, match string) {
	c.event(eventKey{cloud, strings.ToLower(user), kindFault, match, ""})
}

// Units counts what a request cost where the cloud bills requests by units.
func (c *Counters) Units(cloud, user, method string, n int64) {
	c.add(eventKey{cloud, strings.ToLower(user), kindUnits, method, ""}, n)
}

// Refusal counts one request that a cloud refused for a limit of its own, by
// which limit.
func (c *Counters) Refusal(cloud, user, limit string) {
	c.event(eventKey{cloud, strings.ToLower(user), kindRefusal, limit, ""})
}

func (c *Counters) event(k eventKey) { c.add(k, 1) }

func (c *Counters) add(k eventKey, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[eventKey]int64{}
	}
	c.events[k] += n
}

// Reset forgets everything counted so far.
func (c *Counters) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.events = nil, nil
}

// A RequestCount says how often one kind of request was answered in one way.
type RequestCount struct {
	Cloud  string `json:"cloud"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"` // 0: cut off before the answer
	Count  int64  `json:"count"`
}

// A Report is what GET /control/counters answers.
type Report struct {
	Requests []RequestCount `json:"requests"`
	// Tokens: grant type, then "ok" or the OAuth error.
	Tokens        map[string]map[string]int64 `json:"tokens"`
	Authorize     map[string]int64            `json:"authorize"`
	Notifications map[string]int64            `json:"notifications"`
	Mail          map[string]int64            `json:"mail"`
	MessagesSent  int64                       `json:"messages_sent"`
	Faults        map[string]int64            `json:"faults"`
	// Units are what requests cost, by method, where a cloud bills them so;
	// UnitsSpent is their sum.
	Units      map[string]int64 `json:"units"`
	UnitsSpent int64            `json:"units_spent"`
	// Refusals are requests over a limit, by which: "units", "concurrency".
	Refusals map[string]int64 `json:"refusals"`
}

// Count sums the requests of a method whose path pattern is path, with any
// status when none is given.
func (r Report) Count(method, path string, statuses ...int) int64 {
	var n int64
	for _, q := range r.Requests {
		if q.Method == method && strings.EqualFold(q.Path, path) && (len(statuses) == 0 || slices.Contains(statuses, q.Status)) {
			n += q.Count
		}
	}
	return n
}

// MailSent is the outcome of Mail that Report.MessagesSent sums.
const MailSent = "sent"

// Report sums what was counted; an empty cloud or user means all of them.
func (c *Counters) Report(cloud, user string) Report {
	user = strings.ToLower(user)
	wanted := func(k, u string) bool {
		return (cloud == "" || cloud == k) && (user == "" || user == u)
	}
	out := Report{
		Requests: []RequestCount{}, Tokens: map[string]map[string]int64{}, Authorize: map[string]int64{},
		Notifications: map[string]int64{}, Mail: map[string]int64{}, Faults: map[string]int64{},
		Units: map[string]int64{}, Refusals: map[string]int64{},
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sums := map[requestKey]int64{}
	for k, n := range c.requests {
		if wanted(k.cloud, k.user) {
			k.user = ""
			sums[k] += n
		}
	}
	for k, n := range sums {
		out.Requests = append(out.Requests, RequestCount{Cloud: k.cloud, Method: k.method, Path: k.path, Status: k.status, Count: n})
	}
	slices.SortFunc(out.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Cloud, b.Cloud), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Status, b.Status))
	})
	for k, n := range c.events {
		if !wanted(k.cloud, k.user) {
			continue
		}
		switch k.kind {
		case kindToken:
			if out.Tokens[k.a] == nil {
				out.Tokens[k.a] = map[string]int64{}
			}
			out.Tokens[k.a][k.b] += n
		case kindAuthorize:
			out.Authorize[k.a] += n
		case kindNotification:
			out.Notifications[k.a] += n
		case kindMail:
			out.Mail[k.a] += n
			if k.a == MailSent {
				out.MessagesSent += n
			}
		case kindFault:
			out.Faults[k.a] += n
		case kindUnits:
			out.Units[k.a] += n
			out.UnitsSpent += n
		case kindRefusal:
			out.Refusals[k.a] += n
		}
	}
	return out
}
