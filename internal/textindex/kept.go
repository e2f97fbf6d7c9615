package textindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// keptFields are the header fields that mail programs search for by name. A
// segment holds them beside its lists, some messages in one record, so that a
// subject that many have is looked for without reading as many extracts.
var keptFields = []string{"date", "subject", "from", "to", "cc", "bcc"}

const (
	// pageDocs is how many messages' fields one record holds.
	pageDocs = 128
	// maxKept bounds what a message has there; one with more is left to the scan.
	maxKept = 2 << 10
)

func pageKey(id uint32, page int) string { return fmt.Sprintf("%08x/f%03x", id, page) }

func pages(docs int) int { return (docs + pageDocs - 1) / pageDocs }

// keptField is the place of a field in keptFields, -1 where it is not kept.
func keptField(name string) int {
	return slices.IndexFunc(keptFields, func(k string) bool { return strings.EqualFold(k, name) })
}

// appendKept encodes the kept fields of an extract. Nothing: they are too long.
func appendKept(out []byte, e *mime.Extract) []byte {
	from := len(out)
	out = append(out, 1)
	for _, h := range e.Headers {
		if k := keptField(h.Name); k >= 0 {
			out = append(out, byte(k))
			out = binary.AppendUvarint(out, uint64(len(h.Value)))
			out = append(out, h.Value...)
		}
		if len(out)-from > maxKept {
			return out[:from]
		}
	}
	if e.More {
		return out[:from] // perhaps of the header, too
	}
	return out
}

// encodePage makes a record of the encoded fields of up to pageDocs messages.
func encodePage(kept [][]byte) []byte {
	var plain []byte
	for _, k := range kept {
		plain = binary.AppendUvarint(plain, uint64(len(k)))
		plain = append(plain, k...)
	}
	return s2.Encode(nil, plain)
}

var errPage = errors.Join(errors.New("header fields of the search index"), store.ErrDamaged)

// readPage gives the encoded fields of the messages of a page.
func readPage(tx store.Derived, account string, s segment, page int) ([][]byte, error) {
	b, err := tx.Derived(account, store.DerivedSegment, pageKey(s.id, page))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errPage
	}
	if err != nil {
		return nil, err
	}
	if n, err := s2.DecodedLen(b); err != nil || n > 2*pageDocs*maxKept {
		return nil, errPage
	}
	plain, err := s2.Decode(nil, b)
	if err != nil {
		return nil, errPage
	}
	kept := make([][]byte, 0, pageDocs)
	for n := (&numbers{b: plain}); len(n.b) > 0; {
		size := n.next(uint64(len(n.b)))
		if n.bad || size > len(n.b) {
			return nil, errPage
		}
		kept = append(kept, n.b[:size])
		n.b = n.b[size:]
	}
	if want := min(pageDocs, s.docs-page*pageDocs); len(kept) != want {
		return nil, errPage
	}
	return kept, nil
}

// values calls each with the values of a field among encoded ones; ok is false
// where these were too long to be kept.
func values(kept []byte, field int, each func([]byte)) (ok bool, err error) {
	if len(kept) == 0 {
		return false, nil
	}
	n := &numbers{b: kept[1:]}
	for len(n.b) > 0 {
		k := int(n.b[0])
		n.b = n.b[1:]
		size := n.next(maxKept)
		if n.bad || size > len(n.b) {
			return false, errPage
		}
		if k == field {
			each(n.b[:size])
		}
		n.b = n.b[size:]
	}
	return true, nil
}
