package record

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/postern-mail/postern/store"
)

// UIDs decodes many rows of a UID table, as EncodeUID encoded them. A mailbox
// that is opened reads all of its rows at once, so this does without a message
// of protobuf and without an allocation for each: the ids of a batch are parts
// of one string, the keyword lists parts of one array, and keywords, of which
// there are few, are made once.
type UIDs struct {
	rows []store.UID
	// ids is the text of all ids, ends where each ends.
	ids  []byte
	ends []int
	// words are the keywords of all rows, upTo where each row's end.
	words []string
	upTo  []int
	known map[string]string
}

// NewUIDs makes room for n rows.
func NewUIDs(n int) *UIDs {
	const idSize = 33 // of event.HashID
	return &UIDs{
		rows: make([]store.UID, 0, n), ids: make([]byte, 0, n*idSize), ends: make([]int, 0, n),
		words: make([]string, 0, n), upTo: make([]int, 0, n), known: map[string]string{},
	}
}

// Fields of recordpb.Uid.
const (
	uidMessage   protowire.Number = 1
	uidKeywords  protowire.Number = 2
	uidDeleted   protowire.Number = 3
	uidModSeq    protowire.Number = 4
	uidSize      protowire.Number = 5
	uidDate      protowire.Number = 6
	uidDateNanos protowire.Number = 7
)

// Add decodes a row. b is not kept.
func (u *UIDs) Add(uid uint32, b []byte) error {
	row := store.UID{UID: uid}
	var date int64
	var nanos int32
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("decode record: %w", protowire.ParseError(n))
		}
		b = b[n:]
		switch {
		case kind == protowire.BytesType && (field == uidMessage || field == uidKeywords):
			text, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return fmt.Errorf("decode record: %w", protowire.ParseError(n))
			}
			b = b[n:]
			if field == uidMessage {
				u.ids = append(u.ids, text...)
			} else {
				u.words = append(u.words, u.word(text))
			}
		case kind == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return fmt.Errorf("decode record: %w", protowire.ParseError(n))
			}
			b = b[n:]
			switch field {
			case uidDeleted:
				row.Deleted = v != 0
			case uidModSeq:
				row.ModSeq = v
			case uidSize:
				row.Size = int64(v)
			case uidDate:
				date = protowire.DecodeZigZag(v)
			case uidDateNanos:
				nanos = int32(v)
			}
		default: // of a later version
			n := protowire.ConsumeFieldValue(field, kind, b)
			if n < 0 {
				return fmt.Errorf("decode record: %w", protowire.ParseError(n))
			}
			b = b[n:]
		}
	}
	row.Date = getSecond(date, nanos)
	u.rows = append(u.rows, row)
	u.ends = append(u.ends, len(u.ids))
	u.upTo = append(u.upTo, len(u.words))
	return nil
}

func (u *UIDs) word(b []byte) string {
	if w, ok := u.known[string(b)]; ok {
		return w
	}
	w := string(b)
	u.known[w] = w
	return w
}

// Rows gives the rows, which belong to the caller.
func (u *UIDs) Rows() []store.UID {
	ids := string(u.ids)
	at, word := 0, 0
	for i := range u.rows {
		u.rows[i].Message = ids[at:u.ends[i]]
		at = u.ends[i]
		if end := u.upTo[i]; end > word {
			u.rows[i].Keywords = u.words[word:end:end]
			word = end
		}
	}
	return u.rows
}
