package bolt

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/postern-mail/postern/store"
)

// A backup is a tar file:
//
//	manifest.json  what it is
//	postern.db     the database
//	blobs/...      blobs that nobody else has, as store/blobfile names them
//	cache/...      all blobs, where that was asked for
//	end.json       how many entries there are, and the SHA-256 of them all
//
// Everything in it is sealed as it is in the data folder; the manifest has
// numbers and times alone. A backup that was cut has no end.

const (
	manifestName = "manifest.json"
	endName      = "end.json"
	blobPrefix   = "blobs/"
	cachePrefix  = "cache/"
	// archiveKind and archiveVersion are those of the tar file's layout, not of
	// the store's.
	archiveKind    = "postern backup"
	archiveVersion = 1
	// maxHead bounds what is read of the manifest and the end.
	maxHead = 1 << 20
)

// Manifest says what a backup is.
type Manifest struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	// Format is that of the store, Postern the version that made the backup.
	Format  uint64    `json:"store_format"`
	Postern string    `json:"postern"`
	Created time.Time `json:"created"`
	// Epoch and Position are where the journal ends.
	Epoch    uint32 `json:"epoch"`
	Position uint64 `json:"position"`
	// AllBlobs says that those are in it, too, that can be fetched again.
	AllBlobs bool `json:"all_blobs"`
	// Database is the length of the database.
	Database int64 `json:"database_bytes"`
}

// end closes a backup.
type end struct {
	Entries int    `json:"entries"`
	SHA256  string `json:"sha256"`
}

// digester hashes entries: name and length, then the bytes.
type digester struct {
	sum     hash.Hash
	entries int
}

func newDigester() *digester { return &digester{sum: sha256.New()} }

func (d *digester) entry(name string, size int64) {
	d.entries++
	d.sum.Write(binary.BigEndian.AppendUint64(append([]byte(name), 0), uint64(size)))
}

func (d *digester) end() end { return end{d.entries, hex.EncodeToString(d.sum.Sum(nil))} }

// archiveWriter writes a backup.
type archiveWriter struct {
	tar  *tar.Writer
	sums *digester
	at   time.Time
}

func newArchiveWriter(w io.Writer, at time.Time) *archiveWriter {
	return &archiveWriter{tar: tar.NewWriter(w), sums: newDigester(), at: at}
}

// add writes an entry of exactly size bytes.
func (a *archiveWriter) add(name string, size int64, write func(w io.Writer) error) error {
	if err := a.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: a.at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	a.sums.entry(name, size)
	if err := write(io.MultiWriter(a.tar, a.sums.sum)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return a.tar.Flush() // says whether all of it was written
}

func (a *archiveWriter) addJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	return a.add(name, int64(len(b)), func(w io.Writer) error { _, err := w.Write(b); return err })
}

func (a *archiveWriter) close() error {
	if err := a.addJSON(endName, a.sums.end()); err != nil {
		return err
	}
	return a.tar.Close()
}

// errBackup is in the chain of what is wrong with a backup itself.
var errBackup = fmt.Errorf("this is no whole backup: %w", store.ErrDamaged)

// ErrForeign says that something never was a backup, ErrCut that one ends too
// early. Both are in the chain of store.ErrDamaged's.
var (
	ErrForeign = fmt.Errorf("%w: it is something else", errBackup)
	ErrCut     = fmt.Errorf("%w: it ends too early", errBackup)
)

// ReadBackup reads a backup to its end and hands out its files: the database
// as "postern.db", blobs under "blobs/" and "cache/". Only when it returns nil all of them
// were what was written. begin, which may be nil, is told of the manifest and
// may refuse it; file may leave bytes unread.
func ReadBackup(r io.Reader, begin func(Manifest) error, file func(name string, size int64, r io.Reader) error) (Manifest, error) {
	m, err := readBackup(r, begin, file)
	if errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errBackup) {
		err = fmt.Errorf("%w: %w", ErrCut, err) // in the midst of what file reads
	}
	return m, err
}

func readBackup(r io.Reader, begin func(Manifest) error, file func(name string, size int64, r io.Reader) error) (Manifest, error) {
	var m Manifest
	archive, sums := tar.NewReader(r), newDigester()
	for {
		h, err := archive.Next()
		first := sums.entries == 0
		switch {
		case err == nil:
		case first && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader)):
			return m, ErrForeign
		case errors.Is(err, io.EOF):
			return m, ErrCut
		default:
			return m, spoiled("", err)
		}
		if first && h.Name != manifestName {
			return m, ErrForeign
		}
		if first != (h.Name == manifestName) || h.Typeflag != tar.TypeReg {
			return m, fmt.Errorf("%w: entry %q is out of place", errBackup, h.Name)
		}
		if h.Name == endName {
			return m, closeBackup(r, archive, h, sums)
		}
		sums.entry(h.Name, h.Size)
		content := io.TeeReader(archive, sums.sum)
		switch {
		case first:
			if err := readJSON(content, h, &m); err != nil {
				return m, err
			}
			if m.Kind != archiveKind || m.Version < 1 {
				return m, ErrForeign
			}
			if m.Version > archiveVersion {
				return m, fmt.Errorf("the backup was made by a newer Postern (%s): layout %d, this one knows %d", m.Postern, m.Version, archiveVersion)
			}
			if begin != nil {
				err = begin(m)
			}
		case h.Name == fileName || strings.HasPrefix(h.Name, blobPrefix), strings.HasPrefix(h.Name, cachePrefix):
			err = file(h.Name, h.Size, content)
		default:
			return m, fmt.Errorf("%w: entry %q is unknown", errBackup, h.Name)
		}
		if err == nil {
			if _, err = io.Copy(io.Discard, content); err != nil {
				err = spoiled("", err)
			}
		}
		if err != nil {
			return m, err
		}
	}
}

func readJSON(r io.Reader, h *tar.Header, v any) error {
	if h.Size > maxHead {
		return fmt.Errorf("%w: %s is too long", errBackup, h.Name)
	}
	b, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return spoiled(h.Name+": ", err)
	}
	return nil
}

// spoiled says why a backup cannot be read on.
func spoiled(where string, err error) error {
	kind := errBackup
	if errors.Is(err, io.ErrUnexpectedEOF) {
		kind = ErrCut
	}
	return fmt.Errorf("%w: %s%w", kind, where, err)
}

// closeBackup compares what was read with what was written, and reads what tar
// puts behind the last entry.
func closeBackup(r io.Reader, archive *tar.Reader, h *tar.Header, sums *digester) error {
	var e end
	if err := readJSON(archive, h, &e); err != nil {
		return err
	}
	if e != sums.end() {
		return fmt.Errorf("%w: its bytes are not those that were written", errBackup)
	}
	_, err := archive.Next()
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", errBackup)
	}
	_, err = io.Copy(io.Discard, r)
	return err
}
