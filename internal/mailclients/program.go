package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// program runs a command in a home of its own and gives all that it printed.
func program(ctx context.Context, home string, stdin []byte, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = home, environment(home), bytes.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(string(out), 2000))
	}
	return string(out), err
}

// environment is ours with another home.
func environment(home string, more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "HOME=") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "POSTERN_")
	})
	return append(env, append([]string{"HOME=" + home, "TERM=xterm", "LC_ALL=C.UTF-8"}, more...)...)
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// write makes a file in a program's home.
func write(home, name, text string) error {
	return os.WriteFile(filepath.Join(home, name), []byte(text), 0o600)
}

// maildir gives the files of the messages in a maildir, sorted by name.
func maildir(dir string) ([]string, error) {
	var files []string
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			files = append(files, filepath.Join(dir, sub, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// tree gives every file below dir with its content's digest, to see whether
// anything was transferred.
func tree(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !(strings.HasSuffix(filepath.Dir(path), "cur") || strings.HasSuffix(filepath.Dir(path), "new")) {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = digest(b)
		return err
	})
	return out, err
}

// wireDigests gives the digests of files as they went over the wire, as far as
// the program keeps that: without what change takes off.
func wireDigests(files []string, change, kept func([]byte) []byte) ([]string, error) {
	out := make([]string, len(files))
	for i, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if change != nil {
			b = change(b)
		}
		out[i] = digest(kept(b))
	}
	slices.Sort(out)
	return out, nil
}

// wireLines ends lines by CRLF, and has no other CR: programs that keep lines with
// LF ends drop those.
func wireLines(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\n"), []byte("\r\n"))
}

// equalDigests compares two sorted lists of digests.
func equalDigests(got, want []string) error {
	missing, extra := 0, 0
	for _, d := range want {
		if _, ok := slices.BinarySearch(got, d); !ok {
			missing++
		}
	}
	for _, d := range got {
		if _, ok := slices.BinarySearch(want, d); !ok {
			extra++
		}
	}
	if missing+extra > 0 || len(got) != len(want) {
		return fmt.Errorf("%d messages, the provider has %d: %d of its are missing, %d are none of its", len(got), len(want), missing, extra)
	}
	if len(want) == 0 {
		return fmt.Errorf("no message at all")
	}
	return nil
}
