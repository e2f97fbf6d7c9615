package table

import (
	"encoding/binary"
	"fmt"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// AppPassword reads an app password.
func (tx *Tx) AppPassword(id string) (*store.AppPassword, error) {
	b, _, err := tx.getSealed(bAppPassword, key(id))
	if err != nil {
		return nil, err
	}
	return record.DecodeAppPassword(id, b)
}

func (tx *Tx) appPasswordName(hash []byte) key { return tx.mac("app password", string(hash)) }

// AppPasswordByHash finds an app password.
func (tx *Tx) AppPasswordByHash(hash []byte) (*store.AppPassword, error) {
	if len(hash) == 0 {
		return nil, store.ErrNotFound
	}
	v, err := tx.must(bAppPasswordBy, tx.appPasswordName(hash))
	if err != nil {
		return nil, err
	}
	l, id := splitOwner(v)
	if owner, err := tx.lifeOf(bAppPassword, id); err != nil {
		return nil, err
	} else if owner != l {
		return nil, store.ErrNotFound
	}
	return tx.AppPassword(string(id))
}

// owner names an app password of a life.
func owner(l uint64, id string) []byte { return append(binary.AppendUvarint(nil, l), id...) }

func splitOwner(v []byte) (l uint64, id key) {
	l, n := binary.Uvarint(v)
	return l, v[max(n, 0):]
}

// AppPasswordsOf lists an account's app passwords by id.
func (tx *Tx) AppPasswordsOf(account string) ([]*store.AppPassword, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	pairs, err := tx.prefix(bAppPasswordOf, key(nil).u64(l), maxAppPasswords)
	if err != nil {
		return nil, err
	}
	var out []*store.AppPassword
	for _, p := range pairs {
		pw, err := tx.AppPassword(string(p.Key[8:]))
		if err != nil {
			return nil, err
		}
		out = append(out, pw)
	}
	return out, nil
}

// maxAppPasswords bounds one account's app passwords in a listing.
const maxAppPasswords = 10_000

// PutAppPassword writes an app password.
func (tx *Tx) PutAppPassword(p *store.AppPassword) error {
	if err := checkID("app password", p.ID); err != nil {
		return err
	}
	l, err := tx.needLife(p.Account)
	if err != nil {
		return err
	}
	old, err := tx.AppPassword(p.ID)
	gone, err := missing(err)
	if err != nil {
		return err
	}
	if !gone && old.Account != p.Account {
		return fmt.Errorf("app password %s belongs to another account", p.ID)
	}
	name := tx.appPasswordName(p.Hash)
	if !gone && string(old.Hash) != string(p.Hash) {
		if err := tx.del(bAppPasswordBy, tx.appPasswordName(old.Hash)); err != nil {
			return err
		}
	}
	taken, err := tx.AppPasswordByHash(p.Hash)
	free, err := missing(err)
	if err != nil {
		return err
	}
	if !free && taken.ID != p.ID {
		return fmt.Errorf("app password %s has the hash of another one", p.ID)
	}
	if free {
		if err := tx.put(bAppPasswordBy, name, owner(l, p.ID)); err != nil {
			return err
		}
	}
	if err := tx.put(bAppPasswordOf, key(nil).u64(l).last(p.ID), name); err != nil {
		return err
	}
	b, err := record.EncodeAppPassword(p)
	return tx.putSealed(bAppPassword, key(p.ID), l, b, err)
}

// DeleteAppPassword removes an app password.
func (tx *Tx) DeleteAppPassword(id string) error {
	p, err := tx.AppPassword(id)
	if gone, err := missing(err); gone || err != nil {
		return err
	}
	l, err := tx.needLife(p.Account)
	if err != nil {
		return err
	}
	if err := tx.del(bAppPasswordBy, tx.appPasswordName(p.Hash)); err != nil {
		return err
	}
	if err := tx.del(bAppPasswordOf, key(nil).u64(l).last(id)); err != nil {
		return err
	}
	return tx.del(bAppPassword, key(id))
}

// dropAppPassword removes one of an ended life by its row in bAppPasswordOf.
func (tx *Tx) dropAppPassword(l uint64, p Pair) error {
	id := p.Key[8:]
	v, err := tx.get(bAppPasswordBy, p.Value)
	if err != nil {
		return err
	}
	if string(v) == string(owner(l, string(id))) {
		if err := tx.del(bAppPasswordBy, p.Value); err != nil {
			return err
		}
	}
	return tx.dropOwned(bAppPassword, id, l)
}
