package table

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"
)

// key builds keys whose order by bytes is the order of their parts.
type key []byte

// keySize is room for most keys, so that they are made in one piece.
const keySize = 96

// grow gives an empty key room.
func (k key) grow() key {
	if k == nil {
		return make(key, 0, keySize)
	}
	return k
}

// maxID bounds what is taken as an id, far below any engine's longest key.
const maxID = 512

// checkID refuses an id that could not stand in a key.
func checkID(what, id string) error {
	if id == "" || len(id) > maxID || !utf8.ValidString(id) {
		return fmt.Errorf("%s has no usable id (%d bytes)", what, len(id))
	}
	return nil
}

// str appends a string that other parts follow: 0 becomes 0 255, the end is
// 0 0, so that no string is a prefix of another and order is kept.
func (k key) str(s string) key {
	k = k.grow()
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			k = append(k, 0, 0xff)
			continue
		}
		k = append(k, s[i])
	}
	return append(k, 0, 0)
}

// readStr takes a string off the front that str wrote.
func readStr(b []byte) (s string, rest []byte) {
	out := make([]byte, 0, len(b))
	for i := 0; i+1 < len(b); i++ {
		if b[i] == 0 {
			if b[i+1] == 0 {
				return string(out), b[i+2:]
			}
			i++
			out = append(out, 0)
			continue
		}
		out = append(out, b[i])
	}
	return string(out), nil
}

// last appends a string that ends the key.
func (k key) last(s string) key { return append(k, s...) }

func (k key) u32(n uint32) key { return binary.BigEndian.AppendUint32(k, n) }
func (k key) u64(n uint64) key { return binary.BigEndian.AppendUint64(k.grow(), n) }

// timeSize is the length of a time in a key.
const timeSize = 12

// at appends a time that sorts oldest first, whatever year mail claims.
func (k key) at(t time.Time) key {
	k = binary.BigEndian.AppendUint64(k.grow(), uint64(t.Unix())^1<<63)
	return binary.BigEndian.AppendUint32(k, uint32(t.Nanosecond()))
}

// back appends a time that sorts newest first.
func (k key) back(t time.Time) key {
	k = binary.BigEndian.AppendUint64(k, ^(uint64(t.Unix()) ^ 1<<63))
	return binary.BigEndian.AppendUint32(k, ^uint32(t.Nanosecond()))
}

func readAt(b []byte) time.Time {
	s := binary.BigEndian.Uint64(b) ^ 1<<63
	return time.Unix(int64(s), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
}

func readBack(b []byte) time.Time {
	s := ^binary.BigEndian.Uint64(b) ^ 1<<63
	return time.Unix(int64(s), int64(^binary.BigEndian.Uint32(b[8:]))).UTC()
}

// end is the first key after all that begin with the prefix.
func end(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			e := make([]byte, i+1)
			copy(e, prefix)
			e[i]++
			return e
		}
	}
	return nil
}

// next is the first key after k.
func next(k []byte) []byte {
	n := make([]byte, len(k)+1)
	copy(n, k)
	return n
}

func number(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
