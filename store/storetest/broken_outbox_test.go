package storetest_test

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/store"
)

type dueBehind struct{ store.Tx }

func (tx *dueBehind) DueLanes(t time.Time, limit int) ([]store.Lane, error) {
	lanes, err := tx.Tx.DueLanes(t, limit)
	all, aerr := tx.LanesAfter(store.Lane{}, 1000)
	for _, l := range all {
		rows, herr := tx.Head(l.Endpoint, l.Lane, 1000)
		for _, d := range rows[min(1, len(rows)):] {
			if !d.NextAt.After(t) {
				lanes = append(lanes, store.Lane{Endpoint: l.Endpoint, Lane: l.Lane, Due: d.NextAt})
			}
		}
		aerr = errors.Join(aerr, herr)
	}
	return lanes, errors.Join(err, aerr)
}

type noPromotion struct {
	store.Tx
	settled *sync.Map
}

func (tx *noPromotion) Settle(d *store.Delivery) error {
	tx.settled.Store(d.Lane, true)
	return tx.Tx.Settle(d)
}

func (tx *noPromotion) NextDue() (time.Time, error) {
	stuck := false
	tx.settled.Range(func(_, _ any) bool { stuck = true; return false })
	if stuck {
		return time.Time{}, nil
	}
	return tx.Tx.NextDue()
}

type requeuesInFront struct {
	store.Tx
	requeued *sync.Map
}

func (tx *requeuesInFront) Requeue(d *store.Delivery) error {
	tx.requeued.Store(d.ID, true)
	return tx.Tx.Requeue(d)
}

func (tx *requeuesInFront) Head(endpoint, lane string, limit int) ([]*store.Delivery, error) {
	rows, err := tx.Tx.Head(endpoint, lane, limit)
	slices.SortStableFunc(rows, func(a, b *store.Delivery) int {
		_, x := tx.requeued.Load(a.ID)
		_, y := tx.requeued.Load(b.ID)
		switch {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})
	return rows, err
}

type pausesAll struct{ store.Tx }

func (tx *pausesAll) PauseEndpoint(id string, t time.Time) error {
	all, err := tx.Endpoints()
	for _, e := range all {
		err = errors.Join(err, tx.Tx.PauseEndpoint(e.ID, t))
	}
	return err
}

type dropsBodies struct {
	store.Tx
	gone *sync.Map
}

func (tx *dropsBodies) Settle(d *store.Delivery) error {
	tx.gone.Store(d.Event+d.Rendition, true)
	return tx.Tx.Settle(d)
}

func (tx *dropsBodies) Body(d *store.Delivery) ([]byte, error) {
	if _, gone := tx.gone.Load(d.Event + d.Rendition); gone {
		return nil, store.ErrNotFound
	}
	return tx.Tx.Body(d)
}

type overwritesBodies struct {
	store.Tx
	newest *sync.Map
}

func (tx *overwritesBodies) PutBody(d *store.Delivery, body []byte) error {
	tx.newest.Store(d.Event+d.Rendition, slices.Clone(body))
	return tx.Tx.PutBody(d, body)
}

func (tx *overwritesBodies) Body(d *store.Delivery) ([]byte, error) {
	if b, ok := tx.newest.Load(d.Event + d.Rendition); ok {
		return b.([]byte), nil
	}
	return tx.Tx.Body(d)
}

type losesLastAttempt struct{ store.Tx }

func (tx *losesLastAttempt) Conclude(d *store.Delivery, a *store.Attempt) error {
	if d.State == store.DeliveryPending {
		return tx.Tx.Conclude(d, a)
	}
	return tx.Settle(d)
}

type neverDetaches struct{ store.Tx }

func (tx *neverDetaches) Detach(d *store.Delivery) error { return tx.Reschedule(d) }

type countsTogether struct{ store.Tx }

func (tx *countsTogether) EndpointStats(string) (store.OutboxStats, error) { return tx.OutboxStats() }

// trimsOnce looks no more for what was settled after a delivery that is older.
type trimsOnce struct{ store.Tx }

func (tx *trimsOnce) TrimOutbox(delivered, dead time.Time, limit int) (int, bool, error) {
	waiting, err := tx.Deliveries(store.DeliveryFilter{State: store.DeliveryPending}, store.DateKey{}, 25)
	if err != nil || len(waiting) < 25 {
		return 0, false, err
	}
	return tx.Tx.TrimOutbox(delivered, dead, limit)
}

// erasesPending forgets what is settled.
type erasesPending struct{ store.Tx }

func (tx *erasesPending) DropDeliveriesOf(account string, limit int) (bool, error) {
	settled, err := tx.Deliveries(store.DeliveryFilter{Account: account, State: store.DeliveryDead}, store.DateKey{}, 1)
	if err != nil || len(settled) > 0 {
		return false, err
	}
	return tx.Tx.DropDeliveriesOf(account, limit)
}
