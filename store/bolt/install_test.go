package bolt

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// TestARestoreThatWasCutOffIsFinished stops between any two of the moves that
// put a restored store in its place: whoever opens it finds the restored one,
// whole, and the one of before aside.
func TestARestoreThatWasCutOffIsFinished(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	made := func(says string) string {
		dir := t.TempDir()
		s := open(t, Options{Path: dir, Keyring: ring(t, key)})
		err := s.Update(ctx, func(tx store.Tx) error {
			return errors.Join(tx.PutAccount(&store.Account{ID: "a1"}), tx.PutSetting("says", []byte(says)))
		})
		for _, n := range []int{10, 50_000} {
			_, putErr := s.Blobs().Put(ctx, "a1", bytes.NewReader(bytes.Repeat([]byte(says), n)), true)
			err = errors.Join(err, putErr)
		}
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	says := func(dir, want string) {
		t.Helper()
		s := open(t, Options{Path: dir, Keyring: ring(t, key)})
		err := s.View(ctx, func(tx store.Tx) error {
			got, err := tx.Setting("says")
			if string(got) != want {
				t.Errorf("%s says %q, want %q", filepath.Base(dir), got, want)
			}
			return err
		})
		r, verifyErr := s.Verify(ctx, true)
		if err = errors.Join(err, verifyErr, s.Close()); err != nil || len(r.Problems) > 0 || r.Blobs != 2 {
			t.Errorf("%s: %v, %+v", filepath.Base(dir), err, r)
		}
	}
	const stamp = "20260301T120000.000Z"
	for cut := range 6 {
		path := made("old")
		if err := os.WriteFile(filepath.Join(path, fileName+".format1"), []byte("a copy"), 0o600); err != nil {
			t.Fatal(err)
		}
		ready, aside := filepath.Join(path, readyDir+stamp), filepath.Join(path, asideDir+stamp)
		moves := [][2]string{
			{made("restored"), ready},
			{filepath.Join(path, fileName+".format1"), filepath.Join(aside, fileName+".format1")},
			{filepath.Join(path, blobsDir), filepath.Join(aside, blobsDir)},
			{filepath.Join(ready, blobsDir), filepath.Join(path, blobsDir)},
			{filepath.Join(path, fileName), filepath.Join(aside, fileName)},
			{filepath.Join(ready, fileName), filepath.Join(path, fileName)},
		}
		for _, m := range moves[:cut+1] {
			if err := errors.Join(os.MkdirAll(filepath.Dir(m[1]), 0o700), os.Rename(m[0], m[1])); err != nil {
				t.Fatal(err)
			}
		}
		says(path, "restored")
		says(aside, "old")
		if _, err := os.Stat(filepath.Join(aside, fileName+".format1")); err != nil {
			t.Errorf("cut after %d: the copy of before: %v", cut, err)
		}
		if left, err := filepath.Glob(filepath.Join(path, "restore.*")); err != nil || len(left) > 0 {
			t.Errorf("cut after %d: %v is left, %v", cut, left, err)
		}
	}
}

// TestARestoreThatWasKilledEarlierIsForgotten: what it had unpacked goes, and
// what was there stays.
func TestARestoreThatWasKilledEarlierIsForgotten(t *testing.T) {
	ctx, key, dir := context.Background(), newKey(t), t.TempDir()
	part := filepath.Join(dir, partDir)
	if err := errors.Join(os.Mkdir(part, 0o700), os.WriteFile(filepath.Join(part, fileName), []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Path: t.TempDir(), Keyring: ring(t, key)})
	var backup bytes.Buffer
	if _, err := s.Backup(ctx, &backup, false); err != nil {
		t.Fatal(err)
	}
	opts := Options{Path: dir, Keyring: ring(t, key), Now: func() time.Time { return time.Unix(1, 0) }}
	_, err := Restore(ctx, opts, &backup, false, func(context.Context, *Store) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{blobsDir, fileName, lockName}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the folder has %v, want %v; %v", names, want, err)
	}
}

// restorable makes a backup of a store with a setting.
func restorable(t *testing.T, key seal.MasterKey, says string) *bytes.Buffer {
	t.Helper()
	s := open(t, Options{Path: t.TempDir(), Keyring: ring(t, key)})
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.PutSetting("says", []byte(says)) }); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(context.Background(), &backup, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return &backup
}

