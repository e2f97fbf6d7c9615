// Package outbox brings what is owed to endpoints out of the house: due times,
// lanes, backoff, dead letters. It knows neither mail nor HTTP; a Carrier makes
// the attempts, and the deliveries are in the store before the outbox hears of
// them.
//
// What is kept true.
//
//   - At least once. A delivery leaves its lane only in a transaction that
//     records why: delivered, or dead with a reason. A crash between an answer
//     and that transaction makes the attempt again, with the same body.
//   - In order. A lane (one account to one endpoint) has one attempt under way
//     at a time, and its next delivery starts after the one before it has been
//     decided. The decision is taken in memory, and the transactions that make
//     it durable are written behind, many at once. A head that its receiver
//     refuses while it answers others leaves the order after a while
//     (order.go).
//   - Apart. Endpoints take turns; one endpoint has at most Lanes attempts
//     under way. Those that fail share at most half of the Workers, and leave
//     another quarter to those that answer well, so that endpoints that hang
//     delay neither known nor new ones.
//   - An outage costs by endpoint and not by event: a failing endpoint gets one
//     probe at a time, and comes back with 1, 2, 4... attempts at once.
//   - A wall clock that is set changes no schedule (timer.go, clock.go).
//
// How it fails. A store that refuses writes stops the lanes after a bounded
// number of undurable decisions; the writes are tried again until Run ends. A
// panic in the carrier is a local error of that one delivery.
//
// Where to start: Outbox.Run, then dispatch (dispatch.go), attempt.go for one
// attempt from head to decision, policy.go for what an outcome leads to,
// commit.go for the writes, handover.go for what need not be read.
package outbox

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/postern-mail/postern/store"
)

// Carrier makes one attempt of a delivery. It keeps its own budget of time and
// returns soon after ctx ends.
type Carrier interface {
	Deliver(ctx context.Context, e *store.Endpoint, d *store.Delivery, body []byte) Outcome
}

// Outcome is what an attempt came to.
type Outcome struct {
	OK bool
	// Status is the receiver's, 0 where none came.
	Status int
	Class  Class
	// RetryAfter is how long the receiver asked to be left alone.
	RetryAfter time.Duration
	// Answer is the beginning of what the receiver said.
	Answer []byte
	// Error says in words what went wrong. It holds no secret.
	Error    string
	Duration time.Duration
	// Peer is the address that was connected to.
	Peer string
	// Header is what is worth keeping of the answer's header, "name: value".
	Header []string
	// DNS, Connect, TLS and FirstByte are parts of Duration.
	DNS, Connect, TLS, FirstByte time.Duration
	// Keys are the ids of the keys that signed.
	Keys []string
}

// Class says what kind of outcome it is; it decides what follows (Policy).
type Class string

// Classes of outcome.
const (
	ClassOK      Class = "ok"
	ClassNetwork Class = "network"
	ClassTimeout Class = "timeout"
	Class5xx     Class = "5xx"
	Class408     Class = "408"
	Class425     Class = "425"
	Class429     Class = "429"
	// Class410: the receiver wants nothing more; its endpoint is disabled.
	Class410 Class = "410"
	// Class3xx: a redirect, which is never followed.
	Class3xx Class = "3xx"
	Class4xx Class = "4xx"
	// ClassGuard: the address is one that we do not connect to.
	ClassGuard Class = "guard"
	// ClassProxy: what stands between us and every receiver is at fault, and so
	// the delivery is charged no attempt and its endpoint no failure.
	ClassProxy Class = "proxy"
	// ClassLocal: we could not even make the request.
	ClassLocal Class = "local"
)

// Classes lists every class, in the order of the documentation.
func Classes() []Class {
	return []Class{ClassOK, ClassNetwork, ClassTimeout, Class5xx, Class408, Class425, Class429,
		Class410, Class3xx, Class4xx, ClassGuard, ClassProxy, ClassLocal}
}

