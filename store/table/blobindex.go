package table

import (
	"encoding/binary"
	"fmt"

	"github.com/postern-mail/postern/internal/seal"
)

// Small blobs lie in segments, files that many accounts' blobs are appended
// to. This is the index of them: where each lies, and how much of a segment
// is still needed.

// Place is where a small blob lies.
type Place struct {
	Segment uint32
	Offset  int64
	// Length is that of the sealed bytes, Size that of the blob.
	Length, Size uint32
}

const placeSize = 20

func (p Place) encode() []byte {
	return key(nil).u32(p.Segment).u64(uint64(p.Offset)).u32(p.Length).u32(p.Size)
}

func decodePlace(b []byte) (Place, error) {
	if len(b) != placeSize {
		return Place{}, fmt.Errorf("place of a blob: %w", errIncomplete)
	}
	return Place{
		Segment: binary.BigEndian.Uint32(b), Offset: int64(binary.BigEndian.Uint64(b[4:])),
		Length: binary.BigEndian.Uint32(b[12:]), Size: binary.BigEndian.Uint32(b[16:]),
	}, nil
}

// BlobName identifies a blob: whose it is, and what digest it has, as a MAC.
type BlobName struct {
	Life uint64
	MAC  [20]byte
}

// NameOf gives the name of a blob of a life, whose data key is k.
func NameOf(life uint64, k *seal.DataKey, digest string) BlobName {
	return BlobName{Life: life, MAC: k.MAC("blob", digest)}
}

func (n BlobName) key() key { return append(key(nil).u64(n.Life), n.MAC[:]...) }

// BlobKey gives an account's life and the key that seals its blobs,
// ErrNotFound where there is no such account.
func (tx *Tx) BlobKey(account string) (uint64, *seal.DataKey, error) {
	l, err := tx.needLife(account)
	if err != nil {
		return 0, nil, err
	}
	// The life is the account's present one, so its key is what it ever was.
	if k := tx.t.keyOf(l); k != nil {
		return l, k, nil
	}
	k, err := tx.dataKey(l)
	if err == nil {
		tx.t.keepKey(l, k)
	}
	return l, k, err
}

// keyOf and keepKey remember the keys of lives for those who know that a life
// goes on: each blob that is opened asks for one.
func (t *Tables) keyOf(l uint64) *seal.DataKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.living[l]
}

func (t *Tables) keepKey(l uint64, k *seal.DataKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.living == nil || len(t.living) >= maxLiving {
		t.living = map[uint64]*seal.DataKey{}
	}
	t.living[l] = k
}

// maxLiving bounds what keepKey remembers.
const maxLiving = 1000

// BlobPlace finds a small blob.
func (tx *Tx) BlobPlace(n BlobName) (Place, error) {
	v, err := tx.must(bBlob, n.key())
	if err != nil {
		return Place{}, err
	}
	return decodePlace(v)
}

// PutBlobPlace records where a small blob lies. A blob that is somewhere
// already stays there: the new place counts as never used.
func (tx *Tx) PutBlobPlace(n BlobName, p Place) error {
	if _, err := tx.dataKey(n.Life); err != nil {
		return err
	}
	if v, err := tx.get(bBlob, n.key()); err != nil || v != nil {
		return err
	}
	return tx.putPlace(n, p)
}

func (tx *Tx) putPlace(n BlobName, p Place) error {
	if err := tx.put(bBlob, n.key(), p.encode()); err != nil {
		return err
	}
	if err := tx.put(bPackItem, key(nil).u32(p.Segment).u64(uint64(p.Offset)), n.key()); err != nil {
		return err
	}
	return tx.weigh(p.Segment, int64(p.Length))
}

// MoveBlobPlace records that a small blob was copied to another place, if it
// still lies where the copy was made from.
func (tx *Tx) MoveBlobPlace(n BlobName, from, to Place) error {
	at, err := tx.BlobPlace(n)
	if gone, err := missing(err); gone || err != nil {
		return err
	}
	if at != from {
		return nil
	}
	if err := tx.DeleteBlobPlace(n); err != nil {
		return err
	}
	return tx.putPlace(n, to)
}

