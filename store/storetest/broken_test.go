package storetest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// broken is a way to break a store, and the case that must notice.
type broken struct {
	how, caught string
	make        func(store.Store) store.Store
}

func brokenStores() []broken {
	// inTx breaks transactions by what wraps them.
	inTx := func(wrap func(store.Tx) store.Tx) func(store.Store) store.Store {
		return func(s store.Store) store.Store { return &wrapped{Store: s, wrap: wrap} }
	}
	return []broken{
		{"an index by date loses rows", "messages are listed by date, in pages", inTx(func(tx store.Tx) store.Tx { return &losesIndex{tx} })},
		{"a failed update stays in part", "update is applied whole or not at all", func(s store.Store) store.Store { return &halfUpdates{s} }},
		{"after commit runs out of order", "after commit runs in the order of the journal", func(s store.Store) store.Store { return &swapsHooks{Store: s} }},
		{"after commit runs before the commit", "after commit runs when it is durable", inTx(func(tx store.Tx) store.Tx { return &earlyHooks{tx} })},
		{"UIDs are given again", "a UID is never given twice", inTx(func(tx store.Tx) store.Tx { return &renumbers{tx} })},
		{"a move keeps the old row", "a move gives a new UID and takes the old row", inTx(func(tx store.Tx) store.Tx { return &staysInMailbox{tx} })},
		{"unread is not counted down", "total and unread are counted", inTx(func(tx store.Tx) store.Tx { return &miscounts{tx} })},
		{"the journal skips numbers", "positions and sequences have no gap", inTx(func(tx store.Tx) store.Tx { return &skipsNumbers{tx} })},
		{"the journal loses an event", "an event is seen together with its change", inTx(func(tx store.Tx) store.Tx { return &losesEvents{tx} })},
		{"what is behind a head is due", "only heads of lanes are due", inTx(func(tx store.Tx) store.Tx { return &dueBehind{tx} })},
		{"settling does not promote the next", "settling the head promotes the next, at its own time", func(s store.Store) store.Store {
			settled := &sync.Map{}
			return &wrapped{Store: s, wrap: func(tx store.Tx) store.Tx { return &noPromotion{tx, settled} }}
		}},
		{"requeueing puts a delivery in front", "requeueing puts a delivery at the end of its lane", func(s store.Store) store.Store {
			requeued := &sync.Map{}
			return &wrapped{Store: s, wrap: func(tx store.Tx) store.Tx { return &requeuesInFront{tx, requeued} }}
		}},
		{"the last attempt is lost", "an attempt is logged with what it led to", inTx(func(tx store.Tx) store.Tx { return &losesLastAttempt{tx} })},
		{"what is detached stays in its lane", "a delivery that is detached has a lane of its own", inTx(func(tx store.Tx) store.Tx { return &neverDetaches{tx} })},
		{"endpoints are counted together", "what waits is counted by endpoint", inTx(func(tx store.Tx) store.Tx { return &countsTogether{tx} })},
		{"a trim passes by", "trimming comes to everything at last", inTx(func(tx store.Tx) store.Tx { return &trimsOnce{tx} })},
		{"erasing leaves attempts", "erasing an account reaches bodies and attempts", inTx(func(tx store.Tx) store.Tx { return &erasesPending{tx} })},
		{"a pause holds back every endpoint", "a paused endpoint is held back, others are not", inTx(func(tx store.Tx) store.Tx { return &pausesAll{tx} })},
		{"a body goes with its first delivery", "a body is shared and goes with its last delivery", func(s store.Store) store.Store {
			gone := &sync.Map{}
			return &wrapped{Store: s, wrap: func(tx store.Tx) store.Tx { return &dropsBodies{tx, gone} }}
		}},
		{"a body is written over", "a body stays as it was first put", func(s store.Store) store.Store {
			newest := &sync.Map{}
			return &wrapped{Store: s, wrap: func(tx store.Tx) store.Tx { return &overwritesBodies{tx, newest} }}
		}},
		{"what is derived outlives its message", "what is derived from a message goes with it", inTx(func(tx store.Tx) store.Tx { return &keepsDerived{tx} })},
		{"what is derived outlives its bytes", "what is derived from bytes goes with the bytes", inTx(func(tx store.Tx) store.Tx { return &staleDerived{tx} })},
		{"UID rows know no size", "a UID row tells size and date of its message", inTx(func(tx store.Tx) store.Tx { return &vagueUIDs{tx} })},
		{"app passwords share a hash", "an app password is found by id, hash and account", inTx(func(tx store.Tx) store.Tx { return &sharesHashes{tx} })},
		{"a job that is done still runs", "a job runs until it is done", inTx(func(tx store.Tx) store.Tx { return &runsForever{tx} })},
		{"the jobs of an account outlive it", "the jobs of an account go with it", inTx(func(tx store.Tx) store.Tx { return &keepsJobs{tx} })},
		{"update soon is lost on close", "update soon is not lost on close", func(s store.Store) store.Store { return &forgetful{Store: s} }},
		{"a view sees what is not committed", "a view sees nothing uncommitted", func(s store.Store) store.Store { return &leaky{Store: s} }},
		{"a view moves on while it looks", "a view sees one moment", func(s store.Store) store.Store { return &moving{s} }},
		{"writers overlook each other", "transactions are serialisable", func(s store.Store) store.Store { return &stale{s} }},
		{"a deleted account's messages can be read", "a deleted account cannot be read at all", inTx(func(tx store.Tx) store.Tx { return &keepsAccounts{tx} })},
		{"a sequence starts again with the account", "an account's sequence outlives it", inTx(func(tx store.Tx) store.Tx { return &restartsSequence{tx} })},
		{"records are shared with the caller", "records belong to whoever holds them", func(s store.Store) store.Store {
			cache := &sync.Map{}
			return &wrapped{Store: s, wrap: func(tx store.Tx) store.Tx { return &shares{tx, cache} }}
		}},
		{"trimming takes pending deliveries", "settled deliveries are trimmed, pending ones never", inTx(func(tx store.Tx) store.Tx { return &trimsPending{tx} })},
		{"a filter of deliveries is ignored", "deliveries are listed by what is asked for", inTx(func(tx store.Tx) store.Tx { return &ignoresFilter{tx} })},
		{"a lease is held twice", "of many who want a lease one gets it", func(s store.Store) store.Store { return &generous{s} }},
		{"a blob opens through another account", "a blob is its account's alone", func(s store.Store) store.Store { return &mixesAccounts{Store: s, seen: map[string]bool{}} }},
		{"a blob that nobody else has is trimmed", "trimming drops what was put without sync, and nothing else", func(s store.Store) store.Store { return &forgetsSync{s} }},
		{"trimming drops nothing", "trimming drops what was put without sync, and nothing else", func(s store.Store) store.Store { return &neverTrims{s} }},
		{"a blob is cut after its first chunk", "a blob comes back byte by byte, of any size", func(s store.Store) store.Store { return &cutsBlobs{s} }},
		{"damage reads as zeros", "a changed byte is refused", func(s store.Store) store.Store { return &hidesDamage{s} }},
	}
}

