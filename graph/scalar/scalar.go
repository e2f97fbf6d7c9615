package scalar

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// MarshalTime writes RFC 3339 in UTC; the zero time is null.
func MarshalTime(t time.Time) graphql.Marshaler {
	if t.IsZero() {
		return graphql.Null
	}
	return graphql.WriterFunc(func(w io.Writer) {
		var b [48]byte
		quoted := t.UTC().AppendFormat(append(b[:0], '"'), time.RFC3339Nano)
		_, _ = w.Write(append(quoted, '"'))
	})
}

// UnmarshalTime reads RFC 3339.
func UnmarshalTime(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, invalid("a time is a string in RFC 3339")
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, invalid("%q is not a time in RFC 3339, such as 2006-01-02T15:04:05Z", s)
	}
	return t.UTC(), nil
}

// MarshalInt64 writes a number.
func MarshalInt64(n int64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		var b [24]byte
		_, _ = w.Write(strconv.AppendInt(b[:0], n, 10))
	})
}

// UnmarshalInt64 reads a number, or one written as a string, as clients do whose
// language has no such numbers.
func UnmarshalInt64(v any) (int64, error) {
	var s string
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	case json.Number:
		s = v.String()
	case string:
		s = v
	default:
		return 0, invalid("%v is not a whole number", v)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, invalid("%q is not a whole number", s)
	}
	return n, nil
}

// MarshalUint64 writes a number.
func MarshalUint64(n uint64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		var b [24]byte
		_, _ = w.Write(strconv.AppendUint(b[:0], n, 10))
	})
}

// UnmarshalUint64 reads a number that is not negative.
func UnmarshalUint64(v any) (uint64, error) {
	n, err := UnmarshalInt64(v)
	if err == nil && n < 0 {
		err = invalid("%d is negative", n)
	}
	return uint64(n), err
}

// MarshalCursor writes a place in the journal.
func MarshalCursor(c event.Cursor) graphql.Marshaler { return graphql.MarshalString(c.String()) }

// UnmarshalCursor reads a place in the journal.
func UnmarshalCursor(v any) (event.Cursor, error) {
	s, ok := v.(string)
	if !ok {
		return event.Cursor{}, invalid("a cursor is a string")
	}
	return event.ParseCursor(s)
}

// MarshalAddressInput writes an address as an object. The schema uses the type
// for input alone.
func MarshalAddressInput(a mail.Address) graphql.Marshaler {
	return graphql.MarshalAny(map[string]string{"name": a.Name, "email": a.Email})
}

// UnmarshalAddressInput reads an address: a string of RFC 5322 or an object.
func UnmarshalAddressInput(v any) (mail.Address, error) {
	var a mail.Address
	switch v := v.(type) {
	case string:
		parsed, err := netmail.ParseAddress(v)
		if err != nil {
			return a, invalid("%q is not an address, such as ann@example.com or Ann Lee <ann@example.com>", v)
		}
		return mail.Address{Name: parsed.Name, Email: parsed.Address}, nil
	case map[string]any:
		for key, value := range v {
			s, ok := value.(string)
			if !ok && value != nil {
				return a, invalid("%s of an address is a string", key)
			}
			switch key {
			case "name":
				a.Name = s
			case "email":
				a.Email = s
			default:
				return a, invalid("an address has name and email, but no %s", key)
			}
		}
	default:
		return a, invalid("an address is a string, or an object of name and email")
	}
	// The parser takes no name here: one with a line break would write header
	// fields of its own.
	if strings.ContainsAny(a.Name, "\r\n\x00") {
		return a, invalid("the name of an address is one line")
	}
	parsed, err := netmail.ParseAddress("<" + a.Email + ">")
	if err != nil {
		return a, invalid("%q is not a mail address", a.Email)
	}
	a.Email = parsed.Address
	return a, nil
}

// Bytes are bytes given as input.
type Bytes struct {
	Reader io.ReadSeeker
	Size   int64
	// Type is the media type that a multipart request told.
	Type string
}

// MarshalBytes writes base64. The schema uses the type for input alone.
func MarshalBytes(b Bytes) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, `"`)
		enc := base64.NewEncoder(base64.StdEncoding, w)
		_, _ = io.Copy(enc, b.Reader)
		_ = enc.Close()
		_, _ = io.WriteString(w, `"`)
	})
}

// UnmarshalBytes reads base64 (RFC 4648, section 4 or 5, padded or not) or a file
// of a multipart request.
func UnmarshalBytes(v any) (Bytes, error) {
	switch v := v.(type) {
	case string:
		s := strings.NewReplacer("-", "+", "_", "/", "\r", "", "\n", "").Replace(strings.TrimRight(v, "=\r\n "))
		b, err := base64.RawStdEncoding.DecodeString(s)
		if err != nil {
			return Bytes{}, invalid("bytes are not in base64")
		}
		return Bytes{Reader: bytes.NewReader(b), Size: int64(len(b))}, nil
	case graphql.Upload:
		return Bytes{Reader: v.File, Size: v.Size, Type: v.ContentType}, nil
	default:
		return Bytes{}, invalid("bytes are a string in base64 or a file of a multipart request")
	}
}
