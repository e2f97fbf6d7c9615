package powercut

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childEnv names the folder that a run of this test's binary as the program
// works in.
const childEnv = "POSTERN_POWERCUT_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := program(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program does each thing with a sync and without one.
func program(dir string) error {
	syncDir := func(name string) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		return f.Sync()
	}
	put := func(name string, b []byte, sync bool) error {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		half := len(b) / 2
		if _, err := f.Write(b[:half]); err != nil {
			return err
		}
		if _, err := f.WriteAt(b[half:], int64(half)); err != nil || !sync {
			return err
		}
		return f.Sync()
	}
	steps := []struct {
		ack string
		do  func() error
	}{
		{"old", func() error { return put("old", []byte("changed"), false) }},
		{"safe", func() error {
			if err := put("safe.tmp", pattern('s'), true); err != nil {
				return err
			}
			if err := os.Rename(filepath.Join(dir, "safe.tmp"), filepath.Join(dir, "safe")); err != nil {
				return err
			}
			return syncDir(dir)
		}},
		{"bytes", func() error { // whose bytes are not synced
			if err := put("bytes", pattern('b'), false); err != nil {
				return err
			}
			return syncDir(dir)
		}},
		{"name", func() error { return put("name", pattern('n'), true) }}, // whose name is not
		{"deep", func() error { // whose folder's name is not
			sub := filepath.Join(dir, "sub")
			if err := os.Mkdir(sub, 0o700); err != nil {
				return err
			}
			if err := put("sub/deep", pattern('d'), true); err != nil {
				return err
			}
			return syncDir(sub)
		}},
		{"copy", func() error { // by the kernel's own copying, which names one file in two ways
			in, err := os.Open(filepath.Join(dir, "safe"))
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			out, err := os.OpenFile(filepath.Join(dir, "copy"), os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			defer func() { _ = out.Close() }()
			if _, err := io.Copy(out, in); err != nil {
				return err
			}
			if err := os.Link(filepath.Join(dir, "copy"), filepath.Join(dir, "twice")); err != nil {
				return err
			}
			return errors.Join(out.Sync(), syncDir(dir))
		}},
		{"gone", func() error { return os.Remove(filepath.Join(dir, "old")) }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.ack, err)
		}
		fmt.Println(s.ack)
	}
	return nil
}

func pattern(b byte) []byte { return bytes.Repeat([]byte{b}, 3*sector+100) }

func record(t *testing.T) *Trace {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	trace, err := Record(cmd, dir)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("recording what a program does to its files needs ptrace as Linux has it")
	}
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

// TestWhatACutLeaves makes many images and looks for what must never be, and
// for what must happen now and then: a model that loses nothing shows nothing.
func TestWhatACutLeaves(t *testing.T) {
	trace := record(t)
	if got := strings.Join(trace.Acks(), " "); got != "old safe bytes name deep copy gone" {
		t.Fatalf("acknowledged %q", got)
	}
	met := map[string]int{}
	r := rand.New(rand.NewPCG(1, 2))
	var points []int
	for p := range trace.Len() + 1 {
		for range 20 {
			points = append(points, p)
		}
	}
	images := 0
	err := trace.Cuts(points, r, func(point int, acks []string, image *Image) error {
		images++
		dir := filepath.Join(t.TempDir(), fmt.Sprint(images))
		if err := image.WriteTo(dir); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		acked := strings.Join(acks, " ")
		read := func(name string) (string, bool) {
			b, err := os.ReadFile(filepath.Join(dir, name))
			return string(b), err == nil
		}
		if got, ok := read("safe"); strings.Contains(acked, "safe") && (!ok || got != string(pattern('s'))) {
			t.Errorf("at %d: what was synced is lost", point)
		}
		if got, ok := read("safe"); ok && got != string(pattern('s')) {
			t.Errorf("at %d: a file was renamed before its bytes were there", point)
		}
		for _, name := range []string{"copy", "twice"} {
			if got, ok := read(name); strings.Contains(acked, "copy") && (!ok || got != string(pattern('s'))) {
				t.Errorf("at %d: what was copied and synced is lost", point)
			}
		}
		if got, ok := read("old"); ok && got != "old" && got != "changed" {
			met["old torn"]++
		} else if !ok {
			met["old gone"]++
			if !strings.Contains(acked, "copy") {
				t.Errorf("at %d: removed before it was removed", point)
			}
		}
		if strings.HasSuffix(acked, "deep") {
			for _, name := range []string{"bytes", "name", "sub/deep"} {
				switch got, ok := read(name); {
				case !ok:
					met[name+" lost"]++
				case len(got) < len(pattern('x')):
					met[name+" short"]++
				case strings.Trim(got, string(got[0])) != "":
					met[name+" torn"]++
				case got[0] == 0:
					met[name+" empty"]++
				default:
					met[name+" whole"]++
				}
			}
		}
		if _, ok := read("old"); ok && strings.HasSuffix(acked, "gone") {
			met["old back"]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"old torn", "old gone", "old back", "bytes short", "bytes torn", "bytes whole", "name lost", "name whole", "sub/deep lost", "sub/deep whole"} {
		if met[want] == 0 {
			t.Errorf("%q was never met in %d images", want, images)
		}
	}
	for _, never := range []string{"bytes lost", "name short", "name torn", "sub/deep short", "sub/deep torn"} {
		if met[never] > 0 {
			t.Errorf("%q was met %d times", never, met[never])
		}
	}
}

func TestTheSameNumbersGiveTheSameImages(t *testing.T) {
	trace := record(t)
	images := func() (out []string) {
		points := []int{trace.Len() / 3, trace.Len() / 2, trace.Len()}
		err := trace.Cuts(points, rand.New(rand.NewPCG(7, 7)), func(point int, _ []string, image *Image) error {
			var b strings.Builder
			for name, c := range image.files {
				if name == "bytes" {
					fmt.Fprint(&b, c.size, len(c.sectors))
				}
			}
			out = append(out, fmt.Sprint(point, len(image.files), b.String()))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := images(), images(); strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("%q, then %q", a, b)
	}
}

func TestAProgramThatFailsIsTold(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+filepath.Join(t.TempDir(), "missing"))
	if _, err := Record(cmd, t.TempDir()); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("recording what a program does to its files needs ptrace as Linux has it")
	} else if err == nil || !strings.Contains(err.Error(), "ended with status") {
		t.Errorf("recorded: %v", err)
	}
}
