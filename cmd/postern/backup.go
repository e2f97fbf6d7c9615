package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/store/bolt"
)

type backupCmd struct {
	File     string `arg:"" help:"The file to write, with mode 0600. It must not exist." type:"path"`
	AllBlobs bool   `help:"Take bytes along, too, that can be fetched again from the providers."`
}

func (b backupCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(b.File); !errors.Is(err, os.ErrNotExist) {
		return usageError{errors.Join(err, fmt.Errorf("%s exists; a backup is never written over another file", b.File))}
	}
	if inside(b.File, cfg.DataDir) {
		return usageError{fmt.Errorf("%s is in the data folder; a backup belongs elsewhere, best on another disk", b.File)}
	}
	source, err := gateway.Backup(e.ctx, cfg, b.AllBlobs, func() (*bolt.Store, error) {
		return gateway.OpenStore(e.ctx, cfg, os.LookupEnv, e.logger(cfg.Log), version())
	})
	if err != nil {
		return err
	}
	m, size, err := e.keepBackup(source, b.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s holds the data as of %s: %s, journal position %d, format %d.\n",
		b.File, m.Created.Local().Format(time.DateTime), bytesIn(size), m.Position, m.Format)
	fmt.Fprintln(e.stdout, "It is sealed. The master key that opens it is not in it, nor is admin.key: keep both elsewhere.")
	return nil
}

// inside reports whether a file would lie in a folder or below it.
func inside(file, folder string) bool {
	real := func(name string) string {
		if abs, err := filepath.Abs(name); err == nil {
			name = abs
		}
		if linked, err := filepath.EvalSymlinks(name); err == nil {
			name = linked
		}
		return name
	}
	rel, err := filepath.Rel(real(folder), real(filepath.Dir(file)))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// keepBackup writes a backup to a file, checks it on the way, and gives it its
// name once it is whole and on the disk.
func (e *env) keepBackup(source io.ReadCloser, name string) (m bolt.Manifest, size int64, err error) {
	defer func() { err = errors.Join(err, source.Close()) }()
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return m, 0, fmt.Errorf("%s is there: another backup is being made, or was cut off; in that case remove it", part)
	}
	if err != nil {
		return m, 0, err
	}
	defer func() { err = errors.Join(err, removed(part)) }()
	count := &progress{out: e.stderr, next: time.Now().Add(tellEvery)}
	m, err = bolt.ReadBackup(io.TeeReader(source, io.MultiWriter(f, count)),
		func(m bolt.Manifest) error { count.total = m.Database; return nil },
		func(string, int64, io.Reader) error { return nil })
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return m, count.n, err
	}
	// A link, since a rename would replace what came to be there meanwhile.
	if err := os.Link(part, name); errors.Is(err, os.ErrExist) {
		return m, count.n, err
	} else if err != nil {
		if err := os.Rename(part, name); err != nil { // a file system without links
			return m, count.n, err
		}
	}
	return m, count.n, syncFolder(filepath.Dir(name))
}

func removed(name string) error {
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tellEvery is how often a long command says how far it is.
const tellEvery = 3 * time.Second

// progress counts bytes and now and then says how many.
type progress struct {
	out   io.Writer
	n     int64
	total int64
	next  time.Time
}

// Write counts.
func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(tellEvery)
		fmt.Fprintf(p.out, "%s written; the database alone has %s\n", bytesIn(p.n), bytesIn(p.total))
	}
	return len(b), nil
}

