package table

import (
	"sort"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

func (tx *Tx) scopeKey(l uint64, name string) key {
	return key(nil).u64(l).last(string(tx.mac("scope", name)))
}

// Scope reads a feed's state.
func (tx *Tx) Scope(account, name string) (*store.Scope, error) {
	l, err := tx.life(account)
	if err != nil {
		return nil, err
	}
	if l == 0 {
		return nil, store.ErrNotFound
	}
	b, _, err := tx.getSealed(bScope, tx.scopeKey(l, name))
	if err != nil {
		return nil, err
	}
	return record.DecodeScope(account, b)
}

// Scopes lists an account's feeds by name.
func (tx *Tx) Scopes(account string) ([]*store.Scope, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	pairs, err := tx.prefix(bScope, key(nil).u64(l), maxMailboxes)
	if err != nil {
		return nil, err
	}
	var out []*store.Scope
	for _, p := range pairs {
		b, _, err := tx.open(bScope, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		s, err := record.DecodeScope(account, b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// PutScope writes a feed's state.
func (tx *Tx) PutScope(s *store.Scope) error {
	l, err := tx.needLife(s.Account)
	if err != nil {
		return err
	}
	b, err := record.EncodeScope(s)
	return tx.putSealed(bScope, tx.scopeKey(l, s.Name), l, b, err)
}

// DeleteScope forgets a feed.
func (tx *Tx) DeleteScope(account, name string) error {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return err
	}
	return tx.del(bScope, tx.scopeKey(l, name))
}

// Absences lists an account's messages that are missing, by id.
func (tx *Tx) Absences(account string, limit int) ([]store.Absence, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	pairs, err := tx.prefix(bAbsence, key(nil).u64(l), limit)
	if err != nil {
		return nil, err
	}
	var out []store.Absence
	for _, p := range pairs {
		out = append(out, store.Absence{Account: account, Message: string(p.Key[8:]), Since: readAt(p.Value)})
	}
	return out, nil
}

// PutAbsence remembers that a message is missing.
func (tx *Tx) PutAbsence(a store.Absence) error {
	if err := checkID("message", a.Message); err != nil {
		return err
	}
	l, err := tx.needLife(a.Account)
	if err != nil {
		return err
	}
	return tx.put(bAbsence, key(nil).u64(l).last(a.Message), key(nil).at(a.Since))
}

// DeleteAbsence forgets that a message was missing.
func (tx *Tx) DeleteAbsence(account, message string) error {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return err
	}
	return tx.del(bAbsence, key(nil).u64(l).last(message))
}
