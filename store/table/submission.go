package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Submission reads a submission.
func (tx *Tx) Submission(id string) (*store.Submission, error) {
	b, _, err := tx.getSealed(bSubmission, key(id))
	if err != nil {
		return nil, err
	}
	return record.DecodeSubmission(id, b)
}

// place is the submission's row among the due or the done ones.
func place(s *store.Submission) (Bucket, key) {
	if !s.Waits() {
		return bSubmissionDone, key(nil).at(s.DoneAt).last(s.ID)
	}
	return bSubmissionDue, key(nil).at(s.NextAt).last(s.ID)
}

// nameRow is a row of an index of names.
type nameRow struct {
	in  Bucket
	key key
}

// submissionNames are the indexes by which a submission is found.
func (tx *Tx) submissionNames(l uint64, s *store.Submission) (rows []nameRow) {
	given := s.GivenMessageID
	if given == s.MessageID {
		given = "" // one row is enough
	}
	for _, n := range []struct {
		in   Bucket
		name string
	}{
		{bSubmissionKey, s.IdempotencyKey}, {bSubmissionMsgID, s.MessageID}, {bSubmissionMsgID, given}, {bSubmissionDraft, s.DraftID},
	} {
		if n.name != "" {
			rows = append(rows, nameRow{n.in, tx.submissionName(n.in, l, n.name)})
		}
	}
	return rows
}

func (tx *Tx) submissionName(b Bucket, l uint64, name string) key {
	return key(nil).u64(l).last(string(tx.mac(b.String(), name)))
}

// PutSubmission writes a submission and its indexes.
func (tx *Tx) PutSubmission(s *store.Submission) error {
	if err := checkID("submission", s.ID); err != nil {
		return err
	}
	l, err := tx.needLife(s.Account)
	if err != nil {
		return err
	}
	old, err := tx.Submission(s.ID)
	gone, err := missing(err)
	if err != nil {
		return err
	}
	if !gone {
		if old.Account != s.Account {
			return fmt.Errorf("submission %s belongs to another account", s.ID)
		}
		if err := tx.unfileSubmission(l, old); err != nil {
			return err
		}
	}
	b, k := place(s)
	if err := tx.put(b, k, binary.AppendUvarint(nil, l)); err != nil {
		return err
	}
	in := byte('d')
	if b == bSubmissionDone {
		in = 'x'
	}
	if err := tx.put(bSubmissionOf, key(nil).u64(l).last(s.ID), append([]byte{in}, k...)); err != nil {
		return err
	}
	for _, n := range tx.submissionNames(l, s) {
		if err := tx.put(n.in, n.key, []byte(s.ID)); err != nil {
			return err
		}
	}
	rec, err := record.EncodeSubmission(s)
	return tx.putSealed(bSubmission, key(s.ID), l, rec, err)
}

// unfileSubmission removes a submission from its indexes, as far as they
// still name it.
func (tx *Tx) unfileSubmission(l uint64, s *store.Submission) error {
	b, k := place(s)
	if err := tx.del(b, k); err != nil {
		return err
	}
	for _, n := range tx.submissionNames(l, s) {
		v, err := tx.get(n.in, n.key)
		if err != nil {
			return err
		}
		if string(v) == s.ID {
			if err := tx.del(n.in, n.key); err != nil {
				return err
			}
		}
	}
	return tx.del(bSubmissionOf, key(nil).u64(l).last(s.ID))
}

func (tx *Tx) findSubmission(b Bucket, account, name string) (*store.Submission, error) {
	l, err := tx.life(account)
	if err != nil {
		return nil, err
	}
	if l == 0 || name == "" {
		return nil, store.ErrNotFound
	}
	id, err := tx.must(b, tx.submissionName(b, l, name))
	if err != nil {
		return nil, err
	}
	return tx.Submission(string(id))
}

// SubmissionByKey finds a submission by its idempotency key.
func (tx *Tx) SubmissionByKey(account, k string) (*store.Submission, error) {
	return tx.findSubmission(bSubmissionKey, account, k)
}

// SubmissionByMessageID finds a submission by its Message-ID.
func (tx *Tx) SubmissionByMessageID(account, messageID string) (*store.Submission, error) {
	return tx.findSubmission(bSubmissionMsgID, account, messageID)
}

// SubmissionByDraft finds a submission by its draft at the provider.
func (tx *Tx) SubmissionByDraft(account, draftID string) (*store.Submission, error) {
	return tx.findSubmission(bSubmissionDraft, account, draftID)
}

// living lists rows of an index of submissions up to a key, past those whose
// account is gone and whose records wait to be dropped.
func (tx *Tx) living(b Bucket, to []byte, limit int) ([]Pair, error) {
	var out []Pair
	var from []byte
	for len(out) < limit {
		batch := max(limit, 16)
		pairs, err := tx.scan(b, from, to, false, batch)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			from = next(p.Key)
			l, _ := binary.Uvarint(p.Value)
			_, err := tx.dataKey(l)
			gone, err := missing(err)
			if err != nil {
				return nil, err
			}
			if !gone && len(out) < limit {
				out = append(out, p)
			}
		}
		if len(pairs) < batch {
			break
		}
	}
	return out, nil
}

// DueSubmissions lists submissions that are due, earliest first.
func (tx *Tx) DueSubmissions(t time.Time, limit int) ([]*store.Submission, error) {
	pairs, err := tx.living(bSubmissionDue, end(key(nil).at(t)), limit)
	if err != nil {
		return nil, err
	}
	var out []*store.Submission
	var unread []error
	for _, p := range pairs {
		id := string(p.Key[timeSize:])
		s, err := tx.Submission(id)
		if err != nil {
			unread = append(unread, fmt.Errorf("submission %s: %w", id, err))
			continue
		}
		out = append(out, s)
	}
	return out, errors.Join(unread...)
}

// NextSubmission is the earliest due time, zero where none waits.
func (tx *Tx) NextSubmission() (time.Time, error) {
	pairs, err := tx.living(bSubmissionDue, nil, 1)
	if err != nil || len(pairs) == 0 {
		return time.Time{}, err
	}
	return readAt(pairs[0].Key), nil
}

// TrimSubmissions drops submissions that were done before t.
func (tx *Tx) TrimSubmissions(t time.Time, limit int) (dropped int, err error) {
	pairs, err := tx.living(bSubmissionDone, key(nil).at(t), limit)
	if err != nil {
		return 0, err
	}
	for _, p := range pairs {
		s, err := tx.Submission(string(p.Key[timeSize:]))
		if err != nil {
			return dropped, err
		}
		l, err := tx.needLife(s.Account)
		if err != nil {
			return dropped, err
		}
		if err := tx.unfileSubmission(l, s); err != nil {
			return dropped, err
		}
		if err := tx.del(bSubmission, key(s.ID)); err != nil {
			return dropped, err
		}
		dropped++
	}
	return dropped, nil
}
