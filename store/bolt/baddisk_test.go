package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// grown makes a store with pages of every kind: branches, values over several
// pages, buckets within a page, and free pages.
func grown(t *testing.T, key seal.MasterKey) []byte {
	t.Helper()
	dir := t.TempDir()
	s := open(t, Options{Path: dir, Keyring: ring(t, key)})
	ctx := context.Background()
	for round := range 4 {
		err := s.Update(ctx, func(tx store.Tx) error {
			if err := tx.PutAccount(&store.Account{ID: "a1"}); err != nil {
				return err
			}
			if round == 2 {
				_, err := tx.TrimJournal(time.Unix(1_700_000_000+1, 0), 300)
				return err
			}
			for i := range 300 {
				e := event.Event{Type: event.MessageUpdated, Account: "a1", Message: fmt.Sprint("m", i), Time: time.Unix(1_700_000_000+0, 0)}
				if err := tx.AppendEvent(&e); err != nil {
					return err
				}
			}
			return tx.PutSetting("long", bytes.Repeat([]byte{1}, 20_000))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b := readFile(t, path)
	m, both, err := metas(f, int64(len(b)))
	if err != nil || !both {
		t.Fatalf("metas: %v, %v", both, err)
	}
	return b[:m.high*uint64(m.pageSize)] // the rest is room to grow
}

// tryDamaged opens a store whose database has these bytes. It must either
// work or be refused with the bytes untouched; nothing else is bearable.
func tryDamaged(t *testing.T, key seal.MasterKey, b []byte) (said string, err error) {
	t.Helper()
	dir := scratch(t)
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Open(Options{Path: dir, Keyring: ring(t, key), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err == nil {
		err := checkPages(s)
		if cerr := s.Close(); err != nil || cerr != nil {
			t.Errorf("it opens and is not whole: %v, %v", err, cerr)
		}
		return log.String(), nil
	}
	for _, panicked := range []string{"freepages", "assertion", "runtime error"} {
		if strings.Contains(err.Error(), panicked) {
			t.Errorf("bbolt was let at it: %v", err)
		}
	}
	if !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not say where: %v", err)
	}
	if !bytes.Equal(readFile(t, path), b) {
		t.Errorf("what was refused was written to: %v", err)
	}
	return log.String(), err
}

func TestDamagedDatabasesAreRefusedUntouched(t *testing.T) {
	key := newKey(t)
	whole := grown(t, key)
	page := os.Getpagesize()
	with := func(at int, b []byte) []byte {
		out := bytes.Clone(whole)
		copy(out[at:], b)
		return out
	}
	zeros := make([]byte, page)
	for name, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"cut to a byte":            {whole[:1], "not a database"},
		"cut within a meta page":   {whole[:page+40], "damaged"},
		"cut after the metas":      {whole[:2*page], "it is cut"},
		"cut by a byte":            {whole[:len(whole)-1], "it is cut"},
		"cut in the middle":        {whole[:len(whole)/2/page*page], "it is cut"},
		"both metas zeroed":        {with(0, append(bytes.Clone(zeros), zeros...)), "not a database"},
		"garbage":                  {bytes.Repeat([]byte("garbage\n"), 10_000), "not a database"},
		"zeros":                    {make([]byte, 16*page), "not a database"},
		"all pages zeroed":         {append(bytes.Clone(whole[:2*page]), make([]byte, len(whole)-2*page)...), "says that it is page"},
		"pages in the wrong place": {append(append(bytes.Clone(whole[:2*page]), whole[3*page:]...), whole[2*page:3*page]...), "says that it is page"},
	} {
		_, err := tryDamaged(t, key, c.bytes)
		var d *DamagedError
		if !errors.As(err, &d) || !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "restore a backup") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range 2 {
		said, err := tryDamaged(t, key, with(n*page, zeros))
		if err != nil || !strings.Contains(said, "meta pages is damaged") {
			t.Errorf("meta page %d zeroed: %v, said %q", n, err, said)
		}
	}
}

// TestRandomDamageNeverPanics hits pages at random. What lies within a value
// is found by its seal when it is read; all else has to be found here.
func TestRandomDamageNeverPanics(t *testing.T) {
	c := newCutter(t)
	whole := grown(t, c.key)
	used := len(whole)
	page := os.Getpagesize()
	refused := 0
	for range 300 {
		b := bytes.Clone(whole)
		switch c.rand.IntN(4) {
		case 0: // a bit
			b[c.rand.IntN(used)] ^= 1 << c.rand.IntN(8)
		case 1: // a page's beginning, where the structure is
			at := c.rand.IntN(used/page) * page
			for range 1 + c.rand.IntN(8) {
				b[at+c.rand.IntN(200)] = byte(c.rand.Uint32())
			}
		case 2: // sectors that came from elsewhere
			from, to := c.rand.IntN(used/512)*512, c.rand.IntN(used/512)*512
			copy(b[to:to+512], whole[from:from+512])
		default: // noise
			at := c.rand.IntN(used)
			fill(c.rand, b[at:min(at+1+c.rand.IntN(2*page), len(b))])
		}
		if _, err := tryDamaged(t, c.key, b); err != nil {
			refused++
		}
	}
	if refused < 50 {
		t.Errorf("%d of 300 damages were refused", refused)
	}
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func TestAFolderThatIsAFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: path, Keyring: ring(t, newKey(t))}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("opened: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: dir, Keyring: ring(t, newKey(t))}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened: %v", err)
	}
}
