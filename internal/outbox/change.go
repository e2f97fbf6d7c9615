package outbox

import (
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// Limits are what an endpoint grants and can take; zero fields mean the
// outbox's own defaults.
type Limits struct {
	// Attempts is how many attempts a delivery gets, 0 for the whole schedule.
	Attempts int
	// InFlight is how many attempts may be under way at once, 0 for
	// Options.Lanes.
	InFlight int
	// PerSecond is how many attempts may begin in a second, 0 for any number.
	PerSecond float64
	// Halt: a lane whose head has used up its attempts waits for it and does not
	// go on without it.
	Halt bool
}

// Change is something about an endpoint that its operator wants to hear of.
type Change struct {
	Kind ChangeKind
	// Percent is how far a failing endpoint is on its way to being disabled.
	Percent int
	// Dead is how many dead letters the endpoint has.
	Dead int64
}

// ChangeKind says what has changed.
type ChangeKind string

// Kinds of change.
const (
	// ChangeFailing is told when the breaker opens, and again at 50, 70 and 90
	// percent of the way to being disabled.
	ChangeFailing  ChangeKind = "failing"
	ChangeDisabled ChangeKind = "disabled"
	// ChangeRecovered is told at the first success, if ChangeFailing was.
	ChangeRecovered ChangeKind = "recovered"
	// ChangeDead is told of the first dead letter, and each time their number
	// has grown tenfold since.
	ChangeDead ChangeKind = "dead"
)

// stages are the percents at which a failing endpoint is told of again.
var stages = [...]int{90, 70, 50}

// percent is how far a failing endpoint is on its way to being disabled: both
// its time and its failures must be used up.
func (p Policy) percent(e *store.Endpoint, now time.Time) int {
	if e.Failing.IsZero() {
		return 0
	}
	spent := 100 * float64(now.Sub(e.Failing)) / float64(p.DisableAfter)
	count := 100 * float64(e.Failures) / float64(p.DisableFailures)
	return int(max(0, min(spent, count, 100)))
}

// stage is what Endpoint.Told should be for an endpoint that fails.
func (p Policy) stage(e *store.Endpoint, open bool, now time.Time) int {
	if e.Failing.IsZero() {
		return 0
	}
	percent := p.percent(e, now)
	for _, s := range stages {
		if percent >= s {
			return max(e.Told, s)
		}
	}
	if open {
		return max(e.Told, 1)
	}
	return e.Told
}

// told brings an endpoint's record up to what is known now and tells what is
// new. before is the record as it stands in the store.
func (o *Outbox) told(tx store.Tx, e *store.Endpoint, before store.Endpoint, percent int) error {
	var c Change
	switch {
	case e.Disabled && !before.Disabled:
		c = Change{Kind: ChangeDisabled, Percent: 100}
	case e.Disabled:
		return nil
	case e.Told > 0 && e.Told != before.Told:
		c = Change{Kind: ChangeFailing, Percent: percent}
	case e.Told == 0 && before.Told > 0 && e.Failing.IsZero():
		c = Change{Kind: ChangeRecovered}
	default:
		return nil
	}
	return o.tell(tx, e, c)
}

// toldDead tells that dead letters have grown, from before the transaction's
// own to now.
func (o *Outbox) toldDead(tx store.Tx, endpoint string, before int64) error {
	stats, err := tx.EndpointStats(endpoint)
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	e, gone, err := readEndpoint(tx, endpoint)
	if gone || err != nil {
		return err
	}
	if before == 0 {
		e.ToldDead = 0 // they were all dealt with since
	}
	if stats.Dead == 0 || e.ToldDead > 0 && stats.Dead < 10*e.ToldDead {
		return nil
	}
	e.ToldDead = stats.Dead
	if err := tx.PutEndpoint(e); err != nil {
		return fmt.Errorf("write endpoint: %w", err)
	}
	return o.tell(tx, e, Change{Kind: ChangeDead, Dead: stats.Dead})
}

func (o *Outbox) tell(tx store.Tx, e *store.Endpoint, c Change) error {
	if err := o.opts.OnChange(tx, e, c); err != nil {
		return fmt.Errorf("tell that an endpoint is %s: %w", c.Kind, err)
	}
	id, reason := e.ID, e.Reason
	tx.AfterCommit(func() {
		o.opts.Log.Warn("endpoint changed", "endpoint", id, "change", c.Kind, "percent", c.Percent, "dead", c.Dead, "reason", reason)
	})
	return nil
}
