package blobfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

const (
	// fullSegment is from where on a segment is not appended to any more.
	fullSegment = 64 << 20
	// flushStep is how many places one transaction records.
	flushStep = 250
)

// packs keeps small blobs in segments. The index of places is written behind:
// places that it does not have yet are remembered here, and a power cut loses
// them, which is what putting without sync allows. Bytes are durable before
// their place is.
type packs struct {
	blobs *Blobs

	// flushing is held while places go from memory to the index, by whoever
	// needs that to be over. Whoever deletes a blob waits for it.
	flushing sync.Mutex

	mu sync.Mutex
	// waiting are places that the index does not have yet.
	waiting map[table.BlobName]table.Place
	active  *os.File
	number  uint32
	size    int64
	// appended is how much was ever appended. broken is why nothing is any more.
	appended int64
	broken   error

	// syncing is held while the active segment is synced, so that one sync does
	// for all who wait for it; synced is how much of appended was durable then.
	// Whoever holds it may take mu.
	syncing sync.Mutex
	synced  int64

	// moving is held while segments are emptied and removed. Whoever holds it
	// may take flushing, and keeping for a moment.
	moving sync.Mutex

	segmentSize int64

	// readers are segments that are open to be read.
	readers readers

	kick chan struct{}
	stop chan struct{}
	done chan struct{}
}

func openPacks(b *Blobs) (*packs, error) {
	p := &packs{
		blobs: b, waiting: map[table.BlobName]table.Place{}, segmentSize: fullSegment,
		kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	numbers, err := p.segments()
	if err != nil {
		return nil, err
	}
	p.number = 1
	if n := len(numbers); n > 0 {
		p.number = numbers[n-1]
	}
	if p.active, p.size, err = p.openSegment(p.number); err != nil {
		return nil, err
	}
	p.kick <- struct{}{} // segments may have died since
	go p.run()
	return p, nil
}

func (p *packs) path(number uint32) string {
	return filepath.Join(p.blobs.packDir(), fmt.Sprintf("%08x", number))
}

// segments lists the numbers of the segments, ascending.
func (p *packs) segments() ([]uint32, error) {
	entries, err := os.ReadDir(p.blobs.packDir())
	if err != nil {
		return nil, err
	}
	var out []uint32
	for _, e := range entries { // sorted by name, which is by number
		if n, err := strconv.ParseUint(e.Name(), 16, 32); err == nil && len(e.Name()) == 8 {
			out = append(out, uint32(n))
		}
	}
	return out, nil
}

// openSegment opens a segment to append to it. What a crash left torn at its
// end is nobody's: no place names it.
func (p *packs) openSegment(number uint32) (f *os.File, size int64, err error) {
	f, err = os.OpenFile(p.path(number), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = p.blobs.syncNames(f.Name())
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func packAAD(n table.BlobName) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("blob small\x00"), n.Life), n.MAC[:]...)
}

// append writes sealed bytes to the active segment. The lock is held.
func (p *packs) append(sealed []byte, size int) (table.Place, error) {
	if p.broken != nil {
		return table.Place{}, p.broken
	}
	if p.size >= p.segmentSize {
		if err := p.turn(); err != nil {
			return table.Place{}, err
		}
	}
	if _, err := p.active.WriteAt(sealed, p.size); err != nil {
		return table.Place{}, err
	}
	place := table.Place{Segment: p.number, Offset: p.size, Length: uint32(len(sealed)), Size: uint32(size)}
	p.size += int64(len(sealed))
	p.appended += int64(len(sealed))
	p.blobs.atRest.Add(int64(len(sealed)))
	return place, nil
}

// turn opens the next segment and closes the active one. The lock is held.
func (p *packs) turn() error {
	if err := p.blobs.fsync(p.active); err != nil {
		return p.fail(err)
	}
	f, size, err := p.openSegment(p.number + 1)
	if err != nil {
		return err
	}
	_ = p.active.Close() // it is durable
	p.active, p.size = f, size
	p.number++
	return nil
}

