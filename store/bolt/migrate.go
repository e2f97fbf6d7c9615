package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store/table"
)

const (
	// tellEvery is how often a migration says in the log that it goes on.
	tellEvery = 5 * time.Second
	// maxTold is how much of the damage that a migration goes past is told row by
	// row; the rest is counted.
	maxTold = 100
)

// migrate brings the data to this build's format. Before the first change a
// copy of the database is kept beside it. Each step is many transactions, each
// of which stores how far it has come, so that a killed process goes on.
func (s *Store) migrate() error {
	state, err := s.layout()
	if err != nil || state.Format == 0 || state.Current {
		return err
	}
	log := s.opts.Log.With("format", state.Format)
	if !state.Between {
		log.Info("the data is of an earlier format: it is copied, then migrated")
		file, err := s.keepCopy(state.Format)
		if err != nil {
			return fmt.Errorf("keep a copy of the data before it is migrated: %w", err)
		}
		log.Info("a copy of the data is kept, the migration begins", "copy", file)
	} else {
		log.Info("an unfinished migration goes on")
	}
	began := s.opts.Now()
	told := began
	transactions, damaged := 0, 0
	for more := true; more; {
		var did table.Progress
		err := s.db.Update(func(btx *bbolt.Tx) error {
			b, err := s.prepare(btx)
			if err != nil {
				return err
			}
			if did, more, err = b.Tx().Migrate(); err != nil {
				return err
			}
			return b.Finish()
		})
		if err != nil {
			return err
		}
		transactions++
		for _, met := range did.Met {
			if damaged++; damaged <= maxTold {
				log.Warn("damage of before is met", "to", did.Format, "step", did.Step, "error", met)
			}
		}
		if s.opts.migrated != nil {
			s.opts.migrated()
		}
		if now := s.opts.Now(); now.Sub(told) >= tellEvery {
			told = now
			log.Info("migrating", "to", did.Format, "step", did.Step, "transactions", transactions)
		}
	}
	if damaged > 0 {
		log.Warn("the migration went past damage of before; the copy has what was there", "rows", damaged)
	}
	log.Info("the data is migrated", "transactions", transactions, "took", s.opts.Now().Sub(began))
	return nil
}

// layout reads what the database holds, without writing.
func (s *Store) layout() (state table.State, err error) {
	err = s.db.View(func(btx *bbolt.Tx) error {
		first, _ := btx.Cursor().First()
		if first == nil {
			return nil // nothing was ever written
		}
		for _, name := range []string{"meta", "key"} {
			if btx.Bucket([]byte(name)) == nil {
				return fmt.Errorf("this is no data of Postern's: it has no bucket %q", name)
			}
		}
		state, err = s.tables.State(s.tables.Begin(newKV(btx), false))
		return err
	})
	return state, err
}

// keepCopy copies the database to postern.db.formatN. A copy that is there
// already, from before somebody went back to the older format, is left alone,
// and this one gets a name of its own. The database's lock is ours and nobody
// writes, so the file stands still.
func (s *Store) keepCopy(format uint64) (string, error) {
	from := filepath.Join(s.opts.Path, fileName)
	name := fmt.Sprintf("%s.format%d", from, format)
	for n := 2; ; n++ {
		same, err := sameBytes(from, name)
		if err == nil && same {
			return name, nil // made before the first step, which then did not come
		}
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s.format%d-%d", from, format, n)
	}
	if err := copyFile(from, name+".part"); err != nil {
		return "", errors.Join(err, os.Remove(name+".part"))
	}
	if err := os.Rename(name+".part", name); err != nil {
		return "", err
	}
	return name, syncFolder(s.opts.Path)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(out.Sync(), out.Close())
}

// sameBytes compares two files.
func sameBytes(a, b string) (bool, error) {
	fa, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	const chunk = 1 << 20
	bufA, bufB := make([]byte, chunk), make([]byte, chunk)
	for {
		n, errA := io.ReadFull(fa, bufA)
		m, errB := io.ReadFull(fb, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		endA, endB := ended(errA), ended(errB)
		switch {
		case endA && endB:
			return true, nil
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		}
	}
}

// ended reports whether a file has no more bytes.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
