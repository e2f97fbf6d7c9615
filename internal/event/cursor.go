package event

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Cursor is a store-wide place in commit order, valid under any filter. What
// comes after it is what the reader has not seen. The epoch grows when the
// store is restored from a backup, so that a cursor of an earlier life is
// refused and never answered with other events.
type Cursor struct {
	Epoch    uint32
	Position uint64
}

const cursorVersion = 1

// String gives the opaque form that clients keep.
func (c Cursor) String() string {
	b := make([]byte, 0, 17)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint32(b, c.Epoch)
	b = binary.BigEndian.AppendUint64(b, c.Position)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String gave. Anything else is mail.KindInvalid.
func ParseCursor(s string) (Cursor, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 17 || b[0] != cursorVersion ||
		crc32.ChecksumIEEE(b[:13]) != binary.BigEndian.Uint32(b[13:]) {
		return Cursor{}, &mail.Error{Kind: mail.KindInvalid, Op: "read cursor", Message: "this is not a cursor of an event"}
	}
	return Cursor{Epoch: binary.BigEndian.Uint32(b[1:]), Position: binary.BigEndian.Uint64(b[5:])}, nil
}