// wrapped is a store with other transactions.
type wrapped struct {
	store.Store
	wrap func(store.Tx) store.Tx
}

func (s *wrapped) in(fn func(store.Tx) error) func(store.Tx) error {
	return func(tx store.Tx) error { return fn(s.wrap(tx)) }
}

func (s *wrapped) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.View(ctx, s.in(fn))
}

func (s *wrapped) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, s.in(fn))
}

func (s *wrapped) UpdateSoon(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.UpdateSoon(ctx, s.in(fn))
}

type losesIndex struct{ store.Tx }

func (tx *losesIndex) MessagesIn(mailbox string, after store.DateKey, limit int) ([]store.DateKey, error) {
	keys, err := tx.Tx.MessagesIn(mailbox, after, limit)
	return slices.DeleteFunc(keys, func(k store.DateKey) bool { return k.ID == "m0002" }), err
}

type halfUpdates struct{ store.Store }

func (s *halfUpdates) Update(ctx context.Context, fn func(store.Tx) error) error {
	var own error
	err := s.Store.Update(ctx, func(tx store.Tx) error { own = fn(tx); return nil })
	return errors.Join(own, err)
}

// swapsHooks runs each hook after the one that came next.
type swapsHooks struct {
	store.Store
	mu   sync.Mutex
	held func()
}

