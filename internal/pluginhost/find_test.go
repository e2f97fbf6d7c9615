//go:build unix

package pluginhost

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// plant makes a folder of everything that somebody might put there.
func plant(t *testing.T) (dir, outside string) {
	t.Helper()
	dir, outside = t.TempDir(), t.TempDir()
	write := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // past the umask
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, Prefix+name)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, Prefix+"good"), 0o755)
	write(filepath.Join(dir, Prefix+"plain"), 0o644)
	write(filepath.Join(dir, Prefix+"open"), 0o777)
	write(filepath.Join(dir, Prefix+"Upper"), 0o755)
	write(filepath.Join(dir, Prefix+"dot.exe"), 0o755)
	write(filepath.Join(dir, Prefix), 0o755)
	write(filepath.Join(dir, "postern"), 0o755)
	write(filepath.Join(outside, Prefix+"evil"), 0o755)
	if err := os.Mkdir(filepath.Join(dir, Prefix+"folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, Prefix+"fifo"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(Prefix+"good", "alias")
	link(filepath.Join(outside, Prefix+"evil"), "evil")
	link("../"+filepath.Base(outside)+"/"+Prefix+"evil", "sneaky")
	link(Prefix+"nowhere", "dangling")
	return dir, outside
}

func TestFind(t *testing.T) {
	dir, outside := plant(t)
	found, err := Find([]string{dir, filepath.Join(dir, "absent"), outside})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, b := range found {
		got[b.Name] = "ok"
		if b.Refused != nil {
			got[b.Name] = b.Refused.Error()
		}
		if b.Name == "alias" && filepath.Base(b.Path) != Prefix+"good" {
			t.Errorf("the alias is %s", b.Path)
		}
	}
	form := "the name is not of the form postern-provider-[a-z0-9-]+"
	want := map[string]string{
		"good": "ok", "alias": "ok",
		"plain": "is not executable", "open": "may be written by everybody",
		"folder": "is no regular file", "fifo": "is no regular file",
		"evil": "is a link that leads out of its folder", "sneaky": "is a link that leads out of its folder",
		"dangling": "lstat " + filepath.Join(dir, Prefix+"nowhere") + ": no such file or directory",
		"Upper":    form, "dot.exe": form, "": form,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLookup(t *testing.T) {
	dir, outside := plant(t)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := Lookup([]string{filepath.Join(dir, "absent"), dir}, "good")
	if err != nil || filepath.Base(b.Path) != Prefix+"good" {
		t.Errorf("good: %+v, %v", b, err)
	}
	names := []string{
		"plain", "open", "folder", "fifo", "sneaky", "absent", "dangling",
		"", ".", "..", "../good", "sub/../good", "good/", "/bin/sh", "good\x00", "-good", "Good", "góod", "good ", strings.Repeat("a", 64),
	}
	for _, name := range names {
		if b, err := Lookup([]string{dir}, name); mail.KindOf(err) != mail.KindMisconfigured {
			t.Errorf("%q: %+v, %v", name, b, err)
		}
	}
	// What the first folder refuses is not looked for in the next.
	if _, err := Lookup([]string{dir, outside}, "evil"); mail.KindOf(err) != mail.KindMisconfigured {
		t.Errorf("evil: %v", err)
	}
	if b, err := Lookup([]string{outside, dir}, "evil"); err != nil {
		t.Errorf("evil in its own folder: %+v, %v", b, err)
	}
}

func TestDefaultDirs(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		t.Fatal(err)
	}
	got, err := DefaultDirs("/opt/plugins")
	if diff := cmp.Diff([]string{filepath.Dir(self), "/opt/plugins"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
