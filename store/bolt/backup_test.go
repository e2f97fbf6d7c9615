package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// cached are blobs of aone's that could be fetched again.
var cached = []string{"small cache", strings.Repeat("large cache ", 10_000)}

// filled opens a new store with a sample's rows.
func filled(t *testing.T) *bolt.Store {
	t.Helper()
	s := openSample(t, filepath.Join(t.TempDir(), "data"))
	t.Cleanup(func() { _ = s.Close() })
	fillSample(t, s)
	for _, text := range cached {
		if _, err := s.Blobs().Put(context.Background(), "aone", strings.NewReader(text), false); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func backupOf(t *testing.T, s *bolt.Store, all bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Backup(context.Background(), &b, all); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sampleOptions(t *testing.T, path string, now time.Time) bolt.Options {
	t.Helper()
	key, err := seal.ParseMasterKey(sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	return bolt.Options{Path: path, Keyring: ring, Now: func() time.Time { return now }}
}

func unsettled(context.Context, *bolt.Store) error { return nil }

// restored restores a backup into a new folder and opens it.
func restored(t *testing.T, backup []byte) *bolt.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if _, err := bolt.Restore(context.Background(), sampleOptions(t, path, sampleTime), bytes.NewReader(backup), false, unsettled); err != nil {
		t.Fatal(err)
	}
	s := openSample(t, path)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// inEpoch says what a dump says in another life of the store: what is read has
// its place there.
func inEpoch(dump []byte, was, is uint32) []byte {
	for _, name := range []string{"epoch", "Epoch"} {
		dump = bytes.ReplaceAll(dump, fmt.Appendf(nil, `"%s":%d,`, name, was), fmt.Appendf(nil, `"%s":%d,`, name, is))
	}
	return dump
}

func sound(t *testing.T, s *bolt.Store) {
	t.Helper()
	r, err := s.Verify(context.Background(), true)
	if err != nil || len(r.Problems) > 0 || r.Records < 240 || r.Blobs < 2 {
		t.Errorf("%d records, %d blobs, %v: %s", r.Records, r.Blobs, err, strings.Join(r.Problems, "\n"))
	}
}

func TestRestoredStoreHoldsWhatWasBackedUp(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprint("all blobs ", all), func(t *testing.T) {
			s := filled(t)
			sound(t, s)
			want := dumpSample(t, s)
			r := restored(t, backupOf(t, s, all))
			if r.Epoch() <= s.Epoch() {
				t.Errorf("epoch %d after %d", r.Epoch(), s.Epoch())
			}
			want = inEpoch(want, s.Epoch(), r.Epoch())
			missing(t, want, dumpSample(t, r))
			sound(t, r)
			for _, text := range cached {
				b, err := r.Blobs().Open(context.Background(), "aone", digest(text))
				if !all {
					if !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
						t.Errorf("a blob of the cache: %v", err)
					}
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				got, err := io.ReadAll(b)
				if err != nil || string(got) != text || b.Close() != nil {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
			// What is put from now on finds its place beside them.
			for i := range 50 {
				text := fmt.Sprint("new ", i)
				if _, err := r.Blobs().Put(context.Background(), "aone", strings.NewReader(text), i%2 == 0); err != nil {
					t.Fatal(err)
				}
			}
			sound(t, r)
		})
	}
}

// TestNoEventIdComesTwice restores a backup twice and goes on differently each
// time: no id of an event, and no sequence, is ever used for something else.
func TestNoEventIdComesTwice(t *testing.T) {
	s := filled(t)
	backup := backupOf(t, s, false)
	seen := map[string]string{}
	last := map[string]uint64{}
	epochs := map[uint32]bool{}
	tell := func(s *bolt.Store, life string) {
		t.Helper()
		if epochs[s.Epoch()] {
			t.Errorf("%s begins in epoch %d, which was there", life, s.Epoch())
		}
		epochs[s.Epoch()] = true
		// aone was there before, anew is connected after the backup, every time.
		for _, account := range []string{"aone", "anew", ""} {
			for range 20 {
				e := &event.Event{Account: account, Type: event.Ping, Time: sampleTime}
				if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.AppendEvent(e) }); err != nil {
					t.Fatal(err)
				}
				if before := seen[e.ID]; before != "" {
					t.Fatalf("%s tells %s, as %s did", life, e.ID, before)
				}
				if e.Sequence <= last[account] || e.Sequence >= 1<<53 {
					t.Fatalf("%s: sequence %d of %q after %d", life, e.Sequence, account, last[account])
				}
				seen[e.ID], last[account] = life, e.Sequence
			}
		}
	}
	tell(s, "the first life")
	for i := range 3 {
		path := filepath.Join(t.TempDir(), "data")
		// The third comes within the second of the second one.
		now := sampleTime.Add(time.Duration(min(i, 1)+1) * time.Second)
		if i == 2 {
			now = now.Add(time.Second)
		}
		if _, err := bolt.Restore(context.Background(), sampleOptions(t, path, now), bytes.NewReader(backup), false, unsettled); err != nil {
			t.Fatal(err)
		}
		r := openSample(t, path)
		tell(r, fmt.Sprint("restore ", i))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackupUnderLoad reads a backup slowly while others write: it holds one
// moment, and nobody waits for it.
func TestBackupUnderLoad(t *testing.T) {
	s := filled(t)
	ctx := context.Background()
	stop, done := make(chan struct{}), make(chan int)
	step := make(chan struct{})
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			case step <- struct{}{}:
			}
			// Both or none, and a submission whose bytes come and go.
			ref, err := s.Blobs().Put(ctx, "aone", strings.NewReader(strings.Repeat(fmt.Sprint("bytes ", n), 1+n%3*4000)), true)
			if err == nil {
				err = s.Update(ctx, func(tx store.Tx) error {
					return errors.Join(tx.PutSetting("left", fmt.Append(nil, n)), tx.PutSetting("right", fmt.Append(nil, n)),
						tx.PutSubmission(&store.Submission{ID: "sload", Account: "aone", State: store.SubmissionScheduled, Blob: ref.Digest}),
						tx.AppendEvent(&event.Event{Account: "aone", Type: event.Ping, Time: sampleTime}))
				})
			}
			if err != nil {
				t.Error(err)
			}
		}
	}()
	<-step
	<-step // one is written
	var backup bytes.Buffer
	m, err := s.Backup(ctx, writerFunc(func(p []byte) (int, error) {
		<-step // a commit goes through for every piece that is read
		return backup.Write(p)
	}), false)
	if err != nil {
		t.Fatal(err)
	}
	close(stop)
	wrote := <-done
	if int(m.Position) >= 30+wrote {
		t.Errorf("nothing was written meanwhile: position %d after %d updates", m.Position, wrote)
	}
	r := restored(t, backup.Bytes())
	sound(t, r)
	err = r.View(ctx, func(tx store.Tx) error {
		left, err := tx.Setting("left")
		if err != nil {
			return err
		}
		right, err := tx.Setting("right")
		if string(left) != string(right) {
			t.Errorf("left %s, right %s", left, right)
		}
		_, newest, boundsErr := tx.JournalBounds()
		if newest != m.Position {
			t.Errorf("the journal ends at %d, the manifest says %d", newest, m.Position)
		}
		sub, subErr := tx.Submission("sload")
		if err := errors.Join(err, boundsErr, subErr); err != nil {
			return err
		}
		b, err := r.Blobs().Open(ctx, "aone", sub.Blob)
		if err != nil {
			return fmt.Errorf("the bytes of a submission that waits: %w", err)
		}
		return b.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// names lists a folder, but for the file whose lock is the right to it.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.Name() != "postern.lock" {
			out = append(out, e.Name())
		}
	}
	return strings.Join(out, " ")
}

// TestBackupThatIsNotWholeIsRefused cuts and spoils one in many places; the
// folder stays as it was.
func TestBackupThatIsNotWholeIsRefused(t *testing.T) {
	s := filled(t)
	whole := backupOf(t, s, false)
	path := filepath.Join(t.TempDir(), "data")
	refused := func(what string, b []byte) {
		t.Helper()
		_, err := bolt.Restore(context.Background(), sampleOptions(t, path, sampleTime), bytes.NewReader(b), false, unsettled)
		if err == nil {
			t.Fatalf("%s: restored", what)
		}
		if left := names(t, path); left != "" {
			t.Fatalf("%s: %s is left, after %v", what, left, err)
		}
	}
	// The last two blocks of a tar file say that it ends; what is behind
	// end.json matters to nobody.
	last := bytes.LastIndex(whole, []byte("sha256"))
	for i := range 40 {
		refused(fmt.Sprint("cut ", i), whole[:last*i/40])
	}
	for i := range 40 {
		at := last * i / 40
		spoilt := bytes.Clone(whole)
		spoilt[at] ^= 0x41
		if at > 512 && bytes.Equal(bytes.TrimRight(whole[at:at+1], "\x00"), nil) && padding(whole, at) {
			continue
		}
		refused(fmt.Sprint("spoilt at ", at), spoilt)
	}
	refused("empty", nil)
	refused("no tar file", bytes.Repeat([]byte("x"), 5000))
}

// padding: nothing in the archive depends on bytes that fill up a block.
func padding(b []byte, at int) bool {
	block := b[at-at%512 : min(at-at%512+512, len(b))]
	return len(bytes.Trim(block, "\x00")) < 512 && bytes.Trim(block[at%512:], "\x00") == nil
}

func TestRestoreIntoAFolderThatHoldsAStore(t *testing.T) {
	ctx := context.Background()
	s := filled(t)
	backup := backupOf(t, s, false)
	path := filepath.Join(t.TempDir(), "data")
	old := openSample(t, path)
	if err := old.Update(ctx, func(tx store.Tx) error { return tx.PutSetting("of", []byte("the old one")) }); err != nil {
		t.Fatal(err)
	}
	opts := sampleOptions(t, path, sampleTime)
	// In use, forced or not.
	for _, force := range []bool{false, true} {
		var inUse *bolt.InUseError
		if _, err := bolt.Restore(ctx, opts, bytes.NewReader(backup), force, unsettled); !errors.As(err, &inUse) {
			t.Errorf("in use, force %v: %v", force, err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	var full *bolt.NotEmptyError
	before := names(t, path)
	if _, err := bolt.Restore(ctx, opts, bytes.NewReader(backup), false, unsettled); !errors.As(err, &full) || names(t, path) != before {
		t.Errorf("not forced: %v, %s", err, names(t, path))
	}
	// What fails on the way leaves the old one in its place.
	if _, err := bolt.Restore(ctx, opts, bytes.NewReader(backup[:len(backup)/2]), true, unsettled); err == nil || names(t, path) != before {
		t.Errorf("a cut backup: %v, %s", err, names(t, path))
	}
	broken := errors.New("not settled")
	if _, err := bolt.Restore(ctx, opts, bytes.NewReader(backup), true, func(context.Context, *bolt.Store) error { return broken }); !errors.Is(err, broken) || names(t, path) != before {
		t.Errorf("not settled: %v, %s", err, names(t, path))
	}
	done, err := bolt.Restore(ctx, opts, bytes.NewReader(backup), true, unsettled)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{path: false, done.Aside: true} {
		s := openSample(t, dir)
		err := s.View(ctx, func(tx store.Tx) error { _, err := tx.Setting("of"); return err })
		if (err == nil) != want {
			t.Errorf("%s: the old setting: %v", dir, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	// A damaged database can be kept aside, too.
	if err := os.WriteFile(filepath.Join(path, "postern.db"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	opts.Now = func() time.Time { return sampleTime.Add(time.Minute) }
	if _, err := bolt.Restore(ctx, opts, bytes.NewReader(backup), true, unsettled); err != nil {
		t.Error(err)
	}
}

func TestRestoreUnderAnotherMasterKeyIsRefused(t *testing.T) {
	backup := backupOf(t, filled(t), false)
	other, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(other)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "data")
	_, err = bolt.Restore(context.Background(), bolt.Options{Path: path, Keyring: ring}, bytes.NewReader(backup), false, unsettled)
	if !errors.Is(err, seal.ErrWrongKey) || names(t, path) != "" {
		t.Errorf("%v, left %q", err, names(t, path))
	}
}

func TestBackupHoldsNothingInTheClear(t *testing.T) {
	backup := backupOf(t, filled(t), true)
	for _, word := range []string{"Subject of", "ada@example.org", "token aone", "large cache", "small cache", "app.example", "@example.com", sampleKey} {
		if bytes.Contains(backup, []byte(word)) {
			t.Errorf("%q can be read in the backup", word)
		}
	}
}

// TestBackupStopsWithItsContext, and leaves the store usable and closable.
func TestBackupStopsWithItsContext(t *testing.T) {
	s := filled(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := s.Backup(ctx, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), false)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("the disk is full")
	if _, err := s.Backup(context.Background(), writerFunc(func([]byte) (int, error) { return 0, full }), false); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Backup(context.Background(), io.Discard, false); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
