package blobfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// fileBlob reads a blob's file. It keeps the chunk it read last.
type fileBlob struct {
	blobs   *Blobs
	file    *os.File
	key     *seal.DataKey
	life    uint64
	id      [idSize]byte
	size    int64
	offsets []int64

	mu     sync.Mutex
	cached int
	plain  []byte
	at     int64
}

// Size is the length of the blob.
func (f *fileBlob) Size() int64 { return f.size }

// chunk opens a chunk. The lock is held.
func (f *fileBlob) chunk(number int) ([]byte, error) {
	if f.cached == number {
		return f.plain, nil
	}
	f.cached = -1
	length := f.offsets[number+1] - f.offsets[number]
	if length > chunkSize+seal.Overhead+1 {
		return nil, fmt.Errorf("chunk %d: %w", number, store.ErrDamaged)
	}
	room := f.blobs.room()
	defer f.blobs.rooms.Put(room)
	room.sealed = slices.Grow(room.sealed[:0], int(length))[:length]
	if _, err := f.file.ReadAt(room.sealed, f.offsets[number]); err != nil {
		return nil, fmt.Errorf("chunk %d: %w", number, err)
	}
	last := number == len(f.offsets)-2
	var err error
	if room.opened, err = f.key.Open(room.opened[:0], room.sealed, chunkAAD(f.life, f.id[:], number, last)); err != nil {
		return nil, fmt.Errorf("chunk %d: %w", number, store.ErrDamaged)
	}
	want := int64(chunkSize)
	if last {
		want = f.size - int64(number)*chunkSize
	}
	plain, err := f.blobs.unsqueeze(slices.Grow(f.plain[:0], int(want)+spare), room.opened)
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", number, err)
	}
	if int64(len(plain)) != want {
		return nil, fmt.Errorf("chunk %d: %w", number, store.ErrDamaged)
	}
	f.plain, f.cached = plain, number
	return plain, nil
}

// ReadAt reads a range.
func (f *fileBlob) ReadAt(p []byte, off int64) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readAt(p, off)
}

func (f *fileBlob) readAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read blob: negative offset")
	}
	for n < len(p) {
		if off >= f.size {
			return n, io.EOF
		}
		plain, err := f.chunk(int(off / chunkSize))
		if err != nil {
			return n, fmt.Errorf("read blob: %w", err)
		}
		c := copy(p[n:], plain[off%chunkSize:])
		n += c
		off += int64(c)
	}
	return n, nil
}

// Read reads on.
func (f *fileBlob) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if f.at >= f.size {
		return 0, io.EOF
	}
	n, err := f.readAt(p[:min(int64(len(p)), f.size-f.at)], f.at)
	f.at += int64(n)
	return n, err
}

// Seek sets where Read reads on.
func (f *fileBlob) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	default:
		return 0, fmt.Errorf("seek in blob: whence %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek in blob: before its beginning")
	}
	f.at = offset
	return offset, nil
}

// Close closes the file.
func (f *fileBlob) Close() error { return f.file.Close() }
