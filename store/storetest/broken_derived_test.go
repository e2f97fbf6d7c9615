package storetest_test

import "github.com/postern-mail/postern/store"

// keepsDerived forgets a message and keeps what was derived from it.
type keepsDerived struct{ store.Tx }

func (tx *keepsDerived) DeleteMessage(id string, modSeq uint64) error {
	m, err := tx.Message(id)
	if err != nil {
		return err
	}
	kept := map[store.DerivedKind][]byte{}
	for _, kind := range store.MessageDerived() {
		if v, err := tx.Derived(m.Account, kind, id); err == nil {
			kept[kind] = v
		}
	}
	if err := tx.Tx.DeleteMessage(id, modSeq); err != nil {
		return err
	}
	again := *m
	if err := tx.PutMessage(&again); err != nil {
		return err
	}
	for kind, v := range kept {
		if err := tx.PutDerived(m.Account, kind, id, v); err != nil {
			return err
		}
	}
	return nil
}

// staleDerived keeps what was derived from other bytes.
type staleDerived struct{ store.Tx }

func (tx *staleDerived) PutMessage(m *store.Message) error {
	kept := map[store.DerivedKind][]byte{}
	for _, kind := range store.MessageDerived() {
		if v, err := tx.Derived(m.Account, kind, m.ID); err == nil {
			kept[kind] = v
		}
	}
	if err := tx.Tx.PutMessage(m); err != nil {
		return err
	}
	for kind, v := range kept {
		if err := tx.PutDerived(m.Account, kind, m.ID, v); err != nil {
			return err
		}
	}
	return nil
}

// vagueUIDs lists rows without a size.
type vagueUIDs struct{ store.Tx }

func (tx *vagueUIDs) UIDs(mailbox string, first, last uint32, limit int) ([]store.UID, error) {
	rows, err := tx.Tx.UIDs(mailbox, first, last, limit)
	for i := range rows {
		rows[i].Size = 0
	}
	return rows, err
}

// sharesHashes lets two app passwords have one hash.
type sharesHashes struct{ store.Tx }

func (tx *sharesHashes) PutAppPassword(p *store.AppPassword) error {
	if old, err := tx.AppPasswordByHash(p.Hash); err == nil && old.ID != p.ID {
		if err := tx.DeleteAppPassword(old.ID); err != nil {
			return err
		}
	}
	return tx.Tx.PutAppPassword(p)
}