// Options are settings with defaults; the zero value works.
type Options struct {
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Tracer     trace.Tracer
	// Policy is what outcomes lead to.
	Policy Policy
	// Limits says what an endpoint grants its deliveries. It is asked when an
	// endpoint is read, not for every attempt.
	Limits func(*store.Endpoint) Limits
	// OnChange is told what operators want to hear of an endpoint, inside the
	// transaction that changes it.
	OnChange func(tx store.Tx, e *store.Endpoint, c Change) error
	// Owing knows what endpoints are owed, for replays of the journal and to
	// other endpoints; there are none without it.
	Owing Owing
	// Workers is how many attempts are under way at once (1024).
	Workers int
	// Lanes is how many attempts one endpoint has under way at once (8).
	Lanes int
	// Known is how many lanes of one endpoint are held in memory (20,000); the
	// rest waits in the store.
	Known int
	// Grace is how long attempts may finish when Run is told to stop (5 s).
	Grace time.Duration
	// KeepDelivered and KeepDead are how long settled deliveries can be looked
	// at (7 and 30 days).
	KeepDelivered time.Duration
	KeepDead      time.Duration
	// Random gives a number in [0, 1) for the jitter.
	Random func() float64
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	o.Policy = o.Policy.withDefaults()
	if o.Limits == nil {
		o.Limits = func(*store.Endpoint) Limits { return Limits{} }
	}
	if o.OnChange == nil {
		o.OnChange = func(store.Tx, *store.Endpoint, Change) error { return nil }
	}
	setDefault(&o.Workers, 1024)
	setDefault(&o.Lanes, 8)
	setDefault(&o.Known, 20_000)
	setDefault(&o.Grace, 5*time.Second)
	setDefault(&o.KeepDelivered, 7*24*time.Hour)
	setDefault(&o.KeepDead, 30*24*time.Hour)
	if o.Random == nil {
		o.Random = rand.Float64
	}
	return o
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Outbox is the dispatcher. Its memory mirrors the store's index of lane heads
// and runs a little ahead of it: what was decided and is not yet durable.
type Outbox struct {
	store   store.Store
	carrier Carrier
	opts    Options
	metrics *metrics

	// wake asks for a scan of the index, kick for a look at the timers.
	wake chan struct{}
	kick chan struct{}

	mu        sync.Mutex
	running   bool
	endpoints map[string]*endpoint
	// rings hold endpoints that have a lane to start, in turn, by trust.
	rings  [trusts]fifo[*endpoint]
	turn   trust
	timers timers
	// flying are the attempts under way, and by the trust they started with.
	flying  int
	flights [trusts]int
	cut     int // attempts that the end of Run cut off

	// idle are goroutines that have made an attempt and wait for the next.
	idle []chan flight
	// handed is the size of bodies in memory.
	handed int
	// scanned: the index was read to its end at least once.
	scanned bool
	// skew is how far the clock was set back before this run, tookSkew that what
	// the run before has left was read by it; marked is the latest time that is
	// written down.
	skew     oldClock
	tookSkew bool
	marked   time.Time

	replays replays

	acks    []*ack
	ackCond *sync.Cond
	closing bool

	// attempts and chores are the goroutines that Run waits for.
	attempts   sync.WaitGroup
	chores     sync.WaitGroup
	attemptCtx context.Context
	choreCtx   context.Context
}

// New makes an outbox over a store. Nothing happens before Run.
func New(s store.Store, c Carrier, opts Options) *Outbox {
	o := &Outbox{
		store:     s,
		carrier:   c,
		opts:      opts.withDefaults(),
		wake:      make(chan struct{}, 1),
		kick:      make(chan struct{}, 1),
		endpoints: map[string]*endpoint{},
		replays:   newReplays(),
	}
	o.ackCond = sync.NewCond(&o.mu)
	o.metrics = newMetrics(o, o.opts.Registerer)
	return o
}

// Notice tells of deliveries that a transaction has enqueued. Call it after
// the commit (Tx.AfterCommit): it does not block. Whoever forgets it, or
// crashes before, finds the deliveries sent after the next scan.
func (o *Outbox) Notice(lanes []store.Lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.running {
		return // the scan at the start finds them
	}
	for _, l := range lanes {
		o.learn(l, true)
	}
	o.dispatch(o.steady())
}

// Refresh tells that an endpoint was changed or enabled. Call it
// after the commit: it does not block.
func (o *Outbox) Refresh(id string) { o.refresh(id, false) }

// TryNow is Refresh for an endpoint whose owner says that it works: what waits
// for a time of its own is due now. The breaker lets one attempt at a time
// through until one succeeds, as ever. Call it after the commit: it does not
// block.
func (o *Outbox) TryNow(id string) { o.refresh(id, true) }

func (o *Outbox) refresh(id string, hasten bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ep := o.endpoints[id]
	if ep == nil || !o.running {
		return
	}
	if hasten {
		for _, l := range ep.lanes {
			o.hasten(l)
		}
	}
	now := o.steady()
	ep.refresh(now)
	o.list(ep, now)
	o.dispatch(now)
}

// Forget tells that an endpoint was deleted: what it was owed is removed in the
// background. Call it after the commit: it does not block.
func (o *Outbox) Forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.running {
		return
	}
	ep := o.endpoints[id]
	if ep == nil {
		ep = o.newEndpoint(id)
	}
	if !ep.dropping {
		o.drop(ep)
	}
}

// Wake asks for a scan of everything that is due.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// hurry makes lanes look at their heads again at once.
func (o *Outbox) hurry(lanes []store.Lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.running {
		return
	}
	for _, l := range lanes {
		if ep := o.endpoints[l.Endpoint]; ep != nil {
			if known := ep.lanes[l.Lane]; known != nil && known.state == laneWaiting {
				o.discard(known)
				o.hasten(known)
			}
		}
		o.learn(l, true)
	}
	o.dispatch(o.steady())
}
