package graph

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/store"
)

// A cursor of a list names a place in it: a version, a checksum of the list's
// name, the place, and a checksum of it all, in base64. So a cursor of another
// account's list, or one that was cut, is refused and not answered with something
// else. Cursors of events are event.Cursor.
const cursorVersion = 1

func encodeCursor(list string, place []byte) string {
	b := make([]byte, 0, 9+len(place))
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(list)))
	b = append(b, place...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads a cursor of the list; nil for none.
func decodeCursor(list string, after *string) ([]byte, error) {
	if after == nil || *after == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(*after)
	n := len(b) - 4
	if err != nil || n < 5 || b[0] != cursorVersion || crc32.ChecksumIEEE(b[:n]) != binary.BigEndian.Uint32(b[n:]) {
		return nil, invalid("after is not a cursor")
	}
	if binary.BigEndian.Uint32(b[1:]) != crc32.ChecksumIEEE([]byte(list)) {
		return nil, invalid("after is a cursor of another list")
	}
	return b[5:n], nil
}

func dateCursor(list string, k store.DateKey) string {
	place := binary.BigEndian.AppendUint64(nil, uint64(k.At.Unix()))
	place = binary.BigEndian.AppendUint32(place, uint32(k.At.Nanosecond()))
	return encodeCursor(list, append(place, k.ID...))
}

func parseDateCursor(list string, after *string) (store.DateKey, error) {
	b, err := decodeCursor(list, after)
	if err != nil || b == nil {
		return store.DateKey{}, err
	}
	if len(b) < 12 {
		return store.DateKey{}, invalid("after is not a cursor")
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
	return store.DateKey{At: at, ID: string(b[12:])}, nil
}

// pageInfo describes a page of which first and last are the cursors of its ends,
// empty where it has none.
func pageInfo(after *string, more bool, first, last string) *generated.PageInfo {
	return &generated.PageInfo{
		HasNextPage:     more,
		HasPreviousPage: after != nil && *after != "",
		StartCursor:     optional(first),
		EndCursor:       optional(last),
	}
}

// datedPage is a page of what is listed by date.
type datedPage[T any] struct {
	nodes   []T
	cursors []string
	info    *generated.PageInfo
}

// dated reads a page of what read lists by date, the newest first.
func dated[T any](ctx context.Context, s *Server, list string, first *int, after *string,
	read func(tx store.Tx, place store.DateKey, n int) ([]T, error), key func(T) store.DateKey) (*datedPage[T], error) {
	n, err := pageSize(first, 50)
	if err != nil {
		return nil, err
	}
	place, err := parseDateCursor(list, after)
	if err != nil {
		return nil, err
	}
	p := &datedPage[T]{}
	if err := s.store.View(ctx, func(tx store.Tx) (err error) {
		p.nodes, err = read(tx, place, n+1)
		return err
	}); err != nil {
		return nil, err
	}
	more := len(p.nodes) > n
	if more {
		p.nodes = p.nodes[:n]
	}
	p.cursors = make([]string, len(p.nodes))
	for i, node := range p.nodes {
		p.cursors[i] = dateCursor(list, key(node))
	}
	var start, end string
	if len(p.cursors) > 0 {
		start, end = p.cursors[0], p.cursors[len(p.cursors)-1]
	}
	p.info = pageInfo(after, more, start, end)
	return p, nil
}

// optional gives null for the empty string.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// optionalNumber gives null for 0.
func optionalNumber[T int | int64 | float64](n T) *T {
	if n == 0 {
		return nil
	}
	return &n
}

// value gives the zero value for null.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// wants reports whether the question asks for a field of what is being resolved.
func wants(ctx context.Context, name string) bool {
	for _, f := range graphql.CollectFieldsCtx(ctx, nil) {
		if f.Name == name {
			return true
		}
	}
	return false
}
