package textindex

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// builder gathers the postings of one segment.
type builder struct {
	docs docs
	kept [][]byte
	post []uint32
	list []uint32 // grams of the message at hand
	seen []uint64 // the same as bits
	most int      // postings, about
}

func newBuilder(most int) *builder {
	return &builder{seen: make([]uint64, 1<<gramBits/64), most: most}
}

// full reports whether the segment should take no more messages.
func (b *builder) full() bool { return len(b.docs.ids) >= maxDocs || len(b.post) >= b.most }

// add takes a message with its extract.
func (b *builder) add(id string, e *mime.Extract) {
	ord := uint32(len(b.docs.ids))
	b.docs.ids = append(b.docs.ids, id)
	if e.More {
		b.docs.open = append(b.docs.open, ord)
	}
	b.kept = append(b.kept, appendKept(nil, e))
	b.list = b.list[:0]
	for _, h := range e.Headers {
		b.text(h.Name + ": " + h.Value)
	}
	b.text(e.Fields)
	b.text(e.Body)
	for _, g := range b.list {
		b.seen[g/64] = 0
		b.post = append(b.post, g<<docBits|ord)
	}
}

func (b *builder) text(s string) {
	eachGram(s, func(g uint32) {
		if word, bit := g/64, uint64(1)<<(g%64); b.seen[word]&bit == 0 {
			b.seen[word] |= bit
			b.list = append(b.list, g)
		}
	})
}

// sort puts the postings in order of grams. They were added in order of
// messages, which two stable passes over the bits of the gram leave alone.
func (b *builder) sort() {
	const half = gramBits / 2
	spare := make([]uint32, len(b.post))
	for _, shift := range []int{docBits, docBits + half} {
		var count [1<<half + 1]int
		for _, p := range b.post {
			count[p>>shift&(1<<half-1)+1]++
		}
		for i := 1; i < len(count); i++ {
			count[i] += count[i-1]
		}
		for _, p := range b.post {
			at := &count[p>>shift&(1<<half-1)]
			spare[*at] = p
			*at++
		}
		b.post, spare = spare, b.post
	}
}

// groupBits is how many bits of the hash choose the group, so that a group is
// of about a page: a query reads a few of them whole.
func groupBits(postings int) int {
	return min(max(bits.Len(uint(postings/3000)), 0), maxGroupBits)
}

// groups cuts sorted postings by the upper bits of the hash, encodes each group
// and hands it out in order.
func (b *builder) groups(groupBits int, group func(n int, encoded []byte) error) error {
	from := 0
	var out []byte
	for n := range 1 << groupBits {
		to := from
		for to < len(b.post) && int(b.post[to]>>docBits)>>(gramBits-groupBits) == n {
			to++
		}
		out = appendGroup(out[:0], b.post[from:to], len(b.docs.ids))
		if err := group(n, out); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// appendGroup encodes a group: for each gram the distance from the one before
// it, the length of its list and the list: distances between messages, or where
// that is shorter a bit for each message.
func appendGroup(out []byte, post []uint32, docs int) []byte {
	var list []byte
	last := uint32(0)
	for i := 0; i < len(post); {
		gram := post[i] >> docBits
		j := i
		list = list[:0]
		prev := uint32(0)
		for ; j < len(post) && post[j]>>docBits == gram; j++ {
			ord := post[j] & (maxDocs - 1)
			list = binary.AppendUvarint(list, uint64(ord-prev))
			prev = ord
		}
		out = binary.AppendUvarint(out, uint64(gram-last))
		if size := (docs + 7) / 8; size < len(list) {
			out = binary.AppendUvarint(out, uint64(size)<<1|1)
			at := len(out)
			out = append(out, make([]byte, size)...)
			for _, p := range post[i:j] {
				ord := p & (maxDocs - 1)
				out[at+int(ord/8)] |= 1 << (ord % 8)
			}
		} else {
			out = binary.AppendUvarint(out, uint64(len(list))<<1)
			out = append(out, list...)
		}
		last = gram
		i = j
	}
	return out
}

// set is a set of places in a segment.
type set [maxDocs / 64]uint64

func (s *set) put(ord uint32) { s[ord/64] |= 1 << (ord % 64) }

func (s *set) has(ord uint32) bool { return s[ord/64]&(1<<(ord%64)) != 0 }

// and keeps what is in both, and reports whether anything is left.
func (s *set) and(o *set) bool {
	var any uint64
	for i := range s {
		s[i] &= o[i]
		any |= s[i]
	}
	return any != 0
}

var errGroup = errors.Join(errors.New("a group of the search index"), store.ErrDamaged)

// find reads the list of a gram out of a group; it is empty where the group
// has none.
func find(group []byte, gram uint32, out *set) error {
	*out = set{}
	at := uint64(0)
	for len(group) > 0 {
		step, n := binary.Uvarint(group)
		if n <= 0 {
			return errGroup
		}
		group = group[n:]
		head, n := binary.Uvarint(group)
		if n <= 0 || head>>1 > uint64(len(group)-n) {
			return errGroup
		}
		list := group[n : n+int(head>>1)]
		group = group[n+int(head>>1):]
		if at += step; at < uint64(gram) {
			continue
		}
		if at > uint64(gram) {
			return nil
		}
		if head&1 == 1 {
			return out.bitmap(list)
		}
		return out.distances(list)
	}
	return nil
}

func (s *set) bitmap(list []byte) error {
	if len(list) > maxDocs/8 {
		return errGroup
	}
	for i, b := range list {
		s[i/8] |= uint64(b) << (i % 8 * 8)
	}
	return nil
}

func (s *set) distances(list []byte) error {
	ord := uint64(0)
	for len(list) > 0 {
		d, n := binary.Uvarint(list)
		if n <= 0 {
			return errGroup
		}
		list = list[n:]
		if ord += d; ord >= maxDocs {
			return errGroup
		}
		s[ord/64] |= 1 << (ord % 64)
	}
	return nil
}