// bytesIn says a number of bytes as people do.
func bytesIn(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

type restoreCmd struct {
	File  string `arg:"" help:"The backup." type:"existingfile"`
	Force bool   `help:"Restore into a data folder that holds a store already. That store is kept aside."`

	CancelScheduled bool `help:"Cancel the messages that are to be sent at a time that is yet to come: some may have been cancelled since the backup."`
}

func (r restoreCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	f, err := os.Open(r.File)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	done, err := gateway.Restore(e.ctx, cfg, os.LookupEnv, e.logger(cfg.Log), version(), f,
		gateway.RestoreOptions{Force: r.Force, CancelScheduled: r.CancelScheduled})
	if err != nil {
		var inUse *bolt.InUseError
		var full *bolt.NotEmptyError
		if errors.As(err, &inUse) || errors.As(err, &full) || errors.Is(err, gateway.ErrNoMasterKey) {
			return usageError{err}
		}
		return ofBackup(r.File, err)
	}
	fmt.Fprintf(e.stdout, "%s holds the data as of %s again, in epoch %d.\n", cfg.DataDir, done.Manifest.Created.Local().Format(time.DateTime), done.Epoch)
	if done.Aside != "" {
		fmt.Fprintf(e.stdout, "What was there before is in %s.\n", done.Aside)
	}
	fmt.Fprintln(e.stdout, "Cursors of before are refused. Once the gateway runs it compares every mailbox with its provider and tells the differences.")
	fmt.Fprintln(e.stdout, "Webhooks that were pending in the backup may come a second time, under the ids they had.")
	r.tellScheduled(e.stdout, done.Scheduled)
	return nil
}

// tellScheduled names what is to be sent later: whoever cancelled such a message
// after the backup was answered that it will not be sent, and the backup does
// not know.
func (r restoreCmd) tellScheduled(w io.Writer, list []gateway.Scheduled) {
	if len(list) == 0 {
		return
	}
	if r.CancelScheduled {
		fmt.Fprintf(w, "%d scheduled messages were cancelled:\n", len(list))
	} else {
		fmt.Fprintf(w, "%d scheduled messages will be sent, also those that were cancelled since the backup; cancel them before their time where that is so:\n", len(list))
	}
	for _, m := range list {
		fmt.Fprintf(w, "  %s  account %s  at %s  to %d recipients\n", m.ID, m.Account, m.SendAt.UTC().Format(time.RFC3339), m.Recipients)
	}
}

// ofBackup says in words what is wrong with a backup's file.
func ofBackup(file string, err error) error {
	switch {
	case errors.Is(err, bolt.ErrForeign):
		return fmt.Errorf("%s is no Postern backup", file)
	case errors.Is(err, bolt.ErrCut):
		return fmt.Errorf("%s is cut off: it was not written or not copied to its end", file)
	}
	return err
}

type verifyCmd struct {
	JSON   bool   `help:"Print JSON."`
	Backup string `help:"Check this backup instead, without restoring it; no settings are needed." type:"existingfile" placeholder:"FILE"`
}

// checkBackup reads a backup to its end.
func (v verifyCmd) checkBackup(e *env) error {
	f, err := os.Open(v.Backup)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	m, err := bolt.ReadBackup(f, nil, func(string, int64, io.Reader) error { return nil })
	if err != nil {
		return ofBackup(v.Backup, err)
	}
	if v.JSON {
		return e.printJSON(m)
	}
	fmt.Fprintf(e.stdout, "%s is whole: the data as of %s, journal position %d, format %d, made by Postern %s.\n",
		v.Backup, m.Created.Local().Format(time.DateTime), m.Position, m.Format, m.Postern)
	fmt.Fprintln(e.stdout, "Its bytes are those that were written. What is sealed in them was not opened.")
	return nil
}

// Run checks the store; what is wrong with it makes the exit code 1.
func (v verifyCmd) Run(e *env) error {
	if v.Backup != "" {
		return v.checkBackup(e)
	}
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var r bolt.Report
	err = e.onStore(cfg, "GET", "/verify", &r, func(s *bolt.Store) (err error) {
		r, err = s.Verify(e.ctx, true)
		return err
	})
	if err != nil {
		return err
	}
	if v.JSON {
		if err := e.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, p := range r.Problems {
			fmt.Fprintln(e.stdout, p)
		}
		fmt.Fprintf(e.stdout, "%d records, %d rows of indexes and %d blobs were read.\n", r.Records, r.Rows, r.Blobs)
	}
	if n := len(r.Problems) + r.More; n > 0 {
		return fmt.Errorf("%d things are wrong with the store", n)
	}
	if !v.JSON {
		fmt.Fprintln(e.stdout, "The store is sound.")
	}
	return nil
}
