package table

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

func (v *verifier) journal() error {
	newest, err := v.number("position")
	if err != nil {
		return err
	}
	epoch, err := v.Epoch()
	if err != nil {
		return err
	}
	return v.each(bJournal, func(p Pair) error {
		v.checked.Records++
		e, err := v.event(p)
		if v.bad(bJournal, p.Key, err) {
			return nil
		}
		of := fmt.Sprintf("journal entry %d", e.Position)
		if e.Position > newest || e.Epoch > epoch {
			v.tellf("%s is ahead of the journal, which ends at %d in epoch %d", of, newest, epoch)
		}
		if found, err := v.EventByID(e.ID); err != nil || found.Position != e.Position {
			v.tellf("%s is not found by its id", of)
		}
		return v.row(bJournalOf, key(nil).str(e.Account).u64(e.Sequence), p.Key, of)
	})
}

func (v *verifier) submissions() error {
	return v.records(bSubmission, func(k key, l uint64, plain []byte) error {
		s, err := record.DecodeSubmission(string(k), plain)
		if v.bad(bSubmission, k, err) {
			return nil
		}
		of := "submission " + s.ID
		b, at := place(s)
		if err := v.row(b, at, binary.AppendUvarint(nil, l), of); err != nil {
			return err
		}
		in := byte('d')
		if b == bSubmissionDone {
			in = 'x'
		}
		if err := v.row(bSubmissionOf, key(nil).u64(l).last(s.ID), append([]byte{in}, at...), of); err != nil {
			return err
		}
		for b, name := range v.submissionNames(l, s) {
			// A name belongs to whoever took it last.
			if got, err := v.get(b, name); err != nil {
				return err
			} else if got == nil {
				v.tellf("%s is not found in %s", of, b)
			}
		}
		return nil
	})
}

func (v *verifier) jobs() error {
	return v.records(bJob, func(k key, _ uint64, plain []byte) error {
		j, err := record.DecodeJob(string(k), plain)
		if v.bad(bJob, k, err) {
			return nil
		}
		for b, row := range jobRows(j) {
			if err := v.row(b, row, nil, "job "+j.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// blobs checks the index of small blobs; the bytes are store/blobfile's.
func (v *verifier) blobs() error {
	weight := map[uint32]int64{}
	err := v.each(bBlob, func(p Pair) error {
		v.checked.Records++
		at, err := decodePlace(p.Value)
		if v.bad(bBlob, p.Key, err) {
			return nil
		}
		weight[at.Segment] += int64(at.Length)
		return v.row(bPackItem, key(nil).u32(at.Segment).u64(uint64(at.Offset)), p.Key, "blob "+printable(p.Key))
	})
	if err != nil {
		return err
	}
	for segment, n := range weight {
		if err := v.row(bPack, key(nil).u32(segment), key(nil).u64(uint64(n)), fmt.Sprintf("segment %d", segment)); err != nil {
			return err
		}
	}
	return nil
}

// outbox checks that everything opens, that every delivery stands in the
// indexes, and that what is counted is there.
func (v *verifier) outbox() error {
	for _, b := range []Bucket{bEndpoint, bOwedBody, bOwedAttempt} {
		if err := v.records(b, func(key, uint64, []byte) error { return nil }); err != nil {
			return err
		}
	}
	counts := map[string]uint64{"pending": 0, "dead": 0}
	err := v.records(bOwed, func(k key, _ uint64, plain []byte) error {
		var r row
		var err error
		r.Delivery, r.place, r.last, err = record.DecodeDelivery(plain)
		if v.bad(bOwed, k, err) {
			return nil
		}
		of := "delivery " + r.ID
		code, err := stateCode(r.State)
		if v.bad(bOwed, k, err) {
			return nil
		}
		at := key(nil).u64(r.Position)
		err = errors.Join(v.row(bOwedTo, toKey(code, r.Delivery), at, of), v.row(bOwedOf, ofKey(r.Delivery), at, of))
		if !tells(r.ID, r.Position) {
			err = errors.Join(err, v.row(bOwedID, key(r.ID), at, of))
		}
		switch r.State {
		case store.DeliveryPending:
			counts["pending"]++
			counts[tallyOf("pending", r.Endpoint)]++
			err = errors.Join(err, v.row(bOwedLane, laneKey(r.Endpoint, r.Lane).u64(r.place), item(r.Delivery), of))
		case store.DeliveryDead:
			counts["dead"]++
			counts[tallyOf("dead", r.Endpoint)]++
			err = errors.Join(err, v.row(bOwedDone, doneKey(code, r), nil, of))
		}
		return err
	})
	if err != nil {
		return err
	}
	for name, n := range counts {
		kept, err := v.number(name)
		if err != nil {
			return err
		}
		if kept != n {
			v.tellf("the outbox counts %d %s deliveries, it has %d", kept, name, n)
		}
	}
	return nil
}

// outboxIndexes are those of which outbox has counted the rows.
func (v *verifier) outboxIndexes() []Bucket { return []Bucket{bOwedTo, bOwedOf, bOwedID} }
