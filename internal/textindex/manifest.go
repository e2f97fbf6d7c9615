package textindex

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/store"
)

// manifest says which segments of an account count. It is read in the same
// transaction as what it names, so that a search sees one state.
type manifest struct {
	next    uint32 // number of the next segment, 0 before the first; none is used twice
	live    []segment
	garbage []segment // unfinished, or replaced: to be removed
}

// segment is one of the manifest's entries.
type segment struct {
	id       uint32
	bits     int // of the hash that choose the group
	docs     int
	postings int
}

const (
	manifestKey     = "manifest"
	manifestVersion = 1
	// maxGroupBits: a segment has at most 1,024 groups.
	maxGroupBits = 10
)

func docsKey(id uint32) string             { return fmt.Sprintf("%08x/docs", id) }
func groupKey(id uint32, group int) string { return fmt.Sprintf("%08x/%04x", id, group) }

func (m *manifest) encode() []byte {
	out := []byte{manifestVersion}
	out = binary.AppendUvarint(out, uint64(m.next))
	for _, list := range [][]segment{m.live, m.garbage} {
		out = binary.AppendUvarint(out, uint64(len(list)))
		for _, s := range list {
			out = binary.AppendUvarint(out, uint64(s.id))
			out = binary.AppendUvarint(out, uint64(s.bits))
			out = binary.AppendUvarint(out, uint64(s.docs))
			out = binary.AppendUvarint(out, uint64(s.postings))
		}
	}
	return out
}

var errManifest = errors.Join(errors.New("the manifest of the search index"), store.ErrDamaged)

// numbers reads numbers off the front of bytes, as long as they are there.
type numbers struct {
	b   []byte
	bad bool
}

func (n *numbers) next(limit uint64) int {
	v, size := binary.Uvarint(n.b)
	if size <= 0 || v > limit {
		n.b, n.bad = nil, true
		return 0
	}
	n.b = n.b[size:]
	return int(v)
}

func decodeManifest(b []byte) (*manifest, error) {
	if len(b) == 0 || b[0] != manifestVersion {
		return nil, errManifest
	}
	n := &numbers{b: b[1:]}
	m := &manifest{next: uint32(n.next(1<<32 - 1))}
	for _, list := range []*[]segment{&m.live, &m.garbage} {
		for range n.next(1 << 20) {
			if n.bad {
				break
			}
			*list = append(*list, segment{id: uint32(n.next(1<<32 - 1)), bits: n.next(maxGroupBits), docs: n.next(maxDocs), postings: n.next(1 << 33)})
		}
	}
	if n.bad {
		return nil, errManifest
	}
	return m, nil
}

// readManifest gives an empty one where there is none yet.
func readManifest(tx store.Derived, account string) (*manifest, error) {
	b, err := tx.Derived(account, store.DerivedSegment, manifestKey)
	if errors.Is(err, store.ErrNotFound) {
		return &manifest{}, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeManifest(b)
}

func (m *manifest) put(tx store.Derived, account string) error {
	return tx.PutDerived(account, store.DerivedSegment, manifestKey, m.encode())
}

// docs is a segment's list of messages. Those at the places in open have more
// text than their extract: they are candidates of every search.
type docs struct {
	ids  []string
	open []uint32
}

func (d *docs) encode() []byte {
	out := binary.AppendUvarint(nil, uint64(len(d.ids)))
	for _, id := range d.ids {
		out = binary.AppendUvarint(out, uint64(len(id)))
		out = append(out, id...)
	}
	out = binary.AppendUvarint(out, uint64(len(d.open)))
	for _, ord := range d.open {
		out = binary.AppendUvarint(out, uint64(ord))
	}
	return out
}

func decodeDocs(b []byte) (*docs, error) {
	n := &numbers{b: b}
	all := string(b) // the ids share it
	d := &docs{}
	for range n.next(maxDocs) {
		size := n.next(1 << 10)
		if n.bad || size > len(n.b) {
			return nil, errManifest
		}
		at := len(all) - len(n.b)
		d.ids = append(d.ids, all[at:at+size])
		n.b = n.b[size:]
	}
	for range n.next(maxDocs) {
		d.open = append(d.open, uint32(n.next(maxDocs-1)))
	}
	if n.bad {
		return nil, errManifest
	}
	return d, nil
}

func readDocs(tx store.Derived, account string, s segment) (*docs, error) {
	b, err := tx.Derived(account, store.DerivedSegment, docsKey(s.id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errManifest // the manifest names it
	}
	if err != nil {
		return nil, err
	}
	return decodeDocs(b)
}