// DeleteBlobPlace forgets a small blob.
func (tx *Tx) DeleteBlobPlace(n BlobName) error {
	k := n.key()
	v, err := tx.get(bBlob, k)
	if err != nil || v == nil {
		return err
	}
	if err := tx.dropBlob(Pair{k, v}); err != nil {
		return err
	}
	return tx.del(bBlob, k)
}

// dropBlob forgets what follows from a row of bBlob.
func (tx *Tx) dropBlob(row Pair) error {
	p, err := decodePlace(row.Value)
	if err != nil {
		return err
	}
	if err := tx.del(bPackItem, key(nil).u32(p.Segment).u64(uint64(p.Offset))); err != nil {
		return err
	}
	return tx.weigh(p.Segment, -int64(p.Length))
}

func (tx *Tx) weigh(segment uint32, diff int64) error {
	k := key(nil).u32(segment)
	v, err := tx.get(bPack, k)
	if err != nil {
		return err
	}
	if n := int64(number(v)) + diff; n > 0 {
		return tx.put(bPack, k, key(nil).u64(uint64(n)))
	}
	return tx.del(bPack, k)
}

// SegmentWeight is how many bytes of a segment are needed.
func (tx *Tx) SegmentWeight(segment uint32) (int64, error) {
	v, err := tx.get(bPack, key(nil).u32(segment))
	return int64(number(v)), err
}

// SegmentItem is a small blob with its place.
type SegmentItem struct {
	Name  BlobName
	Place Place
}

// SegmentItems lists what is needed of a segment, from an offset.
func (tx *Tx) SegmentItems(segment uint32, offset int64, limit int) ([]SegmentItem, error) {
	from := key(nil).u32(segment).u64(uint64(offset))
	pairs, err := tx.scan(bPackItem, from, end(key(nil).u32(segment)), false, limit)
	if err != nil {
		return nil, err
	}
	var out []SegmentItem
	for _, p := range pairs {
		v, err := tx.must(bBlob, p.Value)
		if err != nil {
			return nil, fmt.Errorf("item of segment %d: %w", segment, errIncomplete)
		}
		place, err := decodePlace(v)
		if err != nil {
			return nil, err
		}
		n := BlobName{Life: number(p.Value)}
		copy(n.MAC[:], p.Value[8:])
		out = append(out, SegmentItem{n, place})
	}
	return out, nil
}

// BlobLives lists the lives whose blobs are to go when an account's blobs do:
// the present one, and those that have ended.
func (tx *Tx) BlobLives(account string) ([]uint64, error) {
	lives, err := tx.EndedBlobLives(account)
	if err != nil {
		return nil, err
	}
	l, err := tx.life(account)
	if err != nil {
		return nil, err
	}
	if l != 0 {
		lives = append(lives, l)
	}
	return lives, nil
}

// EndedBlobLives lists those that have ended alone.
func (tx *Tx) EndedBlobLives(account string) ([]uint64, error) { return tx.ended(bDeadBlobs, account) }

// DropBlobs forgets at most limit of a life's small blobs.
func (tx *Tx) DropBlobs(l uint64, limit int) (more bool, err error) {
	pairs, err := tx.prefix(bBlob, key(nil).u64(l), limit)
	if err != nil {
		return false, err
	}
	for _, p := range pairs {
		if err := tx.dropBlob(p); err != nil {
			return false, err
		}
		if err := tx.del(bBlob, p.Key); err != nil {
			return false, err
		}
	}
	return len(pairs) == limit, nil
}

// BlobsDropped says that no file of an ended life is left.
func (tx *Tx) BlobsDropped(account string, l uint64) error {
	return tx.del(bDeadBlobs, key(nil).str(account).u64(l))
}

// Living reports whether a life has not ended.
func (tx *Tx) Living(l uint64) (bool, error) {
	v, err := tx.get(bKey, key(nil).u64(l))
	return v != nil, err
}
