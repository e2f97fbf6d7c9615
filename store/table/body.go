package table

import (
	"encoding/binary"
	"fmt"

	"github.com/postern-mail/postern/store/record"
)

// Bodies are sealed under the store's key, so that what is owed can still be
// delivered when the account was disconnected. They live as long as a
// delivery needs them.

func bodyKey(event, rendition string) key { return key(nil).str(event).last(rendition) }

// PutBody stores a body, unless it is there: what was signed once is sent
// again as it was.
func (tx *Tx) PutBody(event, rendition, account string, body []byte) error {
	if err := checkID("event", event); err != nil {
		return err
	}
	k := bodyKey(event, rendition)
	if v, err := tx.get(bBody, k); err != nil || v != nil {
		return err
	}
	b, err := record.EncodeBody(account, body)
	return tx.putSealed(bBody, k, 0, b, err)
}

// Body reads a body.
func (tx *Tx) Body(event, rendition string) ([]byte, error) {
	b, _, err := tx.getSealed(bBody, bodyKey(event, rendition))
	if err != nil {
		return nil, err
	}
	_, body, err := record.DecodeBody(b)
	return body, err
}

// holdBody counts one more, or with -1 one less, delivery of a body. The last
// takes the body along.
func (tx *Tx) holdBody(event, rendition string, diff int64) error {
	k := bodyKey(event, rendition)
	v, err := tx.get(bBodyRefs, k)
	if err != nil {
		return err
	}
	n, _ := binary.Uvarint(v)
	left := int64(n) + diff
	if left < 0 {
		return fmt.Errorf("body of %s: %w", event, errIncomplete)
	}
	if left == 0 {
		if err := tx.del(bBody, k); err != nil {
			return err
		}
		return tx.del(bBodyRefs, k)
	}
	return tx.put(bBodyRefs, k, binary.AppendUvarint(nil, uint64(left)))
}
