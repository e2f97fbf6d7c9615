package table

import (
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Bodies are sealed under the store's key, so that what is owed can still be
// delivered when the account was disconnected. They live as long as a
// delivery needs them.

func bodyKey(d *store.Delivery) key { return key(nil).u64(d.Position).str(d.Event).last(d.Rendition) }

// PutBody stores a body, unless it is there: what was signed once is sent
// again as it was.
func (tx *Tx) PutBody(d *store.Delivery, body []byte) error {
	if err := checkID("event", d.Event); err != nil {
		return err
	}
	k := bodyKey(d)
	if v, err := tx.get(bOwedBody, k); err != nil || v != nil {
		return err
	}
	b, err := record.EncodeBody(d.Account, body)
	return tx.putSealed(bOwedBody, k, 0, b, err)
}

// Body reads a body.
func (tx *Tx) Body(d *store.Delivery) ([]byte, error) {
	b, _, err := tx.getSealed(bOwedBody, bodyKey(d))
	if errors.Is(err, seal.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	_, body, err := record.DecodeBody(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return body, nil
}

// dropBody removes the body of a delivery that was dropped, unless another one
// needs it. Those lie beside it.
func (tx *Tx) dropBody(d *store.Delivery) error {
	from, to := key(nil).u64(d.Position), end(key(nil).u64(d.Position))
	for {
		pairs, err := tx.scan(bOwed, from, to, false, 64)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			r, err := tx.readOwed(p)
			if err != nil {
				return err
			}
			if r.Event == d.Event && r.Rendition == d.Rendition {
				return nil
			}
		}
		if len(pairs) < 64 {
			return tx.del(bOwedBody, bodyKey(d))
		}
		from = next(pairs[len(pairs)-1].Key)
	}
}
