package table

import (
	"encoding/binary"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Bodies are sealed under the store's key, so that what is owed can still be
// delivered when the account was disconnected. They live as long as a
// delivery needs them.

func bodyKey(event, rendition string) key { return key(nil).str(event).last(rendition) }

// bodyRef is where a body lies, n 0 where it is not there yet, and how many
// deliveries need it.
type bodyRef struct{ n, held uint64 }

// bodyRef reads where a body lies, n 0 where it is not there.
func (tx *Tx) bodyRef(k key) (r bodyRef, err error) {
	v, err := tx.get(bBodyID, k)
	if err != nil || len(v) < 8 {
		return r, err
	}
	r.n = number(v)
	r.held, _ = binary.Uvarint(v[8:])
	return r, nil
}

func (tx *Tx) putBodyRef(k key, r bodyRef) error {
	return tx.put(bBodyID, k, binary.AppendUvarint(key(nil).u64(r.n), r.held))
}

// PutBody stores a body, unless it is there: what was signed once is sent
// again as it was.
func (tx *Tx) PutBody(event, rendition, account string, body []byte) error {
	if err := checkID("event", event); err != nil {
		return err
	}
	k := bodyKey(event, rendition)
	r, err := tx.bodyRef(k)
	if err != nil || r.n != 0 {
		return err
	}
	if r.n, err = tx.count("number"); err != nil {
		return err
	}
	if err := tx.putBodyRef(k, r); err != nil {
		return err
	}
	b, err := record.EncodeBody(account, body)
	return tx.putSealed(bBody, key(nil).u64(r.n), 0, b, err)
}

// Body reads a body.
func (tx *Tx) Body(event, rendition string) ([]byte, error) {
	r, err := tx.bodyRef(bodyKey(event, rendition))
	if err != nil {
		return nil, err
	}
	if r.n == 0 {
		return nil, store.ErrNotFound
	}
	b, _, err := tx.getSealed(bBody, key(nil).u64(r.n))
	if err != nil {
		return nil, err
	}
	_, body, err := record.DecodeBody(b)
	return body, err
}

// holdBody counts one more delivery of a body, be it there already or not:
// whoever is owed something writes the delivery first or the body first.
func (tx *Tx) holdBody(event, rendition string) error {
	k := bodyKey(event, rendition)
	r, err := tx.bodyRef(k)
	if err != nil {
		return err
	}
	r.held++
	return tx.putBodyRef(k, r)
}

// dropBody counts one less. The last takes the body along.
func (tx *Tx) dropBody(event, rendition string) error {
	k := bodyKey(event, rendition)
	r, err := tx.bodyRef(k)
	if err != nil {
		return err
	}
	if r.held > 1 {
		r.held--
		return tx.putBodyRef(k, r)
	}
	if r.n != 0 {
		if err := tx.del(bBody, key(nil).u64(r.n)); err != nil {
			return err
		}
	}
	return tx.del(bBodyID, k)
}
