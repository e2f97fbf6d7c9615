package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// random is a stream of n bytes that nobody holds in memory; the same seed
// gives the same bytes.
func random(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}

func digest(t *testing.T, r io.Reader) (sum [32]byte, n int64) {
	t.Helper()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		t.Error(err)
	}
	return [32]byte(h.Sum(nil)), n
}

// peak watches the live heap while a test streams.
type peak struct {
	base uint64
	max  atomic.Uint64
}

func newPeak() *peak {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &peak{base: m.HeapAlloc}
}

// sample collects first, so that it sees what is held and not what is waste.
func (p *peak) sample() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > p.base && m.HeapAlloc-p.base > p.max.Load() {
		p.max.Store(m.HeapAlloc - p.base)
	}
}

// sampling reads through, and samples every few megabytes.
type sampling struct {
	io.Reader
	p    *peak
	left int
}

func (s *sampling) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if s.left -= n; s.left <= 0 {
		s.left = 4 << 20
		s.p.sample()
	}
	return n, err
}

const (
	bigMessage = 50 << 20
	bigMemory  = 16 << 20
)

func TestFiftyMegabytesDown(t *testing.T) {
	remote := pipeTo(t, &funcs{fetch: func(_ context.Context, _ *FetchRequest, sink FetchSink) error {
		return sink.Raw("big", "", random(bigMessage))
	}})
	want, _ := digest(t, random(bigMessage))
	p := newPeak()
	sink := &rawSink{raw: func(r io.Reader) error {
		got, n := digest(t, &sampling{Reader: r, p: p})
		if got != want || n != bigMessage {
			t.Errorf("%d bytes arrived, or others", n)
		}
		return nil
	}}
	if err := remote.Fetch(t.Context(), &FetchRequest{Mode: FetchRaw}, sink); err != nil {
		t.Fatal(err)
	}
	if sink.calls != 1 {
		t.Errorf("%d messages arrived", sink.calls)
	}
	if held := p.max.Load(); held > bigMemory {
		t.Errorf("streaming held %d bytes", held)
	}
}

func TestFiftyMegabytesUp(t *testing.T) {
	want, _ := digest(t, random(bigMessage))
	p := newPeak()
	remote := pipeTo(t, &funcs{appended: func(_ context.Context, r *AppendRequest, raw io.Reader) (*AppendResponse, error) {
		got, n := digest(t, &sampling{Reader: raw, p: p})
		if got != want || n != r.Size {
			t.Errorf("%d bytes arrived, or others", n)
		}
		return &AppendResponse{Message: mail.Message{ProviderID: "stored"}}, nil
	}})
	resp, err := remote.Append(t.Context(), &AppendRequest{Size: bigMessage}, random(bigMessage))
	if err != nil || resp.Message.ProviderID != "stored" {
		t.Fatalf("append: %v, %v", resp, err)
	}
	if held := p.max.Load(); held > bigMemory {
		t.Errorf("streaming held %d bytes", held)
	}
}

// TestRawLengths: every length around a chunk's, through readers that return
// what they like.
func TestRawLengths(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"plain":    func(r io.Reader) io.Reader { return r },
		"half":     iotest.HalfReader,
		"data+err": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		for _, n := range []int64{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 2 * ChunkSize} {
			want, _ := digest(t, random(n))
			remote := pipeTo(t, &funcs{
				fetch: func(_ context.Context, _ *FetchRequest, sink FetchSink) error {
					return sink.Raw("x", "", wrap(random(n)))
				},
				appended: func(_ context.Context, _ *AppendRequest, raw io.Reader) (*AppendResponse, error) {
					if got, _ := digest(t, raw); got != want {
						t.Errorf("%s, %d bytes: others arrived at the plugin", name, n)
					}
					return &AppendResponse{}, nil
				},
			})
			sink := &rawSink{raw: func(r io.Reader) error {
				if got, _ := digest(t, r); got != want {
					t.Errorf("%s, %d bytes: others arrived at the host", name, n)
				}
				return nil
			}}
			if err := remote.Fetch(t.Context(), &FetchRequest{}, sink); err != nil || sink.calls != 1 {
				t.Errorf("%s, %d bytes: fetch: %d, %v", name, n, sink.calls, err)
			}
			if _, err := remote.Append(t.Context(), &AppendRequest{Size: n}, wrap(random(n))); err != nil {
				t.Errorf("%s, %d bytes: append: %v", name, n, err)
			}
		}
	}
}