func saying(t *testing.T, s *Store) (got string) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		b, err := tx.Setting("says")
		got = string(b)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return got
}

// TestAGatewayThatStartsDuringARestoreIsRefused, in a folder that was empty as
// in one that was not: what it would open is about to be moved aside.
func TestAGatewayThatStartsDuringARestoreIsRefused(t *testing.T) {
	ctx, key := context.Background(), newKey(t)
	for _, full := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "data")
		if full {
			if err := open(t, Options{Path: dir, Keyring: ring(t, key)}).Close(); err != nil {
				t.Fatal(err)
			}
		}
		var during error
		_, err := Restore(ctx, Options{Path: dir, Keyring: ring(t, key)}, restorable(t, key, "restored"), full, func(context.Context, *Store) error {
			s, err := Open(Options{Path: dir, Keyring: ring(t, key)})
			if err == nil {
				_ = s.Close()
			}
			during = err
			return nil
		})
		var use *InUseError
		if err != nil || !errors.As(during, &use) || use.PID != os.Getpid() {
			t.Errorf("full %v: restore: %v; a gateway meanwhile: %v", full, err, during)
		}
		if got := saying(t, open(t, Options{Path: dir, Keyring: ring(t, key)})); got != "restored" {
			t.Errorf("full %v: the folder says %q", full, got)
		}
	}
}

// TestAGatewayThatWaitsForARestoreOpensWhatItRestored: it was started before
// the old database was moved aside, and gets the folder after.
func TestAGatewayThatWaitsForARestoreOpensWhatItRestored(t *testing.T) {
	ctx, key, dir := context.Background(), newKey(t), t.TempDir()
	s := open(t, Options{Path: dir, Keyring: ring(t, key)})
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.PutSetting("says", []byte("old")) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	type opened struct {
		s   *Store
		err error
	}
	started, got := make(chan struct{}), make(chan opened, 1)
	_, err := Restore(ctx, Options{Path: dir, Keyring: ring(t, key)}, restorable(t, key, "restored"), true, func(context.Context, *Store) error {
		go func() {
			close(started)
			s, err := Open(Options{Path: dir, Keyring: ring(t, key), Log: slog.New(slog.DiscardHandler)})
			got <- opened{s, err}
		}()
		<-started
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o := <-got
	var use *InUseError
	if errors.As(o.err, &use) {
		return // it waited in vain, which is as good
	}
	if o.err != nil {
		t.Fatal(o.err)
	}
	if says := saying(t, o.s); says != "restored" {
		t.Errorf("it works on what was moved aside: %q", says)
	}
	if err := o.s.Close(); err != nil {
		t.Error(err)
	}
}

// TestARestoreOverOneThatWasKilledStands: what the first had made ready is not
// put in the place of the second by whoever opens the store next.
func TestARestoreOverOneThatWasKilledStands(t *testing.T) {
	ctx, key, dir := context.Background(), newKey(t), t.TempDir()
	opts := Options{Path: dir, Keyring: ring(t, key)}
	none := func(context.Context, *Store) error { return nil }
	if _, err := Restore(ctx, opts, restorable(t, key, "first"), false, none); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, readyDir+"20260301T120000.000Z")
	if err := os.Mkdir(ready, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{blobsDir, fileName} { // as if it had been killed just before
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(ready, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Restore(ctx, opts, restorable(t, key, "second"), true, none); err != nil {
		t.Fatal(err)
	}
	if got := saying(t, open(t, opts)); got != "second" {
		t.Errorf("the store says %q", got)
	}
}
