// Command fuzzrun runs every fuzz target of the module, one after the other, each
// for a while, and ends with a table. It finds them in the test files, so that a
// new one is run without being listed anywhere. Inputs that fail are left by the
// go command in the package's testdata/fuzz.
//
// usage: fuzzrun [-time 5m] [-only REGEXP]
package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	each := flag.Duration("time", 5*time.Minute, "how long each target runs")
	only := flag.String("only", "", "run the targets alone whose package and name match")
	flag.Parse()
	if err := run(".", os.Stdout, *each, *only); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzrun:", err)
		os.Exit(1)
	}
}

// target is one fuzz target.
type target struct{ pkg, name string }

func (t target) String() string { return t.pkg + " " + t.name }

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(\w+ \*testing\.F\)`)

// find gives all targets below root, in order.
func find(root string) ([]target, error) {
	var all []target
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			// A folder with a go.mod of its own is another module.
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (err == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllSubmatch(b, -1) {
			all = append(all, target{"./" + filepath.ToSlash(rel), string(m[1])})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b target) int {
		return cmp.Or(strings.Compare(a.pkg, b.pkg), strings.Compare(a.name, b.name))
	})
	return all, err
}

func run(root string, out io.Writer, each time.Duration, only string) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	all, err := find(root)
	if err != nil {
		return fmt.Errorf("find targets: %w", err)
	}
	all = slices.DeleteFunc(all, func(t target) bool { return !match.MatchString(t.String()) })
	if len(all) == 0 {
		return fmt.Errorf("no fuzz target matches %q", only)
	}
	fmt.Fprintf(out, "%d targets, %s each\n", len(all), each)
	var failed []target
	for _, t := range all {
		text, err := fuzz(root, t, each)
		if err != nil {
			failed = append(failed, t)
			fmt.Fprintf(out, "FAIL  %s\n%s\n", t, text)
			continue
		}
		fmt.Fprintf(out, "ok    %-60s %s\n", t, executed(text))
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d targets failed: %v", len(failed), len(all), failed)
	}
	return nil
}

func fuzz(root string, t target, each time.Duration) ([]byte, error) {
	// Left to itself the engine makes every input small that is new to it, for up
	// to a minute each, and tries no other meanwhile.
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", each.String(), "-fuzzminimizetime", "20x", "-timeout", "0", t.pkg)
	cmd.Dir = root
	text, err := cmd.CombinedOutput()
	if err != nil && ranOut(text) {
		err = nil
	}
	return text, err
}

var timeUp = regexp.MustCompile(`(?m)^\s*context deadline exceeded$`)

// ranOut reports a run that the go command calls failed because its time was up
// while an input was being tried (go.dev/issue/75804): nothing was found. It says
// so in a line of its own.
func ranOut(text []byte) bool {
	for _, found := range []string{"Failing input written to", "while testing seed corpus entry", "panic:"} {
		if bytes.Contains(text, []byte(found)) {
			return false
		}
	}
	return timeUp.Match(text)
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// executed says how many inputs were tried.
func executed(text []byte) string {
	all := execs.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	return string(all[len(all)-1][1]) + " inputs"
}
