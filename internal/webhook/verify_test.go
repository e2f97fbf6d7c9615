package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
)

// annotation is a type annotation as the TypeScript sample uses them.
var annotation = regexp.MustCompile(`(\w|\)): (string|boolean|Buffer|Record<string, string>)`)

// typescript gives the command that runs the sample. A Node that does not
// strip types itself (before 22.18) is given the sample without them.
func typescript(t *testing.T, node string) []string {
	t.Helper()
	sample := filepath.Join("testdata", "verify", "verify.ts")
	var major, minor int
	out, err := exec.Command(node, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := fmt.Sscanf(string(out), "v%d.%d", &major, &minor); n != 2 {
		t.Fatalf("node --version says %q: %v", out, err)
	}
	if major > 22 || major == 22 && minor >= 18 {
		return []string{node, sample}
	}
	source, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "verify.mjs")
	if err := os.WriteFile(plain, annotation.ReplaceAll(source, []byte("$1")), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{node, plain}
}

// TestSamplesVerify runs the samples that the README shows on deliveries that
// really came: with one key, while a key is being rotated, and with everything
// that must be refused.
func TestSamplesVerify(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	e, old := h.create(Create{URL: sink.URL})
	h.journal(event.Event{Type: event.MessageCreated, Account: "a", Message: "m1", Snapshot: goldenSnapshot()})
	first := sink.next(t)
	_, secret, err := h.service.RotateSecret(context.Background(), e.ID, Rotate{})
	if err != nil {
		t.Fatal(err)
	}
	h.journal(updated("a"))
	second := sink.next(t)

	flat := func(r request) map[string]string {
		m := map[string]string{}
		for name, values := range r.header {
			m[strings.ToLower(name)] = strings.Join(values, ", ")
		}
		return m
	}
	with := func(r request, name, value string) map[string]string {
		m := maps.Clone(flat(r))
		m[name] = value
		return m
	}
	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	cases := []struct {
		name    string
		secret  string
		headers map[string]string
		body    []byte
		ok      bool
	}{
		{"one key", old, flat(first), first.body, true},
		{"the new key of two", secret, flat(second), second.body, true},
		{"the old key of two", old, flat(second), second.body, true},
		{"another key", secret, flat(first), first.body, false},
		{"another body", old, flat(first), append(bytes.Clone(first.body), ' '), false},
		{"another id", old, with(first, "webhook-id", "evt_other"), first.body, false},
		{"an old timestamp", old, with(first, "webhook-timestamp", past), first.body, false},
		{"an old Postern-Signature", old, with(first, "postern-signature", regexp.MustCompile(`t=\d+`).ReplaceAllString(first.header.Get(HeaderPostern), "t="+past)), first.body, false},
		{"a signature in other letters", old, with(first, "webhook-signature", "v1,"+strings.Repeat("é", 44)), first.body, false},
		{"a Postern-Signature in other letters", old, with(first, "postern-signature", regexp.MustCompile(`v1=.*`).ReplaceAllString(first.header.Get(HeaderPostern), "v1="+strings.Repeat("é", 64))), first.body, false},
		{"no signature", old, with(first, "webhook-signature", ""), first.body, false},
		{"no Postern-Signature", old, with(first, "postern-signature", ""), first.body, false},
	}
	for _, runtime := range []string{"go", "node", "python3"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(runtime)
			if err != nil {
				t.Skipf("%s is not installed", runtime)
			}
			var command []string
			switch runtime {
			case "go":
				program := filepath.Join(t.TempDir(), "verify")
				if out, err := exec.Command(path, "build", "-o", program, filepath.Join("testdata", "verify", "go", "main.go")).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				command = []string{program}
			case "node":
				command = typescript(t, path)
			case "python3":
				command = []string{path, filepath.Join("testdata", "verify", "verify.py")}
			}
			for _, tc := range cases {
				input, err := json.Marshal(map[string]any{"headers": tc.headers, "body": tc.body})
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(command[0], command[1:]...)
				cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+tc.secret)
				cmd.Stdin = bytes.NewReader(input)
				out, err := cmd.CombinedOutput()
				said := strings.TrimSpace(string(out))
				refused := cmd.ProcessState.ExitCode() == 1 && !strings.Contains(said, "Error") // not by falling over
				if tc.ok && (err != nil || said != "verified") || !tc.ok && !refused {
					t.Errorf("%s: exit code %d, %s", tc.name, cmd.ProcessState.ExitCode(), said)
				}
			}
		})
	}
}
