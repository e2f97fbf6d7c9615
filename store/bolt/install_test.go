package bolt

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
	if want := []string{blobsDir, fileName}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the folder has %v, want %v; %v", names, want, err)
	}
}

// TestAGatewayThatStartsDuringARestoreKeepsItsData, though the folder was empty
// when the restore began.
func TestAGatewayThatStartsDuringARestoreKeepsItsData(t *testing.T) {
	ctx, key, dir := context.Background(), newKey(t), filepath.Join(t.TempDir(), "data")
	s := open(t, Options{Path: t.TempDir(), Keyring: ring(t, key)})
	var backup bytes.Buffer
	if _, err := s.Backup(ctx, &backup, false); err != nil {
		t.Fatal(err)
	}
	_, err := Restore(ctx, Options{Path: dir, Keyring: ring(t, key)}, &backup, false, func(context.Context, *Store) error {
		return open(t, Options{Path: dir, Keyring: ring(t, key)}).Close()
	})
	var full *NotEmptyError
	if !errors.As(err, &full) {
		t.Errorf("restored over it: %v", err)
	}
}
