package table

import (
	"slices"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Account reads an account.
func (tx *Tx) Account(id string) (*store.Account, error) {
	b, _, err := tx.getSealed(bAccount, key(id))
	if err != nil {
		return nil, err
	}
	return record.DecodeAccount(id, b)
}

// AccountsAfter lists accounts by id.
func (tx *Tx) AccountsAfter(id string, limit int) ([]*store.Account, error) {
	pairs, err := tx.scan(bAccount, next(key(id)), nil, false, limit)
	if err != nil {
		return nil, err
	}
	var out []*store.Account
	for _, p := range pairs {
		b, _, err := tx.open(bAccount, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		a, err := record.DecodeAccount(string(p.Key), b)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// PutAccount writes an account; the first time it begins its life.
func (tx *Tx) PutAccount(a *store.Account) error {
	if err := checkID("account", a.ID); err != nil {
		return err
	}
	l, err := tx.life(a.ID)
	if err != nil {
		return err
	}
	var old *store.Account
	if l == 0 {
		if l, err = tx.beginLife(a.ID); err != nil {
			return err
		}
	} else if old, err = tx.Account(a.ID); err != nil {
		return err
	}
	if old != nil {
		if err := tx.dropLookups(old, a); err != nil {
			return err
		}
	}
	for _, k := range a.Watch.LookupKeys {
		if err := tx.put(bLookup, tx.mac("lookup", a.Provider, k), []byte(a.ID)); err != nil {
			return err
		}
	}
	b, err := record.EncodeAccount(a)
	return tx.putSealed(bAccount, key(a.ID), l, b, err)
}

// dropLookups removes those of old's lookup keys that now, which may be nil,
// has no more, as long as they still name old.
func (tx *Tx) dropLookups(old, now *store.Account) error {
	for _, k := range old.Watch.LookupKeys {
		if now != nil && now.Provider == old.Provider && slices.Contains(now.Watch.LookupKeys, k) {
			continue
		}
		m := tx.mac("lookup", old.Provider, k)
		v, err := tx.get(bLookup, m)
		if err != nil {
			return err
		}
		if string(v) == old.ID {
			if err := tx.del(bLookup, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// AccountByLookup finds whom a hint names.
func (tx *Tx) AccountByLookup(provider, k string) (string, error) {
	v, err := tx.must(bLookup, tx.mac("lookup", provider, k))
	return string(v), err
}

// DeleteAccount ends an account's life.
func (tx *Tx) DeleteAccount(id string) error {
	l, err := tx.life(id)
	if err != nil || l == 0 {
		return err
	}
	a, err := tx.Account(id)
	if err != nil {
		return err
	}
	if err := tx.outliveMailboxesOf(l); err != nil {
		return err
	}
	if err := tx.dropLookups(a, nil); err != nil {
		return err
	}
	if err := tx.del(bAccount, key(id)); err != nil {
		return err
	}
	for _, b := range []Bucket{bDead, bDeadBlobs} {
		if err := tx.put(b, key(nil).str(id).u64(l), nil); err != nil {
			return err
		}
	}
	return tx.endLife(id, l)
}
