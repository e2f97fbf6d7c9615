package table

import (
	"errors"
	"fmt"

	"github.com/postern-mail/postern/store"
)

// keepOpenBlobs marks the bytes of submissions that have not ended as those
// that nobody else has. Format 1 knew no such mark, because it dropped nothing
// that could be fetched again.
func (tx *Tx) keepOpenBlobs(place []byte) ([]byte, bool, error) {
	from := []byte(nil)
	if place != nil {
		from = next(place)
	}
	const limit = 200
	rows, err := tx.scan(bSubmissionDue, from, nil, false, limit)
	if err != nil {
		return nil, false, err
	}
	for _, r := range rows {
		place = r.Key
		id := string(r.Key[timeSize:])
		s, err := tx.Submission(id)
		if errors.Is(err, store.ErrNotFound) {
			continue // its account is being deleted
		}
		if err != nil {
			return nil, false, fmt.Errorf("submission %s: %w", id, err)
		}
		l, k, err := tx.BlobKey(s.Account)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if s.Blob == "" {
			continue
		}
		if err := tx.KeepBlob(NameOf(l, k, s.Blob)); err != nil {
			return nil, false, err
		}
	}
	return place, len(rows) == limit, nil
}
