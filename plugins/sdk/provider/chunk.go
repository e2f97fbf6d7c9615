package provider

import (
	"bytes"
	"fmt"
	"io"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// ChunkSize is the largest piece of a raw message on the wire.
const ChunkSize = 256 << 10

// maxMessage bounds one gRPC message: batches and notifications, never raw
// mail.
const maxMessage = 64 << 20

// chunks cuts r into pieces of at most ChunkSize and hands each to send with
// whether it is the last one. The pieces may be kept. failed tells that r, not
// send, is the cause of err.
//
// Only a plain io.EOF ends r: io.ReadFull, which answers io.ErrUnexpectedEOF
// for a short piece, could not tell the end from a body that was cut off.
func chunks(r io.Reader, send func(piece []byte, last bool) error) (failed bool, err error) {
	buf := make([]byte, ChunkSize)
	for {
		n := 0
		var readErr error
		for n < len(buf) && readErr == nil {
			var got int
			got, readErr = r.Read(buf[n:])
			n += got
		}
		if readErr != nil && readErr != io.EOF {
			return true, readErr
		}
		if err := send(bytes.Clone(buf[:n]), readErr == io.EOF); err != nil || readErr == io.EOF {
			return false, err
		}
	}
}

// uploadReader reads the chunks of Append and Prepare. It ends with io.EOF
// only where the host ended the stream on purpose and the length is right, so
// that nothing cut off is ever stored.
type uploadReader struct {
	next func() ([]byte, error) // io.EOF at the end
	size int64                  // 0: not known
	got  int64
	cur  []byte
	err  error
}

func (u *uploadReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(u.cur) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		piece, err := u.next()
		u.got += int64(len(piece))
		switch {
		case err == nil && u.size > 0 && u.got > u.size:
			u.err = u.mismatch()
		case err == io.EOF && u.size > 0 && u.got != u.size:
			u.err = u.mismatch()
		case err != nil:
			u.err = err
		default:
			u.cur = piece
		}
	}
	n := copy(p, u.cur)
	u.cur = u.cur[n:]
	return n, nil
}

func (u *uploadReader) mismatch() error {
	return &mail.Error{Kind: mail.KindInvalid, Op: "read message", Code: "size_mismatch",
		Message: fmt.Sprintf("the message is announced with %d octets, and has another length", u.size)}
}

// rawReader reads the chunks of one raw message of Fetch.
type rawReader struct {
	chunk *pb.RawChunk
	next  func() (*pb.RawChunk, error)
	cur   []byte
	err   error
}

func newRawReader(first *pb.RawChunk, next func() (*pb.RawChunk, error)) *rawReader {
	return &rawReader{chunk: first, cur: first.GetData(), next: next}
}

func (r *rawReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.cur) == 0 {
		if err := r.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	return n, nil
}

// advance takes the next chunk; io.EOF after the last one.
func (r *rawReader) advance() error {
	if r.err != nil {
		return r.err
	}
	if r.chunk.GetLast() {
		if r.err = errorFromPB(r.chunk.GetError()); r.err == nil {
			r.err = io.EOF
		}
		return r.err
	}
	r.chunk, r.err = r.next()
	r.cur = r.chunk.GetData()
	return r.err
}

// drain skips what the sink left unread.
func (r *rawReader) drain() error {
	for {
		if err := r.advance(); err != nil {
			if r.chunk.GetLast() {
				return nil // ended, in whatever way: the sink had its chance to see it
			}
			return err
		}
	}
}
