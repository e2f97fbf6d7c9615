package table

import (
	"encoding/binary"
	"fmt"

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
		written, _, _, err := record.DecodeEvent(e.Position, p.Value)
		if err != nil {
			return err
		}
		of := fmt.Sprintf("journal entry %d", e.Position)
		if e.Position > newest || written.Epoch > epoch {
			v.tellf("%s is ahead of the journal, which ends at %d in epoch %d", of, newest, epoch)
		}
		if found, err := v.EventByID(e.ID); err != nil || found.Position != e.Position {
			v.tellf("%s is not found by its id", of)
		}
		return v.row(bJournalBy, key(nil).str(e.Account).u64(e.Sequence), p.Key, of)
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
		for _, n := range v.submissionNames(l, s) {
			// A name belongs to whoever took it last.
			if got, err := v.get(n.in, n.key); err != nil {
				return err
			} else if got == nil {
				v.tellf("%s is not found in %s", of, n.in)
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
