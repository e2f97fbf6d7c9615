package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/postern-mail/postern/store"
)

// DamagedError says that the database cannot be used as it is. Nothing was
// written to it. It is store.ErrDamaged.
type DamagedError struct {
	// Path is the database, What is wrong with it.
	Path, What string
}

// Error says what to do.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the database %s is damaged: %s; nothing was written to it: keep it, look after the disk, and restore a backup (postern restore)", e.Path, e.What)
}

// Unwrap lets errors.Is find store.ErrDamaged.
func (e *DamagedError) Unwrap() error { return store.ErrDamaged }

// bbolt's file format, version 2 (go.etcd.io/bbolt/internal/common).
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	metaSize    = 64
	headerSize  = 16
	elementSize = 16
	flagBranch  = 0x01
	flagLeaf    = 0x02
	flagFree    = 0x10
	bucketEntry = 0x01
	noFreelist  = ^uint64(0)
	// maxPageSize is the largest that bbolt looks for.
	maxPageSize = 1024 << 14
)

// meta is one of the two pages from which everything is found.
type meta struct {
	pageSize             uint32
	root, freelist, high uint64
	txid                 uint64
}

// parseMeta reads what follows a meta page's header.
func parseMeta(b []byte) (m meta, ok bool) {
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	e := binary.NativeEndian
	m = meta{pageSize: e.Uint32(b[8:]), root: e.Uint64(b[16:]), freelist: e.Uint64(b[32:]), high: e.Uint64(b[40:]), txid: e.Uint64(b[48:])}
	return m, e.Uint32(b) == boltMagic && e.Uint32(b[4:]) == boltVersion && e.Uint64(b[56:]) == h.Sum64()
}

// intact reads the whole tree of pages before bbolt does. bbolt maps the file
// and trusts what it finds: on a file that is cut, or has other bytes where a
// page should be, it panics in a goroutine of its own, or the process dies of
// SIGBUS. Reading it this way costs about as much as bbolt's own look for free
// pages, and turns a bad sector into an error, too.
func intact(path string, log *slog.Logger) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return nil // bbolt makes a database of it
	}
	// Opened in this way, bbolt looks at no more than the two meta pages; it
	// is here for its lock, so that nobody writes meanwhile.
	lock, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return damaged(path, err)
	}
	defer func() { _ = lock.Close() }()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if info, err = f.Stat(); err != nil {
		return err
	}
	m, both, err := metas(f, info.Size())
	if err != nil {
		return damaged(path, err)
	}
	if !both {
		log.Warn("one of the database's two meta pages is damaged, the other one is used: what was committed last may be missing", "path", path)
	}
	if size := int64(m.pageSize) * int64(m.high); size > info.Size() || m.high > uint64(info.Size()) {
		return &DamagedError{path, fmt.Sprintf("it is cut: %d of at least %d bytes are there", info.Size(), size)}
	}
	w := &walker{file: f, meta: m, seen: make([]bool, m.high)}
	if err := w.walk(); err != nil {
		return damaged(path, err)
	}
	return nil
}

// openWhole opens a database that intact has found to be whole. What it may have
// missed bbolt says by panicking.
func openWhole(path string, o *bbolt.Options) (db *bbolt.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, &DamagedError{path, fmt.Sprint(p)}
		}
	}()
	return bbolt.Open(path, 0o600, o)
}

// damaged tells what is wrong with the bytes from what is wrong with us.
func damaged(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout), errors.Is(err, os.ErrPermission), errors.Is(err, os.ErrNotExist):
		return err
	case errors.Is(err, berrors.ErrVersionMismatch):
		return &DamagedError{path, "it has a file format that this build does not know"}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum):
		return &DamagedError{path, "it is not a database, or both its meta pages are damaged"}
	}
	return &DamagedError{path, err.Error()}
}

// metas finds the meta page in force: the newer one of those that are valid.
func metas(f *os.File, size int64) (m meta, both bool, err error) {
	read := func(off int64) (meta, bool) {
		b := make([]byte, headerSize+metaSize)
		if _, err := f.ReadAt(b, off); err != nil {
			return meta{}, false
		}
		return parseMeta(b[headerSize:])
	}
	first, ok0 := read(0)
	if ok0 {
		second, ok1 := read(int64(first.pageSize))
		if ok1 && second.txid > first.txid {
			return second, true, nil
		}
		return first, ok1, nil
	}
	for at := int64(1024); at <= maxPageSize && at < size; at <<= 1 {
		if second, ok := read(at); ok && int64(second.pageSize) == at {
			return second, false, nil
		}
	}
	return meta{}, false, berrors.ErrInvalid
}

// walker visits every page that can be reached, once.
type walker struct {
	file *os.File
	meta meta
	seen []bool
}

