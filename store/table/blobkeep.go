package table

import (
	"math"

	"github.com/postern-mail/postern/internal/seal"
)

// Blobs that nobody else has (a message on its way out, one that is being
// appended) are kept until they are deleted. All others are a cache.

// KeepBlob says that a blob must stay until it is deleted.
func (tx *Tx) KeepBlob(n BlobName) error {
	if _, err := tx.dataKey(n.Life); err != nil {
		return err
	}
	return tx.put(bBlobKept, n.key(), []byte{1})
}

// BlobKept reports whether it must.
func (tx *Tx) BlobKept(n BlobName) (bool, error) {
	v, err := tx.get(bBlobKept, n.key())
	return v != nil, err
}

// ReleaseBlob says that it need not stay any more.
func (tx *Tx) ReleaseBlob(n BlobName) error { return tx.del(bBlobKept, n.key()) }

// Key is the blob's key in the index.
func (n BlobName) Key() []byte { return n.key() }

func readBlobName(k []byte) BlobName {
	n := BlobName{Life: number(k)}
	copy(n.MAC[:], k[8:])
	return n
}

// KeptBlobs lists blobs that must stay, after the key of one of them, of
// accounts that are there.
func (tx *Tx) KeptBlobs(after []byte, limit int) ([]BlobName, error) {
	var out []BlobName
	for len(out) < limit {
		var from []byte
		if after != nil {
			from = next(after)
		}
		pairs, err := tx.scan(bBlobKept, from, nil, false, limit)
		if err != nil || len(pairs) == 0 {
			return out, err
		}
		for _, p := range pairs {
			after = p.Key
			n := readBlobName(p.Key)
			alive, err := tx.Living(n.Life)
			if err != nil {
				return nil, err
			}
			if alive && len(out) < limit {
				out = append(out, n)
			}
		}
		if len(pairs) < limit {
			break
		}
	}
	return out, nil
}

// KeptBlobsOf lists those of one life.
func (tx *Tx) KeptBlobsOf(life uint64) ([]BlobName, error) {
	prefix := key(nil).u64(life)
	pairs, err := tx.scan(bBlobKept, prefix, end(prefix), false, math.MaxInt)
	if err != nil {
		return nil, err
	}
	var out []BlobName
	for _, p := range pairs {
		out = append(out, readBlobName(p.Key))
	}
	return out, nil
}

// DropCachedPlaces forgets where small blobs lie that need not stay, at most
// limit of them, looking on from after a place that the call before gave: what
// they name was not in the backup that the store was restored from.
func (tx *Tx) DropCachedPlaces(after []byte, limit int) (place []byte, more bool, err error) {
	var from []byte
	if after != nil {
		from = next(after)
	}
	pairs, err := tx.scan(bBlob, from, nil, false, limit)
	if err != nil {
		return nil, false, err
	}
	for _, p := range pairs {
		place = append([]byte(nil), p.Key...)
		n := readBlobName(p.Key)
		kept, err := tx.BlobKept(n)
		if err != nil {
			return nil, false, err
		}
		if kept {
			continue
		}
		if err := tx.DeleteBlobPlace(n); err != nil {
			return nil, false, err
		}
	}
	return place, len(pairs) == limit, nil
}

// LifeKey gives the data key of a life.
func (tx *Tx) LifeKey(life uint64) (*seal.DataKey, error) { return tx.dataKey(life) }
