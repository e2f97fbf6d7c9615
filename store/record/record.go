// Package record turns the store's nouns into protobuf records and back. It
// knows neither keys nor sealing: the id of a record, and what else its key
// tells, is given by the caller.
//
// What is kept true. Decoding gives what was encoded, with times in UTC and
// empty lists as nil. Where to start: any pair of functions; they are alike.
package record

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// encode serialises a record. It cannot fail but for strings that are not
// UTF-8, which are made so by text before they get here.
func encode(m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return b, nil
}

func decode(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	return nil
}

func putTime(t time.Time) *recordpb.Time {
	if t.IsZero() {
		return nil
	}
	return &recordpb.Time{Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
}

func getTime(t *recordpb.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return time.Unix(t.Seconds, int64(t.Nanos)).UTC()
}

// putNano encodes a time of the gateway's own clock. 0 is the zero time, so
// what is at or after 1970 moves up by one.
func putNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if n := t.UnixNano(); n < 0 {
		return n
	}
	return t.UnixNano() + 1
}

func getNano(n int64) time.Time {
	switch {
	case n == 0:
		return time.Time{}
	case n > 0:
		n--
	}
	return time.Unix(0, n).UTC()
}

// putSecond encodes a time's seconds. 0 is the zero time, so what is at or
// after 1970 moves up by one.
func putSecond(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if n := t.Unix(); n < 0 {
		return n
	}
	return t.Unix() + 1
}

func getSecond(n int64, nanos int32) time.Time {
	switch {
	case n == 0:
		return time.Time{}
	case n > 0:
		n--
	}
	return time.Unix(n, int64(nanos)).UTC()
}

func putAddresses(list []mail.Address) []*recordpb.Address {
	if len(list) == 0 {
		return nil
	}
	out := make([]*recordpb.Address, len(list))
	for i, a := range list {
		out[i] = &recordpb.Address{Name: text(a.Name), Email: text(a.Email)}
	}
	return out
}

func getAddresses(list []*recordpb.Address) []mail.Address {
	if len(list) == 0 {
		return nil
	}
	out := make([]mail.Address, len(list))
	for i, a := range list {
		out[i] = mail.Address{Name: a.Name, Email: a.Email}
	}
	return out
}