// TestCutDown: a provider's body that ends too soon never looks whole.
func TestCutDown(t *testing.T) {
	for _, cut := range []error{io.ErrUnexpectedEOF, &mail.Error{Kind: mail.KindUnavailable, Message: "cut"}} {
		remote := pipeTo(t, &funcs{fetch: func(_ context.Context, _ *FetchRequest, sink FetchSink) error {
			return sink.Raw("x", "", io.MultiReader(bytes.NewReader(make([]byte, ChunkSize+10)), iotest.ErrReader(cut)))
		}})
		var readErr error
		err := remote.Fetch(t.Context(), &FetchRequest{}, &rawSink{raw: func(r io.Reader) error {
			_, readErr = io.Copy(io.Discard, r)
			return readErr
		}})
		if mail.KindOf(readErr) != mail.KindOf(cut) || readErr == nil {
			t.Errorf("%v: the reader saw %v", cut, readErr)
		}
		if err == nil {
			t.Errorf("%v: fetch succeeded", cut)
		}
	}
}

// TestCutUp: a message that the host could not read to its end, or that is not
// as long as announced, is never stored.
func TestCutUp(t *testing.T) {
	stop := errors.New("disk gone")
	tests := map[string]struct {
		raw  io.Reader
		size int64
		want func(error) bool
	}{
		"read error": {io.MultiReader(random(ChunkSize*2), iotest.ErrReader(stop)), 0, func(err error) bool { return errors.Is(err, stop) }},
		"too short":  {random(10), 11, func(err error) bool { return mail.KindOf(err) == mail.KindInvalid }},
		"too long":   {random(12), 11, func(err error) bool { return mail.KindOf(err) == mail.KindInvalid }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			readErr := make(chan error, 1)
			remote := pipeTo(t, &funcs{appended: func(_ context.Context, _ *AppendRequest, raw io.Reader) (*AppendResponse, error) {
				_, err := io.Copy(io.Discard, raw)
				readErr <- err
				return &AppendResponse{}, err
			}})
			_, err := remote.Append(t.Context(), &AppendRequest{Size: tt.size}, tt.raw)
			if !tt.want(err) {
				t.Errorf("append: %v", err)
			}
			if <-readErr == nil {
				t.Error("the plugin read a whole message")
			}
		})
	}
}

// TestUploadRefusedEarly: an answer before the last chunk is the answer.
func TestUploadRefusedEarly(t *testing.T) {
	remote := pipeTo(t, &funcs{appended: func(context.Context, *AppendRequest, io.Reader) (*AppendResponse, error) {
		return nil, &mail.Error{Kind: mail.KindTooLarge, Op: "append", Code: "big"}
	}})
	_, err := remote.Append(t.Context(), &AppendRequest{Size: bigMessage}, random(bigMessage))
	var e *mail.Error
	if !errors.As(err, &e) || e.Kind != mail.KindTooLarge || e.Code != "big" {
		t.Errorf("append: %v", err)
	}
}

// TestSinkEndsFetch: the sink's own error comes back as it is, and ends the
// provider's work.
func TestSinkEndsFetch(t *testing.T) {
	stop := errors.New("enough")
	ended := make(chan error, 1)
	remote := pipeTo(t, &funcs{fetch: func(ctx context.Context, _ *FetchRequest, sink FetchSink) error {
		for {
			if err := sink.Raw("x", "", random(ChunkSize)); err != nil {
				ended <- err
				return err
			}
		}
	}})
	err := remote.Fetch(t.Context(), &FetchRequest{}, &rawSink{raw: func(io.Reader) error { return stop }})
	if err != stop {
		t.Errorf("fetch: %v", err)
	}
	<-ended
}

// TestSinkSkipsRaw: what the sink leaves unread does not spoil what follows.
func TestSinkSkipsRaw(t *testing.T) {
	remote := pipeTo(t, &funcs{fetch: func(_ context.Context, _ *FetchRequest, sink FetchSink) error {
		for range 3 {
			if err := sink.Raw("x", "", random(3*ChunkSize)); err != nil {
				return err
			}
		}
		return nil
	}})
	sink := &rawSink{raw: func(io.Reader) error { return nil }}
	if err := remote.Fetch(t.Context(), &FetchRequest{}, sink); err != nil || sink.calls != 3 {
		t.Errorf("fetch: %d messages, %v", sink.calls, err)
	}
}

type rawSink struct {
	raw   func(io.Reader) error
	calls int
}

func (s *rawSink) Message(*mail.Message) error { return errors.New("metadata came") }
func (s *rawSink) Raw(_, _ string, r io.Reader) error {
	s.calls++
	return s.raw(r)
}
func (s *rawSink) Failed(_ string, err error) error { return err }