type swapTx struct {
	store.Tx
	s *swapsHooks
}

func (tx *swapTx) AfterCommit(fn func()) {
	tx.Tx.AfterCommit(func() {
		tx.s.mu.Lock()
		before := tx.s.held
		tx.s.held = nil
		if before == nil {
			tx.s.held = fn
		}
		tx.s.mu.Unlock()
		if before != nil {
			fn()
			before()
		}
	})
}

func (s *swapsHooks) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(&swapTx{tx, s}) })
}

type earlyHooks struct{ store.Tx }

func (*earlyHooks) AfterCommit(fn func()) { fn() }

// renumbers takes a message's place in the list for its UID.
type renumbers struct{ store.Tx }

func (tx *renumbers) UIDs(mailbox string, first, last uint32, limit int) ([]store.UID, error) {
	rows, err := tx.Tx.UIDs(mailbox, first, last, limit)
	for i := range rows {
		rows[i].UID = uint32(i + 1)
	}
	return rows, err
}

type staysInMailbox struct{ store.Tx }

func (tx *staysInMailbox) PutMessage(m *store.Message) error {
	c := *m
	if old, err := tx.Message(m.ID); err == nil {
		c.In = slices.Concat(old.In, m.In)
	}
	return tx.Tx.PutMessage(&c)
}

type miscounts struct{ store.Tx }

func (tx *miscounts) Mailbox(id string) (*store.Mailbox, error) {
	m, err := tx.Tx.Mailbox(id)
	if err == nil {
		m.Unread = m.Total
	}
	return m, err
}

// skipsNumbers loses every seventh position to an event that nobody appended.
type skipsNumbers struct{ store.Tx }

func (tx *skipsNumbers) AppendEvent(e *event.Event) error {
	if err := tx.Tx.AppendEvent(e); err != nil || e.Position%7 != 0 {
		return err
	}
	e.Sequence, e.ID = 0, ""
	return tx.Tx.AppendEvent(e)
}

func (tx *skipsNumbers) EventsAfter(position uint64, limit int) ([]event.Event, error) {
	all, err := tx.Tx.EventsAfter(position, limit)
	return slices.DeleteFunc(all, func(e event.Event) bool { return e.Position%7 == 0 }), err
}

type losesEvents struct{ store.Tx }

func (tx *losesEvents) EventsAfter(position uint64, limit int) ([]event.Event, error) {
	all, err := tx.Tx.EventsAfter(position, limit)
	return slices.DeleteFunc(all, func(e event.Event) bool { return e.Position == 13 }), err
}

// forgetful says that it is done and does it later, if there is a later.
type forgetful struct {
	store.Store
	mu     sync.Mutex
	later  []func(store.Tx) error
	closed bool
}

func (s *forgetful) UpdateSoon(_ context.Context, fn func(store.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.later = append(s.later, fn)
	return nil
}

func (s *forgetful) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.mu.Lock()
	later := s.later
	s.later = nil
	s.mu.Unlock()
	return s.Store.Update(ctx, func(tx store.Tx) error {
		for _, l := range later {
			if err := l(tx); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

func (s *forgetful) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return s.Store.Close()
}

// leaky lets views into the update of the moment.
type leaky struct {
	store.Store
	mu  sync.Mutex
	now store.Tx
}

func (s *leaky) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error {
		s.mu.Lock()
		s.now = tx
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.now = nil
			s.mu.Unlock()
		}()
		return fn(tx)
	})
}

