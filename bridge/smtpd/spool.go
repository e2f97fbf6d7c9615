package smtpd

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync/atomic"
)

const (
	// spoolMemory is how much of a message is held in memory; a larger one goes
	// to a file.
	spoolMemory = 64 << 10
	// spoolTotal bounds what all messages that come in take on the disk.
	spoolTotal = 2 << 30
)

var (
	errTooLarge  = errors.New("the message is too large")
	errSpoolFull = errors.New("too many messages come in at once")
)

// spool keeps a message while it comes in. What does not fit into memory is on
// disk, encrypted by a key that is nowhere but here (AES-256 in counter mode), in
// a file that has no name any more where the system allows that: after a crash
// nobody can read it.
type spool struct {
	dir   string
	limit int64
	all   *atomic.Int64 // what all spools take on the disk
	mem   []byte
	file  *os.File
	block cipher.Block
	out   cipher.Stream
	size  int64
	took  int64 // of all
	sum   hash.Hash
}

func newSpool(dir string, limit int64, all *atomic.Int64) *spool {
	return &spool{dir: dir, limit: limit, all: all, sum: sha256.New()}
}

// Write adds to the message.
func (s *spool) Write(b []byte) (int, error) {
	if s.size+int64(len(b)) > s.limit {
		return 0, errTooLarge
	}
	s.sum.Write(b)
	if s.file == nil {
		if len(s.mem)+len(b) <= spoolMemory {
			s.mem = append(s.mem, b...)
			s.size += int64(len(b))
			return len(b), nil
		}
		if err := s.open(); err != nil {
			return 0, err
		}
		mem := s.mem
		s.mem, s.size = nil, 0
		if err := s.append(mem); err != nil {
			return 0, err
		}
	}
	if err := s.append(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *spool) open() error {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, "message-*")
	if err != nil {
		return fmt.Errorf("spool message: %w", err)
	}
	_ = os.Remove(f.Name()) // or when it is closed
	s.file, s.block, s.out = f, block, streamAt(block, 0)
	return nil
}

func (s *spool) append(b []byte) error {
	if s.all.Add(int64(len(b))) > spoolTotal {
		s.all.Add(-int64(len(b)))
		return errSpoolFull
	}
	s.took += int64(len(b))
	var buf [4 << 10]byte
	for len(b) > 0 {
		n := min(len(b), len(buf))
		s.out.XORKeyStream(buf[:n], b[:n])
		s.size += int64(n)
		if _, err := s.file.Write(buf[:n]); err != nil {
			return fmt.Errorf("spool message: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// streamAt is the key stream from an offset. The key is used for one message, so
// the counter begins at 0.
func streamAt(block cipher.Block, offset int64) cipher.Stream {
	var iv, skip [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(offset/aes.BlockSize))
	st := cipher.NewCTR(block, iv[:])
	st.XORKeyStream(skip[:offset%aes.BlockSize], skip[:offset%aes.BlockSize])
	return st
}

// digest is the SHA-256 of what was written.
func (s *spool) digest() (sum [sha256.Size]byte) {
	s.sum.Sum(sum[:0])
	return sum
}

// close forgets the message.
func (s *spool) close() {
	s.mem = nil
	if s.file != nil {
		s.all.Add(-s.took)
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
		s.file = nil
	}
}

// reader reads what was written.
func (s *spool) reader() io.ReadSeeker { return &spoolReader{s: s} }

type spoolReader struct {
	s      *spool
	at     int64
	stream cipher.Stream // from at on; nil is to be made
}

// Read decrypts.
func (r *spoolReader) Read(b []byte) (int, error) {
	if r.at >= r.s.size {
		return 0, io.EOF
	}
	if r.s.file == nil {
		n := copy(b, r.s.mem[r.at:])
		r.at += int64(n)
		return n, nil
	}
	if r.stream == nil {
		r.stream = streamAt(r.s.block, r.at)
	}
	n, err := r.s.file.ReadAt(b[:min(int64(len(b)), r.s.size-r.at)], r.at)
	r.stream.XORKeyStream(b[:n], b[:n])
	r.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Seek goes to an offset.
func (r *spoolReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.at, r.stream = offset, nil
	return offset, nil
}
