package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// inMemory is how large a message is kept in memory while it is appended. A
// larger one waits among the blobs, sealed.
const inMemory = 256 << 10

// rewindable gives what r has so that it can be read several times.
func (s *Service) rewindable(ctx context.Context, account string, r io.Reader, size int64) (io.ReadSeekCloser, error) {
	if seeker, ok := r.(io.ReadSeeker); ok {
		return unclosed{seeker}, nil
	}
	if size <= inMemory {
		b := make([]byte, size)
		if n, err := io.ReadFull(r, b); err != nil {
			return nil, short(int64(n), size, err)
		}
		return unclosed{bytes.NewReader(b)}, nil
	}
	ref, err := s.store.Blobs().Put(ctx, account, io.LimitReader(r, size), false)
	if err != nil {
		return nil, fmt.Errorf("keep the message: %w", err)
	}
	if ref.Size != size {
		return nil, short(ref.Size, size, io.ErrUnexpectedEOF)
	}
	return s.store.Blobs().Open(ctx, account, ref.Digest)
}

// unclosed is read by us and closed by its owner.
type unclosed struct{ io.ReadSeeker }

// Close leaves it open.
func (unclosed) Close() error { return nil }

// short: the message is not as long as was said. Whoever sent it broke off.
func short(n, size int64, err error) error {
	return &mail.Error{Kind: mail.KindInvalid, Op: "append", Message: fmt.Sprintf("%d bytes came, %d were announced", n, size), Err: err}
}