func (s *leaky) View(ctx context.Context, fn func(store.Tx) error) error {
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	if now != nil {
		return fn(now)
	}
	return s.Store.View(ctx, fn)
}

// moving looks anew for every setting.
type moving struct{ store.Store }

type movingTx struct {
	store.Tx
	s store.Store
}

func (tx *movingTx) Setting(name string) (v []byte, err error) {
	verr := tx.s.View(context.Background(), func(now store.Tx) error { v, err = now.Setting(name); return nil })
	return v, errors.Join(err, verr)
}

func (s *moving) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.View(ctx, func(tx store.Tx) error { return fn(&movingTx{tx, s.Store}) })
}

// stale lets a writer read what was there before it got its turn.
type stale struct{ store.Store }

type staleTx struct {
	store.Tx
	before store.Tx
}

func (tx *staleTx) Setting(name string) ([]byte, error) { return tx.before.Setting(name) }

func (s *stale) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.View(ctx, func(before store.Tx) error {
		return s.Store.Update(ctx, func(tx store.Tx) error { return fn(&staleTx{tx, before}) })
	})
}

// keepsAccounts forgets the account's record and nothing else.
type keepsAccounts struct{ store.Tx }

const hidden = "hidden by the broken store"

func (tx *keepsAccounts) DeleteAccount(id string) error {
	a, err := tx.Tx.Account(id)
	if err != nil {
		return err
	}
	a.StateReason = hidden
	return tx.PutAccount(a)
}

func (tx *keepsAccounts) Account(id string) (*store.Account, error) {
	a, err := tx.Tx.Account(id)
	if err == nil && a.StateReason == hidden {
		return nil, store.ErrNotFound
	}
	return a, err
}

type restartsSequence struct{ store.Tx }

func (tx *restartsSequence) AppendEvent(e *event.Event) error {
	if err := tx.Tx.AppendEvent(e); err != nil {
		return err
	}
	if e.Sequence > 1 && e.Type == event.Ping {
		e.Sequence = 1
		e.ID = event.ID(e.Account, 1)
	}
	return nil
}

type shares struct {
	store.Tx
	cache *sync.Map
}

func (tx *shares) Message(id string) (*store.Message, error) {
	if m, ok := tx.cache.Load(id); ok {
		return m.(*store.Message), nil
	}
	m, err := tx.Tx.Message(id)
	if err == nil {
		tx.cache.Store(id, m)
	}
	return m, err
}

type trimsPending struct{ store.Tx }

func (tx *trimsPending) TrimOutbox(delivered, dead time.Time, limit int) (int, bool, error) {
	pending, err := tx.Deliveries(store.DeliveryFilter{State: store.DeliveryPending}, store.DateKey{}, 1)
	for _, d := range pending {
		d.State, d.DoneAt = store.DeliveryDead, dead.Add(-time.Hour)
		err = errors.Join(err, tx.Settle(d))
	}
	n, more, terr := tx.Tx.TrimOutbox(delivered, dead, limit)
	return n, more, errors.Join(err, terr)
}

type ignoresFilter struct{ store.Tx }

func (tx *ignoresFilter) Deliveries(f store.DeliveryFilter, after store.DateKey, limit int) ([]*store.Delivery, error) {
	f.Type = ""
	return tx.Tx.Deliveries(f, after, limit)
}

type generous struct{ store.Store }

type generousLeases struct{ store.Leases }

func (s *generous) Leases() store.Leases { return generousLeases{s.Store.Leases()} }

func (l generousLeases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (bool, uint64, error) {
	_, token, err := l.Leases.Acquire(ctx, name, owner, ttl)
	return true, token, err
}

// mixesAccounts opens a blob for whoever knows its digest.
