package outbox

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// try is one attempt as a carrier saw it.
type try struct {
	at       time.Time
	endpoint string
	account  string
	event    string
	body     string
	flying   int // attempts to the endpoint, this one included
}

// scripted is a carrier that does what it is told and remembers.
type scripted struct {
	answer func(ctx context.Context, e *store.Endpoint, d *store.Delivery) Outcome

	mu     sync.Mutex
	tries  []try
	flying map[string]int
	most   map[string]int
}

func ok() Outcome              { return Outcome{OK: true, Status: 200, Class: ClassOK} }
func failed(c Class) Outcome   { return Outcome{Class: c, Error: "answered " + string(c)} }
func fine() *scripted          { return answering(func(*store.Delivery) Outcome { return ok() }) }
func (c *scripted) all() []try { c.mu.Lock(); defer c.mu.Unlock(); return slices.Clone(c.tries) }

func answering(fn func(*store.Delivery) Outcome) *scripted {
	return &scripted{answer: func(_ context.Context, _ *store.Endpoint, d *store.Delivery) Outcome { return fn(d) }}
}

// Deliver is Carrier's.
func (c *scripted) Deliver(ctx context.Context, e *store.Endpoint, d *store.Delivery, body []byte) Outcome {
	c.mu.Lock()
	if c.flying == nil {
		c.flying, c.most = map[string]int{}, map[string]int{}
	}
	c.flying[d.Endpoint]++
	c.tries = append(c.tries, try{time.Now(), d.Endpoint, d.Account, d.Event, string(body), c.flying[d.Endpoint]})
	c.most[d.Endpoint] = max(c.most[d.Endpoint], c.flying[d.Endpoint])
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.flying[d.Endpoint]--
		c.mu.Unlock()
	}()
	return c.answer(ctx, e, d)
}

// events lists the events of the tries to an endpoint, in order.
func (c *scripted) events(endpoint string) (list []string) {
	for _, t := range c.all() {
		if t.endpoint == endpoint {
			list = append(list, t.event)
		}
	}
	return list
}

// tampered is a store whose transactions are not what they seem.
type tampered struct {
	store.Store
	// before is called before a view begins, tx makes the transaction that is
	// seen; either may be nil.
	before func()
	tx     func(store.Tx) store.Tx
}

func (s *tampered) with(fn func(store.Tx) error) func(store.Tx) error {
	if s.tx == nil {
		return fn
	}
	return func(tx store.Tx) error { return fn(s.tx(tx)) }
}

func (s *tampered) View(ctx context.Context, fn func(store.Tx) error) error {
	if s.before != nil {
		s.before()
	}
	return s.Store.View(ctx, s.with(fn))
}

func (s *tampered) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, s.with(fn))
}

func (s *tampered) UpdateSoon(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.UpdateSoon(ctx, s.with(fn))
}

// rig is an outbox on a real store.
type rig struct {
	t       testing.TB
	store   store.Store
	carrier *scripted
	outbox  *Outbox
	cancel  context.CancelFunc
	done    chan error
	places  uint64
	// now is what deliveries are stamped with.
	now func() time.Time
}

func openStore(t testing.TB, path string, key seal.MasterKey) *bolt.Store {
	t.Helper()
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(bolt.Options{Path: path, Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey(t testing.TB) seal.MasterKey {
	t.Helper()
	key, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// inBubble runs a test on a fake clock, with a store of its own.
func inBubble(t *testing.T, fn func(t *testing.T, s *bolt.Store)) {
	t.Helper()
	path, key := t.TempDir(), newKey(t)
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, path, key)
		defer s.Close()
		fn(t, s)
	})
}

// start runs an outbox with the middle of every jitter.
func start(t testing.TB, s store.Store, c *scripted, opts Options) *rig {
	t.Helper()
	if opts.Random == nil {
		opts.Random = func() float64 { return 0.5 }
	}
	r := &rig{t: t, store: s, carrier: c, done: make(chan error, 1), now: time.Now}
	r.outbox = New(s, c, opts)
	r.run()
	return r
}

func (r *rig) run() {
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.done <- r.outbox.Run(ctx) }()
}

func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
}

func (r *rig) update(fn func(tx store.Tx) error) {
	r.t.Helper()
	if err := r.store.Update(context.Background(), fn); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) endpoint(id string, ordered bool) {
	r.t.Helper()
	r.update(func(tx store.Tx) error { return tx.PutEndpoint(&store.Endpoint{ID: id, Ordered: ordered}) })
}

// owe enqueues deliveries of new events of an account, named account/1, 2...
// They are numbered from first. ids are those of the deliveries.
func (r *rig) owe(endpoint, account string, ordered bool, first, count int) (ids []string) {
	r.t.Helper()
	r.update(func(tx store.Tx) error {
		ids = nil
		var lanes []store.Lane
		for n := first; n < first+count; n++ {
			r.places++
			ev := fmt.Sprintf("%s/%d", account, n)
			d := &store.Delivery{
				ID: endpoint + ":" + ev, Endpoint: endpoint, Lane: account, Account: account, Event: ev, Type: "ping",
				Position: r.places, Sequence: uint64(n), Rendition: "thin", CreatedAt: r.now(), NextAt: r.now(),
			}
			if !ordered {
				d.Lane = d.ID
			}
			if err := tx.Enqueue(d); err != nil {
				return err
			}
			if err := tx.PutBody(d, []byte("body of "+ev)); err != nil {
				return err
			}
			ids = append(ids, d.ID)
			lanes = append(lanes, store.Lane{Endpoint: endpoint, Lane: d.Lane, Due: d.NextAt})
		}
		tx.AfterCommit(func() { r.outbox.Notice(lanes) })
		return nil
	})
	return ids
}

func (r *rig) delivery(id string) *store.Delivery {
	r.t.Helper()
	d, _, err := r.outbox.Delivery(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (r *rig) attempts(id string) []store.Attempt {
	r.t.Helper()
	_, attempts, err := r.outbox.Delivery(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return attempts
}

func (r *rig) stats() (s store.OutboxStats) {
	r.t.Helper()
	err := r.store.View(context.Background(), func(tx store.Tx) (err error) {
		s, err = tx.OutboxStats()
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// pass lets time go by on the fake clock.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settle lets everything happen that needs no time, and the writes that may
// be held back.
func settle() {
	synctest.Wait()
	pass(time.Second)
}
