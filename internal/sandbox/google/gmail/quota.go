package gmail

import (
	"fmt"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// Quota holds the limits that Google's documents give ("Usage limits" of the
// Gmail API). The zero value is that of a project made since May 2026.
type Quota struct {
	// OldTable is the table of projects made before: other costs, and 15,000
	// units a minute, enforced as 250 in each second.
	OldTable bool
	// UserUnits in UserWindow are one user's in one project: 6,000 in a
	// minute. Negative: no limit.
	UserUnits  int64
	UserWindow time.Duration
	// ProjectUnits are those of all users of a project in a minute: 1,200,000.
	// Negative: no limit.
	ProjectUnits int64
	// DailyUnits are a project's in a day: 80,000,000. Negative: no limit.
	DailyUnits int64
	// Concurrent requests of one user: about 10. Negative: no limit.
	Concurrent int
	// BatchConcurrent is how many parts of one batch pass before the others
	// are refused: as many as Concurrent. Up to 25 were seen to pass.
	BatchConcurrent int
	// Sends of one user in a day: 2,000, as in Workspace (500 for others).
	// Negative: no limit.
	Sends int
	// Refusal is which of its ways Gmail refuses units in.
	Refusal RefusalKind
	// RefusalStatus is 429, or 403, which older projects see.
	RefusalStatus int
	// RefusalReason is "rateLimitExceeded" or "userRateLimitExceeded".
	RefusalReason string
}

// RefusalKind is a way to word that units are exhausted.
type RefusalKind string

// The ways that were seen.
const (
	// RefusalText has the time to come back in its text alone.
	RefusalText RefusalKind = ""
	// RefusalMetric names the quota metric, with an ErrorInfo, and no time.
	RefusalMetric RefusalKind = "metric"
	// RefusalBare is RefusalText without errors, status and details.
	RefusalBare RefusalKind = "bare"
)

func (q Quota) withDefaults() Quota {
	set := func(v *int64, n int64) {
		if *v == 0 {
			*v = n
		}
	}
	if q.OldTable {
		set(&q.UserUnits, 250)
		if q.UserWindow == 0 {
			q.UserWindow = time.Second
		}
	}
	set(&q.UserUnits, 6_000)
	if q.UserWindow == 0 {
		q.UserWindow = time.Minute
	}
	set(&q.ProjectUnits, 1_200_000)
	set(&q.DailyUnits, 80_000_000)
	if q.Concurrent == 0 {
		q.Concurrent = 10
	}
	if q.BatchConcurrent == 0 {
		q.BatchConcurrent = q.Concurrent
	}
	if q.Sends == 0 {
		q.Sends = 2_000
	}
	if q.RefusalStatus == 0 {
		q.RefusalStatus = 429
	}
	if q.RefusalReason == "" {
		q.RefusalReason = "rateLimitExceeded"
	}
	return q
}

// Limits, as the counters call them.
const (
	limitUnits       = "units"
	limitProject     = "project_units"
	limitDaily       = "daily_units"
	limitConcurrency = "concurrency"
	limitSends       = "sends"
)

// A refusal says which limit a request is over, and when it no longer would be.
type refusal struct {
	limit string
	until time.Time // zero where Gmail does not tell
}

// quota counts what each user of each project costs.
type quota struct {
	set Quota
	now func() time.Time

	mu       sync.Mutex
	users    map[spender]*spent
	projects map[string]*spent
	sends    map[string]*traffic.Window
}

type spender struct{ project, user string }

type spent struct {
	running int
	units   traffic.Window
	day     traffic.Window
}

const day = 24 * time.Hour

func newQuota(set Quota, now func() time.Time) *quota {
	return &quota{
		set: set.withDefaults(), now: now, users: map[spender]*spent{}, projects: map[string]*spent{}, sends: map[string]*traffic.Window{},
	}
}

// cost is what a method costs.
func (q *quota) cost(m method) int64 {
	if q.set.OldTable {
		return int64(m.oldUnits)
	}
	return int64(m.units)
}

// slots are the places in flight that the parts of one batch hold until the
// batch has been answered: they go in together, so they count together.
type slots struct {
	mu    sync.Mutex
	held  int
	leave []func()
}

// release gives all places back.
func (b *slots) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, leave := range b.leave {
		leave()
	}
	b.leave, b.held = nil, 0
}

// enter admits a request, which then calls leave, or says why not. What is
// refused costs nothing. batch is not nil for the parts of one.
func (q *quota) enter(project, user string, units int64, batch *slots) (leave func(), why *refusal) {
	if batch != nil {
		batch.mu.Lock()
		defer batch.mu.Unlock()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	u, p := q.users[spender{project, user}], q.projects[project]
	if u == nil {
		u = &spent{}
		q.users[spender{project, user}] = u
	}
	if p == nil {
		p = &spent{}
		q.projects[project] = p
	}
	others := u.running
	if batch != nil {
		others -= batch.held
	}
	switch set := q.set; {
	case set.Concurrent > 0 && (others >= set.Concurrent || batch != nil && batch.held >= min(set.BatchConcurrent, max(set.Concurrent, set.BatchConcurrent)-others)):
		return nil, &refusal{limit: limitConcurrency}
	case set.DailyUnits > 0 && p.day.Sum(now, day)+units > set.DailyUnits:
		return nil, &refusal{limit: limitDaily}
	case set.ProjectUnits > 0 && p.units.Sum(now, time.Minute)+units > set.ProjectUnits:
		return nil, &refusal{limitProject, now.Add(p.units.Frees(now, time.Minute, over(p.units.Sum(now, time.Minute), units, set.ProjectUnits)))}
	case set.UserUnits > 0 && u.units.Sum(now, set.UserWindow)+units > set.UserUnits:
		return nil, &refusal{limitUnits, now.Add(u.units.Frees(now, set.UserWindow, over(u.units.Sum(now, set.UserWindow), units, set.UserUnits)))}
	}
	u.units.Add(now, q.set.UserWindow, units)
	p.units.Add(now, time.Minute, units)
	p.day.Add(now, day, units)
	u.running++
	leave = func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		u.running--
	}
	if batch != nil {
		batch.held++
		batch.leave = append(batch.leave, leave)
		return func() {}, nil
	}
	return leave, nil
}

// over is how much of sum has to go before n fits under limit.
func over(sum, n, limit int64) int64 { return sum + n - limit }

// send admits one more message that a user sends.
func (q *quota) send(user string) *refusal {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := q.sends[user]
	if w == nil {
		w = &traffic.Window{}
		q.sends[user] = w
	}
	now := q.now()
	if q.set.Sends > 0 && w.Sum(now, day) >= int64(q.set.Sends) {
		return &refusal{limit: limitSends}
	}
	w.Add(now, day, 1)
	return nil
}

// retryText is how Gmail tells when to come back: in the text, and nowhere else.
func retryText(until time.Time) string {
	return fmt.Sprintf("User-rate limit exceeded.  Retry after %s", until.UTC().Format("2006-01-02T15:04:05.000Z"))
}
