package table

import (
	"encoding/binary"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// derived opens what was derived from mail. What belongs to a message wants
// the message; nothing wants what can be computed again.
func (v *verifier) derived() error {
	return v.records(bDerived, func(k key, l uint64, _ []byte) error {
		v.want[bDerived]++ // it stands for itself
		if len(k) < 9 || number(k) != l {
			v.tellf("a derived value of life %d stands in a wrong place", l)
			return nil
		}
		if !store.DerivedKind(k[8]).OfMessage() {
			return nil
		}
		owner, err := v.get(bMessage, k[9:])
		if err != nil {
			return err
		}
		if of, _ := binary.Uvarint(owner); owner == nil || of != l {
			v.tellf("a derived value of kind %d names message %s, which is not there", k[8], printable(k[9:]))
		}
		return nil
	})
}

func (v *verifier) appPasswords() error {
	err := v.records(bAppPassword, func(k key, l uint64, plain []byte) error {
		p, err := record.DecodeAppPassword(string(k), plain)
		if v.bad(bAppPassword, k, err) {
			return nil
		}
		of := "app password " + p.ID
		name := v.appPasswordName(p.Hash)
		if err := v.row(bAppPasswordOf, key(nil).u64(l).last(p.ID), name, of); err != nil {
			return err
		}
		return v.row(bAppPasswordBy, name, owner(l, p.ID), of)
	})
	if err != nil {
		return err
	}
	return v.records(bSubscribed, func(k key, l uint64, name []byte) error {
		if string(v.subscribedKey(l, string(name))) != string(k) {
			v.tellf("a subscription of life %d stands in a wrong place", l)
		}
		return nil
	})
}
