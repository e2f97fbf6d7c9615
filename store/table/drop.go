package table

import (
	"encoding/binary"
	"fmt"
)

// DropAccountRecords removes what the ended lives of an account left behind.
// The journal keeps its entries, which tell ids and times but no mail, until
// they are trimmed; what is owed to endpoints stays owed.
func (tx *Tx) DropAccountRecords(id string, limit int) (more bool, err error) {
	lives, err := tx.ended(bDead, id)
	if err != nil {
		return false, err
	}
	left := limit
	for _, l := range lives {
		if err := tx.dropLife(l, &left); err != nil {
			return false, err
		}
		if left <= 0 {
			return true, nil
		}
		if err := tx.del(bDead, key(nil).str(id).u64(l)); err != nil {
			return false, err
		}
	}
	return false, nil
}

// Ended names an account that has records or blobs of an ended life.
func (tx *Tx) Ended() (account string, ok bool, err error) {
	for _, b := range []Bucket{bDead, bDeadBlobs} {
		pairs, err := tx.scan(b, nil, nil, false, 1)
		if err != nil || len(pairs) > 0 {
			if err == nil {
				account, _ = readStr(pairs[0].Key)
			}
			return account, err == nil, err
		}
	}
	return "", false, nil
}

// ended lists the lives of an account that a bucket of the dead still names.
func (tx *Tx) ended(b Bucket, account string) ([]uint64, error) {
	prefix := key(nil).str(account)
	pairs, err := tx.prefix(b, prefix, 1000)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, p := range pairs {
		out = append(out, number(p.Key[len(prefix):]))
	}
	return out, nil
}

// dropLife removes records of a life until left is used up. Rows of an index
// that lead to a record go together with it.
func (tx *Tx) dropLife(l uint64, left *int) error {
	indexes := []struct {
		bucket Bucket
		record func(p Pair) error
	}{
		{bByAccount, func(p Pair) error { return tx.dropOwned(bMessage, p.Key[8+timeSize:], l) }},
		{bThreadOf, func(p Pair) error { return tx.dropOwned(bThread, p.Key[8+timeSize:], l) }},
		{bMailboxOf, func(p Pair) error { return tx.dropOwned(bMailbox, p.Key[8:], l) }},
		{bSubmissionOf, func(p Pair) error { return tx.dropSubmission(l, p) }},
		{bAppPasswordOf, func(p Pair) error { return tx.dropAppPassword(l, p) }},
		{bBlob, func(p Pair) error { return tx.dropBlob(p) }},
		{bByMailbox, nil}, {bByThread, nil}, {bMailboxState, nil}, {bUID, nil}, {bUIDWait, nil},
		{bCount, nil}, {bScope, nil}, {bAbsence, nil}, {bBlobKept, nil}, {bDerived, nil}, {bSubscribed, nil},
		{bSubmissionKey, nil}, {bSubmissionMsgID, nil}, {bSubmissionDraft, nil},
	}
	for _, ix := range indexes {
		pairs, err := tx.prefix(ix.bucket, key(nil).u64(l), *left)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			if ix.record != nil {
				if err := ix.record(p); err != nil {
					return err
				}
			}
			if err := tx.del(ix.bucket, p.Key); err != nil {
				return err
			}
			*left--
		}
	}
	return nil
}

// dropOwned deletes a record unless another life has taken its id over.
func (tx *Tx) dropOwned(b Bucket, k key, l uint64) error {
	v, err := tx.get(b, k)
	if err != nil || v == nil {
		return err
	}
	if owner, _ := binary.Uvarint(v); owner != l {
		return nil
	}
	return tx.del(b, k)
}

func (tx *Tx) dropSubmission(l uint64, p Pair) error {
	if len(p.Value) == 0 {
		return fmt.Errorf("submission %s: %w", p.Key[8:], errIncomplete)
	}
	in := bSubmissionDue
	if p.Value[0] == 'x' {
		in = bSubmissionDone
	}
	if err := tx.dropOwned(in, p.Value[1:], l); err != nil {
		return err
	}
	return tx.dropOwned(bSubmission, p.Key[8:], l)
}