// fail ends writing after a sync has failed. The lock is held.
func (p *packs) fail(err error) error {
	if p.broken == nil {
		p.broken = p.blobs.index.Fail(err)
	}
	return p.broken
}

// put stores a small blob.
func (p *packs) put(ctx context.Context, n table.BlobName, k *seal.DataKey, plain []byte, sync bool) error {
	if sync {
		p.blobs.keeping.RLock()
		defer p.blobs.keeping.RUnlock()
	}
	switch _, err := p.open(ctx, n, k); {
	case err == nil && sync:
		return p.settle(ctx, n)
	case err == nil:
		return nil
	case errors.Is(err, store.ErrDamaged):
		if err := p.delete(ctx, n); err != nil {
			return err
		}
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	sealed := k.Seal(nil, squeezeSmall(plain), packAAD(n))
	p.mu.Lock()
	place, err := p.append(sealed, len(plain))
	if err == nil {
		p.waiting[n] = place
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if sync {
		return p.settle(ctx, n)
	}
	p.wake()
	return nil
}

// settle brings one place into the index at once, where it still waits, and
// says that the blob must stay.
func (p *packs) settle(ctx context.Context, n table.BlobName) error {
	p.mu.Lock()
	place, ok := p.waiting[n]
	p.mu.Unlock()
	if !ok {
		return p.blobs.keep(ctx, n)
	}
	if err := p.sync(); err != nil {
		return err
	}
	err := p.blobs.index.Update(ctx, func(tx *table.Tx) error {
		if err := tx.KeepBlob(n); err != nil {
			return err
		}
		return tx.PutBlobPlace(n, place)
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[n] == place {
		delete(p.waiting, n)
	}
	return nil
}

// sync makes durable what was appended until now. A segment that is full was
// synced when it was closed.
func (p *packs) sync() error {
	p.mu.Lock()
	want := p.appended
	p.mu.Unlock()
	p.syncing.Lock()
	defer p.syncing.Unlock()
	p.mu.Lock()
	active, appended, broken := p.active, p.appended, p.broken
	p.mu.Unlock()
	if broken != nil || p.synced >= want {
		return broken
	}
	err := p.blobs.fsync(active)
	if errors.Is(err, os.ErrClosed) {
		err = nil // its turn came meanwhile
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return p.fail(err)
	}
	if p.broken != nil { // the turn was told what this sync then was not
		return p.broken
	}
	p.synced = appended
	return nil
}

func (p *packs) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// find gives the place of a small blob.
func (p *packs) find(ctx context.Context, n table.BlobName) (place table.Place, err error) {
	p.mu.Lock()
	place, ok := p.waiting[n]
	p.mu.Unlock()
	if ok {
		return place, nil
	}
	err = p.blobs.index.View(ctx, func(tx *table.Tx) (err error) {
		place, err = tx.BlobPlace(n)
		return err
	})
	return place, err
}

// open reads a small blob whole.
func (p *packs) open(ctx context.Context, n table.BlobName, k *seal.DataKey) (store.Blob, error) {
	place, err := p.find(ctx, n)
	if err != nil {
		return nil, err
	}
	return p.openAt(ctx, n, k, place)
}

// openAt is open of a blob that was just found at a place.
func (p *packs) openAt(ctx context.Context, n table.BlobName, k *seal.DataKey, place table.Place) (store.Blob, error) {
	room := p.blobs.room()
	defer p.blobs.rooms.Put(room)
	for {
		sealed, err := p.read(place, room.sealed[:0])
		if errors.Is(err, fs.ErrNotExist) {
			before := place
			if place, err = p.find(ctx, n); err == nil && place != before {
				continue // moved to another segment between the two looks
			}
			if err == nil {
				err = torn("the segment is gone")
			}
		}
		if err != nil {
			return nil, err
		}
		room.sealed = sealed
		if room.opened, err = k.Open(room.opened[:0], sealed, packAAD(n)); err != nil {
			return nil, torn("it does not open")
		}
		blob := p.blobs.small()
		blob.all, err = p.blobs.unsqueeze(slices.Grow(blob.all[:0], int(min(place.Size, smallSize))+spare), room.opened)
		if err != nil || len(blob.all) != int(place.Size) {
			return nil, torn("it is not what it was")
		}
		blob.Reset(blob.all)
		return blob, nil
	}
}

// read appends the sealed bytes at a place to dst.
func (p *packs) read(place table.Place, dst []byte) ([]byte, error) {
	if place.Length > smallSize+seal.Overhead+1 {
		return nil, torn("its place is wrong")
	}
	from := len(dst)
	dst = slices.Grow(dst, int(place.Length))[:from+int(place.Length)]
	for {
		f, err := p.readers.open(p.path(place.Segment), place.Segment)
		if err != nil {
			return nil, err
		}
		_, err = f.ReadAt(dst[from:], place.Offset)
		if errors.Is(err, os.ErrClosed) {
			continue // another took its turn
		}
		if err != nil {
			return nil, torn("the segment is cut")
		}
		return dst, nil
	}
}

// smallBlob is a blob in memory. Closed, it is empty, and its memory another's.
type smallBlob struct {
	bytes.Reader
	blobs *Blobs
	all   []byte
}

func (b *Blobs) small() *smallBlob {
	if s, ok := b.smalls.Get().(*smallBlob); ok {
		s.blobs = b
		return s
	}
	return &smallBlob{blobs: b}
}

// Close gives the memory back.
func (s *smallBlob) Close() error {
	if b := s.blobs; b != nil {
		s.blobs = nil
		s.Reset(nil)
		b.smalls.Put(&smallBlob{all: s.all})
		s.all = nil
	}
	return nil
}

// Bytes is the blob as a whole (store.InMemory).
func (s *smallBlob) Bytes() []byte { return s.all }

type updater = func(ctx context.Context, fn func(*table.Tx) error) error

// flush brings all places into the index, their bytes first. The lock
// flushing is held.
func (p *packs) flush(ctx context.Context, update updater) error {
	for {
		batch := map[table.BlobName]table.Place{}
		p.mu.Lock()
		for n, place := range p.waiting {
			if len(batch) == flushStep {
				break
			}
			batch[n] = place
		}
		p.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := p.sync(); err != nil {
			return err
		}
		err := update(ctx, func(tx *table.Tx) error {
			for n, place := range batch {
				if err := tx.PutBlobPlace(n, place); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.mu.Lock()
		for n := range batch {
			delete(p.waiting, n)
		}
		p.mu.Unlock()
	}
}

// delete forgets a small blob.
func (p *packs) delete(ctx context.Context, n table.BlobName) error {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	p.mu.Lock()
	delete(p.waiting, n)
	p.mu.Unlock()
	if _, err := p.find(ctx, n); errors.Is(err, store.ErrNotFound) {
		return nil
	}
	err := p.blobs.index.Update(ctx, func(tx *table.Tx) error { return tx.DeleteBlobPlace(n) })
	p.wake()
	return err
}

// deleteLife forgets all small blobs of a life.
func (p *packs) deleteLife(ctx context.Context, life uint64) error {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	p.mu.Lock()
	for n := range p.waiting {
		if n.Life == life {
			delete(p.waiting, n)
		}
	}
	p.mu.Unlock()
	for more := true; more; {
		err := p.blobs.index.Update(ctx, func(tx *table.Tx) (err error) {
			more, err = tx.DropBlobs(life, flushStep)
			return err
		})
		if err != nil {
			return err
		}
	}
	p.wake()
	return nil
}

func (p *packs) close() error {
	close(p.stop)
	<-p.done
	p.flushing.Lock()
	defer p.flushing.Unlock()
	p.readers.closeAll()
	err := p.flush(context.Background(), p.blobs.index.Update)
	if syncErr := p.active.Close(); err == nil {
		err = syncErr
	}
	return err
}
