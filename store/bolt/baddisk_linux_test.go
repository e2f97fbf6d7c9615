package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-mail/postern/store"
)

// ownDisk runs a test again in a mount namespace of its own, where it may
// mount a small disk without being anybody. It reports whether this is that
// run, with the disk's folder.
func ownDisk(t *testing.T, size string) (dir string, inside bool) {
	t.Helper()
	const env = "POSTERN_BADDISK_DIR"
	if dir := os.Getenv(env); dir != "" {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
			t.Fatalf("mount: %v", err)
		}
		return dir, true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err == nil:
	case !errors.As(err, &ended):
		t.Skipf("a disk of its own needs user namespaces: %v", err)
	case bytes.Contains(out, []byte("mount: ")):
		t.Skipf("a disk of its own cannot be mounted here: %s", out)
	default:
		t.Errorf("%v\n%s", err, out)
	}
	return "", false
}

// stuff fills the disk to the last byte.
func stuff(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 1<<20); len(b) > 0; {
		if _, err := f.Write(b); errors.Is(err, syscall.ENOSPC) {
			b = b[:len(b)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskLosesNothing fills a real disk: what is refused says why, what
// was stored is there, reading goes on, and with room it works again.
func TestFullDiskLosesNothing(t *testing.T) {
	disk, inside := ownDisk(t, "12m")
	if !inside {
		return
	}
	ctx, dir, key := context.Background(), filepath.Join(disk, "data"), ring(t, newKey(t))
	s := open(t, Options{Path: dir, Keyring: key})
	r := rand.New(rand.NewPCG(1, 1))
	var stored, blobs []string
	value := make([]byte, 30_000)
	update := func() error {
		name := fmt.Sprint("v", len(stored))
		fill(r, value)
		err := s.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(name, value) })
		if err == nil {
			stored = append(stored, name)
		}
		return err
	}
	put := func(n int) error {
		b := make([]byte, n)
		fill(r, b)
		ref, err := s.Blobs().Put(ctx, "a1", bytes.NewReader(b), true)
		if err == nil {
			blobs = append(blobs, ref.Digest)
		}
		return err
	}
	check := func(when string) {
		t.Helper()
		err := s.View(ctx, func(tx store.Tx) error {
			for _, name := range stored {
				if _, err := tx.Setting(name); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
		for _, d := range blobs {
			err = errors.Join(err, readBlob(s, "a1", d))
		}
		if err = errors.Join(err, checkPages(s)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.PutAccount(&store.Account{ID: "a1"}) }); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1000, 100_000} {
		if err := errors.Join(update(), put(n)); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(disk, "filler")
	for round := range 3 {
		stuff(t, filler)
		var err error
		for err == nil { // free pages and the rest of the last page may do for some
			err = update()
		}
		if !errors.Is(err, ErrFull) || errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "disk is full") {
			t.Fatalf("round %d: an update: %v", round, err)
		}
		for _, n := range []int{100_000, 5_000_000} {
			if err := put(n); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("round %d: a blob of %d bytes: %v", round, n, err)
			}
		}
		for err = nil; err == nil; {
			err = put(9_000)
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, ErrFull) {
			t.Errorf("round %d: a small blob: %v", round, err)
		}
		if left, err := os.ReadDir(filepath.Join(dir, blobsDir, "tmp")); err != nil || len(left) > 0 {
			t.Errorf("round %d: left behind: %v, %v", round, left, err)
		}
		check("while it is full")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(update(), put(9_000), put(100_000)); err != nil {
			t.Fatalf("round %d: with room again: %v", round, err)
		}
		check("with room again")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Path: dir, Keyring: key})
	check("opened again")
}

// TestFullDiskAtTheFirstStart: nothing is half made.
func TestFullDiskAtTheFirstStart(t *testing.T) {
	disk, inside := ownDisk(t, "2m")
	if !inside {
		return
	}
	dir, key := filepath.Join(disk, "data"), ring(t, newKey(t))
	filler := filepath.Join(disk, "filler")
	for _, room := range []int64{0, 4 << 10, 12 << 10, 20 << 10, 40 << 10, 100 << 10} {
		stuff(t, filler)
		info, err := os.Stat(filler)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filler, info.Size()-room); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Path: dir, Keyring: key, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = s.Close()
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with %d bytes: %v", room, err)
		}
		t.Logf("with %d bytes: %v", room, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Path: dir, Keyring: key})
}

func TestReadOnlyDiskIsRefused(t *testing.T) {
	disk, inside := ownDisk(t, "40m")
	if !inside {
		return
	}
	dir, key := filepath.Join(disk, "data"), ring(t, newKey(t))
	if err := open(t, Options{Path: dir, Keyring: key}).Close(); err != nil {
		t.Fatal(err)
	}
	mount := func(flags uintptr) {
		if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatalf("mount: %v", err)
		}
	}
	mount(syscall.MS_RDONLY)
	for _, folder := range []string{dir, filepath.Join(disk, "new")} {
		_, err := Open(Options{Path: folder, Keyring: key})
		if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v", folder, err)
		}
	}
	mount(0)
	open(t, Options{Path: dir, Keyring: key})
}

// TestFolderWithoutPermissionIsRefused is for everybody but root, whom no
// permission stops: who is root looks at it as nobody, in a run of its own.
func TestFolderWithoutPermissionIsRefused(t *testing.T) {
	const env = "POSTERN_BADDISK_NOBODY"
	if dir := os.Getenv(env); dir != "" || os.Getuid() != 0 {
		if dir == "" {
			dir = t.TempDir()
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(Options{Path: dir, Keyring: ring(t, newKey(t))})
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v", err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "postern-closed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	exe := filepath.Join(dir, "bolt.test")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "data")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(exe, b, 0o755), os.Mkdir(closed, 0o555)); err != nil { // #nosec G306
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$")
	cmd.Env, cmd.Dir = append(os.Environ(), env+"="+closed), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("not allowed to be somebody else: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
