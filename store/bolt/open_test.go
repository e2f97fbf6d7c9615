package bolt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

func newKey(t testing.TB) seal.MasterKey {
	t.Helper()
	k, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t testing.TB, keys ...seal.MasterKey) *seal.Keyring {
	t.Helper()
	r, err := seal.NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// open opens a store that is closed with the test.
func open(t testing.TB, opts Options) *Store {
	t.Helper()
	if opts.Keyring == nil {
		opts.Keyring = ring(t, newKey(t))
	}
	if opts.Path == "" {
		opts.Path = t.TempDir()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func put(tx store.Tx, name string) error { return tx.PutSetting(name, []byte("x")) }

func TestWrongMasterKeyIsRefused(t *testing.T) {
	right, wrong, dir := newKey(t), newKey(t), t.TempDir()
	if err := open(t, Options{Path: dir, Keyring: ring(t, right)}).Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Options{Path: dir, Keyring: ring(t, wrong)})
	var w *seal.WrongKeyError
	if !errors.As(err, &w) || w.Want != right.ID() || !strings.Contains(err.Error(), wrong.ID()) {
		t.Errorf("opened under another key: %v", err)
	}
	open(t, Options{Path: dir, Keyring: ring(t, right)}) // nothing was spoilt, or left locked
}

func TestRewrapLeavesTheOldKeyBehind(t *testing.T) {
	ctx, old, fresh, dir := context.Background(), newKey(t), newKey(t), t.TempDir()
	s := open(t, Options{Path: dir, Keyring: ring(t, old)})
	const accounts = 450
	err := s.Update(ctx, func(tx store.Tx) error {
		for i := range accounts {
			if err := tx.PutAccount(&store.Account{ID: fmt.Sprintf("a%04d", i), Name: "name"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Path: dir, Keyring: ring(t, fresh, old)})
	var told []int
	if err := s.Rewrap(ctx, func(done int) { told = append(told, done) }); err != nil {
		t.Fatal(err)
	}
	if n := len(told); n < 3 || told[n-1] != accounts+1 {
		t.Errorf("progress %v, want it to end at %d", told, accounts+1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: dir, Keyring: ring(t, old)}); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("under the old key: %v", err)
	}
	s = open(t, Options{Path: dir, Keyring: ring(t, fresh)})
	err = s.View(ctx, func(tx store.Tx) error {
		all, err := tx.AccountsAfter("", 2*accounts)
		if len(all) != accounts {
			t.Errorf("%d accounts", len(all))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir, key := t.TempDir(), ring(t, newKey(t))
	s := open(t, Options{Path: dir, Keyring: key})
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte{0, 0, 0, 0, 0, 0, 0, table.Format + 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: dir, Keyring: key}); err == nil || !strings.Contains(err.Error(), "newer Postern") {
		t.Errorf("opened a newer format: %v", err)
	}
}

func TestNotADatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte(strings.Repeat("this is no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: dir, Keyring: ring(t, newKey(t))}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened: %v", err)
	}
	if _, err := Open(Options{Path: dir}); err == nil {
		t.Error("opened without a keyring")
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Path: dir})
	ctx := context.Background()
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.PutAccount(&store.Account{ID: "a1"}) }); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{10, 200_000} {
		if _, err := s.Blobs().Put(ctx, "a1", strings.NewReader(strings.Repeat("x", n)), true); err != nil {
			t.Fatal(err)
		}
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
}

// TestSecondProcessIsToldWhoHoldsTheFolder runs this test's binary again as the
// holder.
func TestSecondProcessIsToldWhoHoldsTheFolder(t *testing.T) {
	const env = "POSTERN_BOLT_TEST_HOLD"
	if dir := os.Getenv(env); dir != "" {
		s, err := Open(Options{Path: dir, Keyring: ring(t, newKey(t))})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("open")
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = s.Close()
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("child says %q", lines.Text())
	}
	_, err = Open(Options{Path: dir, Keyring: ring(t, newKey(t))})
	var use *InUseError
	if !errors.As(err, &use) || use.PID != cmd.Process.Pid || !strings.Contains(err.Error(), fmt.Sprint(use.PID)) {
		t.Errorf("beside process %d: %v", cmd.Process.Pid, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, pidName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file outlives its process: %v", err)
	}
}

func TestEpochIsRaised(t *testing.T) {
	dir, key := t.TempDir(), ring(t, newKey(t))
	s := open(t, Options{Path: dir, Keyring: key})
	before := s.Epoch()
	for range 2 { // twice within a second
		last := s.Epoch()
		if err := s.RaiseEpoch(context.Background()); err != nil || s.Epoch() <= last {
			t.Errorf("epoch %d after %d, %v", s.Epoch(), last, err)
		}
	}
	raised := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s = open(t, Options{Path: dir, Keyring: key}); s.Epoch() != raised || raised == before {
		t.Errorf("epoch %d after reopening", s.Epoch())
	}
}

func TestCrashInTheMiddleOfDroppingIsMadeGood(t *testing.T) {
	ctx, dir, key := context.Background(), t.TempDir(), ring(t, newKey(t))
	s := open(t, Options{Path: dir, Keyring: key})
	err := s.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutAccount(&store.Account{ID: "a1"}); err != nil {
			return err
		}
		if err := tx.PutMailbox(&store.Mailbox{ID: "f1", Account: "a1"}); err != nil {
			return err
		}
		for i := range 1500 {
			if err := tx.PutMessage(&store.Message{ID: fmt.Sprint("m", i), Account: "a1", In: []string{"f1"}, Thread: fmt.Sprint("t", i/2)}); err != nil {
				return err
			}
		}
		if _, err := tx.GiveUIDs("f1", 700); err != nil {
			return err
		}
		return errors.Join(
			tx.PutScope(&store.Scope{Account: "a1"}), tx.PutAbsence(store.Absence{Account: "a1", Message: "m1"}),
			tx.PutSubmission(&store.Submission{ID: "s1", Account: "a1", State: store.SubmissionScheduled, IdempotencyKey: "k", MessageID: "m", DraftID: "d"}),
			tx.PutSubmission(&store.Submission{ID: "s2", Account: "a1", State: store.SubmissionSent}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{10, 50_000} {
		if _, err := s.Blobs().Put(ctx, "a1", strings.NewReader(strings.Repeat("x", n)), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.DeleteAccount("a1") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // as if it had ended here
		t.Fatal(err)
	}
	s = open(t, Options{Path: dir, Keyring: key})
	<-s.swept
	kept := map[string]bool{"meta": true, "key": true}
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, name := range table.BucketNames() {
			if k, _ := tx.Bucket([]byte(name)).Cursor().First(); k != nil && !kept[name] {
				t.Errorf("bucket %s is not empty: %q", name, k)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, blobsDir, "0*"))
	if err != nil || len(left) > 0 {
		t.Errorf("blob folders left: %v, %v", left, err)
	}
}

func TestSettledDeliveriesWithoutOrderLeaveNoLane(t *testing.T) {
	s := open(t, Options{})
	err := s.Update(context.Background(), func(tx store.Tx) error {
		if err := tx.PutEndpoint(&store.Endpoint{ID: "e1"}); err != nil {
			return err
		}
		for i := range 10 {
			d := &store.Delivery{ID: fmt.Sprint("d", i), Lane: fmt.Sprint("d", i), Endpoint: "e1", Event: "e", Sequence: 5}
			if err := tx.Enqueue(d); err != nil {
				return err
			}
			d.State = store.DeliveryDelivered
			if err := tx.Settle(d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, name := range []string{"lane", "lane_item", "lane_due"} {
			if n := tx.Bucket([]byte(name)).Stats().KeyN; n != 0 {
				t.Errorf("%s holds %d rows", name, n)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSealedValuesAreBoundToTheirPlace(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	if err := s.Update(ctx, func(tx store.Tx) error { return errors.Join(put(tx, "a"), put(tx, "b")) }); err != nil {
		t.Fatal(err)
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("setting"))
		return b.Put([]byte("a"), b.Get([]byte("b")))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(ctx, func(tx store.Tx) error {
		_, err := tx.Setting("a")
		return err
	})
	if !errors.Is(err, seal.ErrDamaged) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a value that was moved: %v", err)
	}
}

// TestDamagedBodyIsTold: who delivers must be able to tell a body that will
// never be read from one that cannot be read now.
func TestDamagedBodyIsTold(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{})
	one, other := &store.Delivery{Event: "one", Position: 1, Rendition: "thin"}, &store.Delivery{Event: "other", Position: 2, Rendition: "thin"}
	if err := s.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.PutBody(one, []byte("one")), tx.PutBody(other, []byte("other")))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("owed_body"))
		first, _ := b.Cursor().First()
		_, last := b.Cursor().Last()
		return b.Put(first, last)
	}); err != nil {
		t.Fatal(err)
	}
	err := s.View(ctx, func(tx store.Tx) error {
		_, err := tx.Body(one)
		return err
	})
	if !errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a body that was moved: %v", err)
	}
}

func TestStats(t *testing.T) {
	s := open(t, Options{})
	st, err := s.Stats()
	if err != nil || st.FileSize == 0 {
		t.Errorf("stats %+v, %v", st, err)
	}
}
