// Command testrun runs all tests and ends with how many ran, passed and were
// skipped, each skip with its reason. It uses the race detector where cgo and
// a C compiler are there, and says which it was. It installs nothing.
//
// The packages that take longest begin first, so that the last to end is not one
// alone, and more run at a time than there are processors, since most wait for
// something now and then. What the race detector has nothing to see in runs
// without it, beside the rest (plan.go); `make race` runs everything with it. vet
// is left to `make lint`, which runs all of it.
//
// usage: testrun [-no-skip] [packages...]
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

func main() {
	noSkip := flag.Bool("no-skip", false, "fail when a test was skipped")
	flag.Parse()
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	os.Exit(run(packages, *noSkip))
}

// event is one line of `go test -json` (cmd/test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type key struct{ pkg, test string }

// ordered puts the slow packages first. The go command keeps the order.
func ordered(packages []string) []string {
	rank := func(pkg string) int {
		for i, s := range slow() {
			if strings.HasSuffix(pkg, "postern/"+s) {
				return i
			}
		}
		return len(slow())
	}
	return slices.SortedStableFunc(slices.Values(packages), func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
}

// list gives the packages that patterns stand for.
func list(patterns []string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list", "-e"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// tally is what has been seen.
type tally struct {
	mu             sync.Mutex
	w              io.Writer
	passed, failed int
	skips          []string
	output         map[key][]string
	failures       []key
}

func run(packages []string, noSkip bool) int {
	packages, err := list(packages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		return 1
	}
	race, why := raceable()
	fmt.Printf("race detector: %s\n", why)
	t := &tally{w: os.Stdout, output: map[key][]string{}}
	chains := plan(packages, race)
	errs := make([]error, len(chains))
	var group sync.WaitGroup
	for i, jobs := range chains {
		group.Go(func() {
			for _, j := range jobs {
				errs[i] = errors.Join(errs[i], t.test(j.args(), append(os.Environ(), j.env(race, os.Getenv("GORACE"))...)))
			}
		})
	}
	group.Wait()
	err = errors.Join(errs...)
	t.report()
	switch {
	case err != nil:
		fmt.Println(err)
		return 1
	case len(t.failures) > 0:
		return 1
	case noSkip && len(t.skips) > 0:
		fmt.Println("a test was skipped where none should be")
		return 1
	}
	return 0
}

// test runs the go command.
func (t *tally) test(args, env []string) error {
	cmd := exec.Command("go", args...)
	cmd.Env = env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	err = errors.Join(t.read(out), cmd.Wait())
	if stderr.Len() > 0 {
		t.print(stderr.String())
	}
	if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

func (t *tally) print(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprint(t.w, text)
}

// read takes the lines of `go test -json` until they end.
func (t *tally) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			t.print(lines.Text() + "\n")
			continue
		}
		t.add(e)
	}
	return lines.Err()
}

func (t *tally) add(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{e.Package, e.Test}
	if e.Package == "" {
		k.pkg = e.ImportPath // a build that failed has no test yet
	}
	switch e.Action {
	case "output", "build-output":
		t.output[k] = append(t.output[k], e.Output)
	case "pass":
		if e.Test != "" {
			t.passed++
			delete(t.output, k)
		} else {
			fmt.Fprintf(t.w, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
		}
	case "fail", "build-fail":
		t.failures = append(t.failures, k)
		if e.Test != "" {
			t.failed++
		} else {
			fmt.Fprintf(t.w, "FAIL  %s  %.1fs\n", k.pkg, e.Elapsed)
		}
	case "skip":
		if e.Test != "" {
			t.skips = append(t.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(t.output[k])))
		}
	}
}

// reason is what a skipped test said last.
func reason(lines []string) string {
	for _, l := range slices.Backward(lines) {
		l = strings.TrimSpace(l)
		if _, said, ok := strings.Cut(l, ".go:"); ok {
			if _, text, ok := strings.Cut(said, ": "); ok {
				return text
			}
		}
	}
	return "no reason given"
}

func (t *tally) report() {
	for _, k := range t.failures {
		fmt.Fprintf(t.w, "\n--- %s %s\n%s", k.pkg, k.test, strings.Join(t.output[k], ""))
	}
	for _, s := range t.skips {
		fmt.Fprintln(t.w, "skip:", s)
	}
	fmt.Fprintf(t.w, "%d tests run: %d passed, %d failed; %d skipped\n", t.passed+t.failed, t.passed, t.failed, len(t.skips))
}

// raceOptions adds to the race detector's options. Every program that it is in
// sleeps at its end for a second, unless told otherwise, so that what still runs
// may be found out. Tests start such programs by the hundred.
func raceOptions(have string) string {
	if strings.Contains(have, "atexit_sleep_ms") {
		return have
	}
	return strings.TrimSpace(have + " atexit_sleep_ms=50")
}

// raceable reports whether the race detector can be used here: it needs cgo
// and a C compiler.
func raceable() (bool, string) {
	cc := os.Getenv("CC")
	if cc == "" {
		out, err := exec.Command("go", "env", "CC").Output()
		if err != nil {
			return false, "off, go env does not answer"
		}
		cc = strings.TrimSpace(string(out))
	}
	if os.Getenv("CGO_ENABLED") == "0" {
		return false, "off, CGO_ENABLED=0"
	}
	if _, err := exec.LookPath(strings.Fields(cc + " cc")[0]); err != nil {
		return false, "off, there is no C compiler (" + cc + ")"
	}
	return true, "on (" + cc + ")"
}
