package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFindsWhatThereIs(t *testing.T) {
	all, err := find("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []target{{"./bridge/imapd", "FuzzConversation"}, {"./bridge/imapd/wire", "FuzzReader"}, {"./internal/mime", "FuzzParse"}} {
		if !slices.Contains(all, want) {
			t.Errorf("%v was not found", want)
		}
	}
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module example.org/x\n\ngo 1.26\n")
	write(t, filepath.Join(root, "a/a_test.go"), "package a\n\nimport \"testing\"\n\nfunc FuzzGood(f *testing.F) {\n\tf.Add(1)\n\tf.Fuzz(func(t *testing.T, n int) {})\n}\n")
	var out strings.Builder
	if err := run(root, &out, 10*time.Millisecond, ""); err != nil || !strings.Contains(out.String(), "ok    ./a FuzzGood") {
		t.Errorf("a good target: %v, %s", err, out.String())
	}
	write(t, filepath.Join(root, "b/b_test.go"), "package b\n\nimport \"testing\"\n\nfunc FuzzBad(f *testing.F) {\n\tf.Add(1)\n\tf.Fuzz(func(t *testing.T, n int) { t.Error(\"found\") })\n}\n")
	out.Reset()
	// A failure ends the run, so the bad one has all the time it needs.
	if err := run(root, &out, 20*time.Second, "FuzzBad"); err == nil || !strings.Contains(out.String(), "FAIL  ./b FuzzBad") || !strings.Contains(out.String(), "found") {
		t.Errorf("a bad target: %v, %s", err, out.String())
	}
	if err := run(root, &out, time.Second, "FuzzNone"); err == nil {
		t.Error("no target at all is a success")
	}
}

func TestRanOut(t *testing.T) {
	for text, want := range map[string]bool{
		"fuzz: elapsed: 15s, execs: 100\n--- FAIL: FuzzX (15.02s)\n    context deadline exceeded\nFAIL\n": true,
		// What the target itself says is found.
		"failure while testing seed corpus entry: FuzzX/seed#0\n--- FAIL: FuzzX (0.02s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: context deadline exceeded\nFAIL\n":                         false,
		"failure while testing seed corpus entry: FuzzX/2\n--- FAIL: FuzzX (0.02s)\n    context deadline exceeded\nFAIL\n":                                                                            false,
		"--- FAIL: FuzzX (0.02s)\n    x_test.go:7: prepare: context deadline exceeded\nFAIL\n":                                                                                                        false,
		"--- FAIL: FuzzX (15.02s)\n    context deadline exceeded\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:9: found\n    Failing input written to testdata/fuzz/FuzzX/582528ddfad69eb5\nFAIL\n": false,
		"panic: context deadline exceeded\n": false,
	} {
		if got := ranOut([]byte(text)); got != want {
			t.Errorf("%v for\n%s", got, text)
		}
	}
}
