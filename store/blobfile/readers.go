package blobfile

import (
	"os"
	"sync"
	"time"
)

// maxReaders is how many segments are kept open to be read: a gigabyte of mail
// that somebody reads through.
const maxReaders = 16

// readers keeps segments open that are being read, since opening a file takes
// longer than reading a message of it. One is opened anew now and then, which is
// what says that it is in use.
type readers struct {
	mu    sync.Mutex
	files map[uint32]reader
}

type reader struct {
	*os.File
	since time.Time
}

// open gives a segment's file, which another may close: ReadAt gives
// os.ErrClosed then.
func (r *readers) open(path string, number uint32) (*os.File, error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.files[number]; ok {
		if now.Sub(f.since) < touchAfter {
			return f.File, nil
		}
		r.drop(number)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil {
		used(path, info, now)
	}
	if r.files == nil {
		r.files = map[uint32]reader{}
	}
	for old := range r.files {
		if len(r.files) < maxReaders {
			break
		}
		r.drop(old)
	}
	r.files[number] = reader{f, now}
	return f, nil
}

// forget closes a segment that was removed.
func (r *readers) forget(number uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(number)
}

// drop closes one. The lock is held.
func (r *readers) drop(number uint32) {
	if f, ok := r.files[number]; ok {
		_ = f.Close() // it was read alone
		delete(r.files, number)
	}
}

func (r *readers) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number := range r.files {
		r.drop(number)
	}
}
