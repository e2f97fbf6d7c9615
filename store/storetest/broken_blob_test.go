package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/postern-mail/postern/store"
)

type mixesAccounts struct {
	store.Store
	mu   sync.Mutex
	seen map[string]bool
}

type mixedBlobs struct {
	store.Blobs
	s *mixesAccounts
}

func (s *mixesAccounts) Blobs() store.Blobs { return &mixedBlobs{s.Store.Blobs(), s} }

func (b *mixedBlobs) Put(ctx context.Context, account string, r io.Reader, sync bool) (store.BlobRef, error) {
	b.s.mu.Lock()
	b.s.seen[account] = true
	b.s.mu.Unlock()
	return b.Blobs.Put(ctx, account, r, sync)
}

func (b *mixedBlobs) Open(ctx context.Context, account, digest string) (store.Blob, error) {
	b.s.mu.Lock()
	accounts := slices.Sorted(maps.Keys(b.s.seen))
	b.s.mu.Unlock()
	for _, a := range accounts {
		if blob, err := b.Blobs.Open(ctx, a, digest); err == nil {
			return blob, nil
		}
	}
	return b.Blobs.Open(ctx, account, digest)
}

type cutsBlobs struct{ store.Store }

type cutBlobs struct{ store.Blobs }

func (s *cutsBlobs) Blobs() store.Blobs { return cutBlobs{s.Store.Blobs()} }

type cutBlob struct {
	store.Blob
	r io.Reader
}

func (b cutBlob) Read(p []byte) (int, error) { return b.r.Read(p) }

func (b cutBlobs) Open(ctx context.Context, account, digest string) (store.Blob, error) {
	blob, err := b.Blobs.Open(ctx, account, digest)
	if err != nil {
		return nil, err
	}
	return cutBlob{blob, io.LimitReader(blob, 64<<10)}, nil
}

type hidesDamage struct{ store.Store }

type blindBlobs struct{ store.Blobs }

func (s *hidesDamage) Blobs() store.Blobs { return blindBlobs{s.Store.Blobs()} }

type zeros struct{ *bytes.Reader }

func (zeros) Close() error { return nil }

func (b blindBlobs) Open(ctx context.Context, account, digest string) (store.Blob, error) {
	blob, err := b.Blobs.Open(ctx, account, digest)
	if errors.Is(err, store.ErrDamaged) {
		return zeros{bytes.NewReader(make([]byte, 9_000))}, nil
	}
	return blob, err
}

type forgetsSync struct{ store.Store }

type cachedBlobs struct{ store.Blobs }

func (s *forgetsSync) Blobs() store.Blobs { return cachedBlobs{s.Store.Blobs()} }

func (b cachedBlobs) Put(ctx context.Context, account string, r io.Reader, _ bool) (store.BlobRef, error) {
	return b.Blobs.Put(ctx, account, r, false)
}

type neverTrims struct{ store.Store }

type hoardedBlobs struct{ store.Blobs }

func (s *neverTrims) Blobs() store.Blobs { return hoardedBlobs{s.Store.Blobs()} }

func (hoardedBlobs) Trim(context.Context, int64) (int64, error) { return 0, nil }
