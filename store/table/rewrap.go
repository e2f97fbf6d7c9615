package table

import "github.com/postern-mail/postern/store/record"

// Rewrap wraps data keys under the first master key, at most limit of them,
// from after a place that the call before gave. done counts those it looked
// at, more says whether there are others.
func (tx *Tx) Rewrap(after []byte, limit int) (place []byte, done int, more bool, err error) {
	var from []byte
	if after != nil {
		from = next(after)
	}
	pairs, err := tx.scan(bKey, from, nil, false, limit+1)
	if err != nil {
		return nil, 0, false, err
	}
	for i, p := range pairs {
		if i == limit {
			return place, done, true, nil
		}
		place = append([]byte(nil), p.Key...)
		done++
		account, wrapped, err := record.DecodeKey(p.Value)
		if err != nil {
			return nil, 0, false, err
		}
		if tx.t.keys.Current(wrapped) {
			continue
		}
		aad := keyAAD(number(p.Key), account)
		k, err := tx.t.unwrap(wrapped, aad)
		if err != nil {
			return nil, 0, false, err
		}
		b, err := record.EncodeKey(account, tx.t.keys.Wrap(k, aad))
		if err != nil {
			return nil, 0, false, err
		}
		if err := tx.put(bKey, place, b); err != nil {
			return nil, 0, false, err
		}
	}
	return place, done, false, nil
}
