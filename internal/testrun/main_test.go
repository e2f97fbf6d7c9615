package main

import (
	"slices"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	var out strings.Builder
	got := &tally{w: &out, output: map[key][]string{}}
	err := got.read(strings.NewReader(`{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: hello\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"=== RUN   TestC\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: the runtime is not here\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"skip","Package":"without tests"}
{"Action":"fail","Package":"p","Elapsed":1.5}
{"Action":"pass","Package":"q","Elapsed":0.5}
{"ImportPath":"broken [p.test]","Action":"build-output","Output":"x.go:1: syntax error\n"}
{"ImportPath":"broken [p.test]","Action":"build-fail"}
no JSON at all
`))
	if err != nil {
		t.Fatal(err)
	}
	got.report()
	for _, want := range []string{
		"FAIL  p  1.5s\n", "ok    q  0.5s\n", "no JSON at all\n",
		"--- p TestB\n    b_test.go:7: wrong\n",
		"--- broken [p.test] \nx.go:1: syntax error\n",
		"skip: p TestC: the runtime is not here\n",
		"2 tests run: 1 passed, 1 failed; 1 skipped\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "hello") {
		t.Error("a passed test is told at length")
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestReason(t *testing.T) {
	for want, lines := range map[string][]string{
		"no python3":      {"=== RUN   TestX\n", "    x_test.go:12: no python3\n", "--- SKIP: TestX (0.00s)\n"},
		"no reason given": {"--- SKIP: TestX (0.00s)\n"},
	} {
		if got := reason(lines); got != want {
			t.Errorf("reason of %q is %q, want %q", lines, got, want)
		}
	}
}

func TestOrdered(t *testing.T) {
	const m = "github.com/postern-mail/postern/"
	got := ordered([]string{m + "cmd/postern", m + "graph/scalar", m + "internal/e2e", m + "store", m + "store/bolt"})
	want := []string{m + "internal/e2e", m + "store/bolt", m + "cmd/postern", m + "graph/scalar", m + "store"}
	if !slices.Equal(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
}

func TestRaceOptions(t *testing.T) {
	for have, want := range map[string]string{
		"": "atexit_sleep_ms=50", "halt_on_error=1": "halt_on_error=1 atexit_sleep_ms=50", "atexit_sleep_ms=9": "atexit_sleep_ms=9",
	} {
		if got := raceOptions(have); got != want {
			t.Errorf("options %q become %q, want %q", have, got, want)
		}
	}
}