// page is a page with what overflows it.
type page struct {
	id    uint64
	flags uint16
	count int
	data  []byte // without the header
}

func (w *walker) walk() error {
	if w.meta.pageSize < 1024 || w.meta.pageSize > maxPageSize {
		return fmt.Errorf("its pages have %d bytes", w.meta.pageSize)
	}
	if w.meta.freelist != noFreelist {
		p, err := w.read(w.meta.freelist)
		if err != nil {
			return err
		}
		if p.flags != flagFree || p.count != 0xFFFF && p.count*8 > len(p.data) {
			return fmt.Errorf("page %d is no list of free pages", p.id)
		}
	}
	return w.tree(w.meta.root, nil, nil)
}

// read reads a page and takes it as visited.
func (w *walker) read(id uint64) (*page, error) {
	if id < 2 || id >= w.meta.high {
		return nil, fmt.Errorf("page %d does not exist", id)
	}
	size := int(w.meta.pageSize)
	b := make([]byte, size)
	if _, err := w.file.ReadAt(b, int64(id)*int64(size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	e := binary.NativeEndian
	if have := e.Uint64(b); have != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, have)
	}
	p := &page{id: id, flags: e.Uint16(b[8:]), count: int(e.Uint16(b[10:]))}
	overflow := uint64(e.Uint32(b[12:]))
	if overflow >= w.meta.high-id {
		return nil, fmt.Errorf("page %d is longer than the database", id)
	}
	for n := id; n <= id+overflow; n++ {
		if w.seen[n] {
			return nil, fmt.Errorf("page %d is used twice", n)
		}
		w.seen[n] = true
	}
	if overflow > 0 {
		b = append(b, make([]byte, overflow*uint64(size))...)
		if _, err := w.file.ReadAt(b[size:], int64(id+1)*int64(size)); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	p.data = b[headerSize:]
	return p, nil
}

// tree visits the pages below one, whose keys have to be from low to below
// high; nil is no bound.
func (w *walker) tree(id uint64, low, high []byte) error {
	p, err := w.read(id)
	if err != nil {
		return err
	}
	return w.elements(p, low, high)
}

// elements checks that keys are in order and that all is where it is said to
// be, and goes on to what is below.
func (w *walker) elements(p *page, low, high []byte) error {
	wrong := func(i int) error { return fmt.Errorf("page %d: entry %d is not where it is said to be", p.id, i) }
	if p.flags != flagBranch && p.flags != flagLeaf || p.count*elementSize > len(p.data) || p.flags == flagBranch && p.count == 0 {
		return fmt.Errorf("page %d is no page of a tree", p.id)
	}
	e := binary.NativeEndian
	keys, values := make([][]byte, p.count), make([][]byte, p.count)
	for i := range p.count {
		at := p.data[i*elementSize:]
		var pos, keySize, valueSize uint64
		if p.flags == flagBranch {
			pos, keySize = uint64(e.Uint32(at)), uint64(e.Uint32(at[4:]))
		} else {
			pos, keySize, valueSize = uint64(e.Uint32(at[4:])), uint64(e.Uint32(at[8:])), uint64(e.Uint32(at[12:]))
		}
		if pos < elementSize || pos+keySize+valueSize > uint64(len(at)) {
			return wrong(i)
		}
		keys[i], values[i] = at[pos:pos+keySize], at[pos+keySize:pos+keySize+valueSize]
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 ||
			i == 0 && low != nil && bytes.Compare(keys[i], low) < 0 || high != nil && bytes.Compare(keys[i], high) >= 0 {
			return fmt.Errorf("page %d: its keys are not in order", p.id)
		}
	}
	for i := range p.count {
		at := p.data[i*elementSize:]
		var err error
		switch {
		case p.flags == flagBranch && i+1 < p.count:
			err = w.tree(e.Uint64(at[8:]), keys[i], keys[i+1])
		case p.flags == flagBranch:
			err = w.tree(e.Uint64(at[8:]), keys[i], high)
		case e.Uint32(at)&bucketEntry != 0:
			err = w.bucket(p, values[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket visits a bucket's pages; a small bucket is a page within the value.
func (w *walker) bucket(p *page, value []byte) error {
	e := binary.NativeEndian
	if len(value) < headerSize {
		return fmt.Errorf("page %d: a bucket is cut", p.id)
	}
	if root := e.Uint64(value); root != 0 {
		return w.tree(root, nil, nil)
	}
	inline := value[headerSize:]
	if len(inline) < headerSize {
		return fmt.Errorf("page %d: a bucket is cut", p.id)
	}
	return w.elements(&page{id: p.id, flags: e.Uint16(inline[8:]), count: int(e.Uint16(inline[10:])), data: inline[headerSize:]}, nil, nil)
}
