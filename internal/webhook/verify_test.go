package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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

// typescript gives the command that runs a sample. A Node that does not strip
// types itself (before 22.18) is given the sample without them.
func typescript(t *testing.T, node, name string) []string {
	t.Helper()
	sample := filepath.Join("testdata", "verify", name)
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

	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	cases := []verifyCase{
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
	verifyAll(t, "WEBHOOK_SECRET", cases, map[string]string{"go": "go", "node": "verify.ts", "python3": "verify.py"})
}

// verifyCase is a delivery that a sample is given, with the key that it knows.
type verifyCase struct {
	name    string
	key     string
	headers map[string]string
	body    []byte
	ok      bool
}

// verifyAll gives the samples of several runtimes each case, with the key in a
// variable of their environment.
func verifyAll(t *testing.T, variable string, cases []verifyCase, samples map[string]string) {
	for runtime, sample := range samples {
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
				if out, err := exec.Command(path, "build", "-o", program, filepath.Join("testdata", "verify", sample, "main.go")).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				command = []string{program}
			case "node":
				command = typescript(t, path, sample)
			default:
				command = []string{path, filepath.Join("testdata", "verify", sample)}
			}
			for _, tc := range cases {
				input, err := json.Marshal(map[string]any{"headers": tc.headers, "body": tc.body})
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(command[0], command[1:]...)
				cmd.Env = append(os.Environ(), variable+"="+tc.key)
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

// flat gives a request's headers as the samples take them.
func flat(r request) map[string]string {
	m := map[string]string{}
	for name, values := range r.header {
		m[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return m
}

// with is flat with one header changed.
func with(r request, name, value string) map[string]string {
	m := flat(r)
	m[name] = value
	return m
}

// TestEd25519SamplesVerify runs the samples that the README shows for v1a: with
// one key, while it is being rotated, beside HMAC, and with everything that must
// be refused.
func TestEd25519SamplesVerify(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	ctx := context.Background()
	e, _ := h.create(Create{URL: sink.URL, Signature: SignatureEd25519})
	old := e.Keys[0].Public
	h.journal(event.Event{Type: event.MessageCreated, Account: "a", Message: "m1", Snapshot: goldenSnapshot()})
	first := sink.next(t)
	e, _, err := h.service.RotateSecret(ctx, e.ID, Rotate{})
	if err != nil {
		t.Fatal(err)
	}
	public := ""
	for _, k := range e.Keys {
		if k.Public != old {
			public = k.Public
		}
	}
	h.journal(updated("a"))
	second := sink.next(t)
	_, secret, err := h.service.RotateSecret(ctx, e.ID, Rotate{Signature: SignatureHMAC})
	if err != nil {
		t.Fatal(err)
	}
	h.journal(updated("a"))
	third := sink.next(t)

	signature := func(r request) string { return r.header.Get("webhook-signature") }
	past := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	verifyAll(t, "WEBHOOK_PUBLIC_KEY", []verifyCase{
		{"one key", old, flat(first), first.body, true},
		{"the new key of two", public, flat(second), second.body, true},
		{"the old key of two", old, flat(second), second.body, true},
		{"beside HMAC", public, flat(third), third.body, true},
		{"another key", public, flat(first), first.body, false},
		{"another body", old, flat(first), append(bytes.Clone(first.body), ' '), false},
		{"another id", old, with(first, "webhook-id", "evt_other"), first.body, false},
		{"an old timestamp", old, with(first, "webhook-timestamp", past), first.body, false},
		{"no timestamp", old, with(first, "webhook-timestamp", ""), first.body, false},
		{"no signature", old, with(first, "webhook-signature", ""), first.body, false},
		{"a short signature", old, with(first, "webhook-signature", "v1a,AAAA"), first.body, false},
		{"a signature in other letters", old, with(first, "webhook-signature", "v1a,"+strings.Repeat("\u00e9", 88)), first.body, false},
		{"the signature as one of HMAC", old, with(first, "webhook-signature", strings.ReplaceAll(signature(first), "v1a,", "v1,")), first.body, false},
	}, map[string]string{"go": "go-ed25519", "node": "verify-ed25519.ts"})
	if !strings.Contains(signature(third), "v1,") || secret == "" {
		t.Errorf("no HMAC beside it: %s", signature(third))
	}
}
