package mime

import (
	"io"
)

// Scanned is what one look through a message's raw bytes gives.
type Scanned struct {
	Rows *Rows
	// Header is the raw header block, at most MaxStoredHeader bytes of it.
	Header []byte
	Text   *Extract
}

// MaxStoredHeader bounds how much of a header block Scanned.Header holds.
const MaxStoredHeader = 64 << 10

// Scan looks through a message of size bytes. It fails only where r does.
func Scan(r io.ReaderAt, size int64) (*Scanned, error) {
	return &Scanned{Rows: &Rows{Size: size}, Text: &Extract{}}, nil
}
