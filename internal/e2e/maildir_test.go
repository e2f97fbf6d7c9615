package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sample is the provider in Python and a Maildir for it.
type sample struct {
	t       *testing.T
	source  string // its folder in the repository
	plugins string // where it is installed
	maildir string
}

const sampleReader = "reader@example.org"

// newSample installs the plugin as its README says and makes a Maildir. It
// skips where the system's Python lacks what the plugin needs.
func newSample(t *testing.T) *sample {
	t.Helper()
	if out, err := exec.Command("/usr/bin/python3", "-c", "import cryptography, google.protobuf, grpc").CombinedOutput(); err != nil {
		t.Skipf("the system's Python cannot run the plugin (python3-grpcio, python3-protobuf, python3-cryptography): %v %s", err, bytes.TrimSpace(out))
	}
	s := &sample{t: t, source: filepath.Join(root(), "plugins", "sdk", "examples", "maildir-python"), plugins: t.TempDir(), maildir: filepath.Join(t.TempDir(), "mail")}
	for _, name := range []string{"postern-provider-maildir", "postern_plugin.py", "maildir_verbs.py", "maildir_store.py", "../../provider/providerpb/provider.binpb"} {
		data, err := os.ReadFile(filepath.Join(s.source, name))
		if err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "postern-provider-") {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(s.plugins, filepath.Base(name)), data, mode); err != nil {
			t.Fatal(err)
		}
	}
	s.world("", "init")
	return s
}

// world does to the Maildir what other programs do.
func (s *sample) world(input string, args ...string) []byte {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.source, "world.py"), append([]string{s.maildir}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("world.py %q: %v\n%s", args, err, &stderr)
	}
	return out
}

// truth are the SHA-256 sums of all messages, by id.
func (s *sample) truth() map[string]string {
	s.t.Helper()
	var list []struct{ ID, SHA256 string }
	if err := json.Unmarshal(s.world("", "truth"), &list); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range list {
		out[m.ID] = m.SHA256
	}
	return out
}

var tested = regexp.MustCompile(`(?m)^(\d+) cases: (\d+) run, (\d+) passed, 0 failed, (\d+) skipped by missing capability, \d+ skipped else; (\d+) of (\d+) read cases run$`)

// TestPluginInPythonKeepsTheContract: the command that any plugin is tested by
// says what ran, and is not content where a read case cannot.
func TestPluginInPythonKeepsTheContract(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	test := func(world string) (string, error) {
		cmd := exec.Command(program("postern"), "plugins", "test", filepath.Join(s.plugins, "postern-provider-maildir"), "--world", world)
		cmd.Env = append(os.Environ(), "MAILDIR="+s.maildir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := test(filepath.Join(s.source, "world.yaml"))
	m := tested.FindStringSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("plugins test: %v\n%s", err, out)
	}
	var n []int
	for _, word := range m[1:] {
		v, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		n = append(n, v)
	}
	if ran, passed, incapable, reads, allReads := n[1], n[2], n[3], n[4], n[5]; ran != passed || incapable == 0 || reads != allReads || reads < 20 {
		t.Errorf("of the cases: %s", m[0])
	}
	// What a reader needs beyond the least is kept, too.
	for _, name := range []string{"changes/keywords", "changes/expired", "fetch/exact", "connect/finish"} {
		if !strings.Contains(out, "pass  "+name) {
			t.Errorf("%s did not pass", name)
		}
	}

	yaml, err := os.ReadFile(filepath.Join(s.source, "world.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	blind, _, ok := strings.Cut(string(yaml), "deliver:")
	if !ok {
		t.Fatal("world.yaml delivers nothing")
	}
	less := filepath.Join(t.TempDir(), "world.yaml")
	if err := os.WriteFile(less, []byte(blind), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = test(less)
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || !strings.Contains(out, "read cases were skipped: ") || !strings.Contains(out, "fetch/raw") {
		t.Errorf("in a world that can only connect: %v\n%s", err, out)
	}
}

// TestPluginInPython: under a gateway the provider in another language is a
// provider like any.
func TestPluginInPython(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for n := range 12 {
		s.world(letter(sampleReader, fmt.Sprintf("kept %d", n)), "deliver", []string{"INBOX", "Work", "Work.Big"}[n%3])
	}
	for _, odd := range []string{
		"Subject: lines that end as Unix ends them\nFrom: a@example.org\n\nno carriage return\n",
		"Subject: \xe9\xe8 not declared\r\nFrom: \xff <x@example.org>\r\nDate: yesterday\r\n\r\n\xfe\x00\r\n",
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nnever closed",
		"no header at all",
		"Subject: long\r\n\r\n" + strings.Repeat("0123456789abcdef", 40_000),
	} {
		s.world(odd, "deliver", "INBOX")
	}
	d := alone(t, s.plugins, settings{"maildir": settings{"plugin": "maildir", "settings": settings{"path": s.maildir, "address": sampleReader}}})
	r := d.receive(nil)
	_, secret := d.endpoint(map[string]any{"url": r.URL})

	// There is nobody to ask: the browser comes straight back.
	_, at, page := d.visit(d.plainBrowser(returnURL), d.link(map[string]any{"provider": "maildir", "expectedAddress": sampleReader}), nil)
	if !strings.HasPrefix(at.String(), returnURL) || at.Query().Get("status") != "connected" {
		t.Fatalf("the browser is at %s\n%s", at.Redacted(), page)
	}
	account := at.Query().Get("account")
	d.eventually("the Maildir is in step", func() bool { return d.state(account) == "READY" })
	s.compare(d, account)

	// What happens in the folder is told as it happens.
	has := func(what string, want func(*hook) bool) {
		t.Helper()
		if h := r.wait(what, 1, want); !h.verified(t, secret) {
			t.Errorf("%s: not verified: %s", what, h.Raw)
		}
	}
	s.world(letter(sampleReader, "it arrives"), "deliver", "INBOX")
	has("a new file", func(h *hook) bool {
		return h.Body.Type == "message.created" && h.Body.Data.Envelope.Subject == "it arrives"
	})
	message := d.subjects(account)["it arrives"]
	file := d.placed(message).ProviderID
	s.world("", "keywords", file, "$flagged,$seen")
	has("flags", func(h *hook) bool { return h.Body.Type == "message.updated" && h.Body.Data.Message == message })
	d.eventually("the flags are in the mirror", func() bool {
		return slices.Equal(d.placed(message).Keywords, []string{"$flagged", "$seen"})
	})
	s.world("", "move", file, "Work.Big")
	d.eventually("the message has moved", func() bool {
		p := d.placed(message)
		return len(p.Mailboxes) == 1 && p.Mailboxes[0].Name == "Big"
	})
	s.compare(d, account)
	s.world("", "remove", file)
	has("a removed file", func(h *hook) bool { return h.Body.Type == "message.deleted" && h.Body.Data.Message == message })
	s.compare(d, account)

	// A plugin that was killed has forgotten its cursors: everything is compared,
	// and exactly what happened meanwhile is told.
	kind := func(name string) func(*hook) bool { return func(h *hook) bool { return h.Body.Type == name } }
	created, deleted := r.count(kind("message.created")), r.count(kind("message.deleted"))
	d.kill(d.plugins("maildir")["maildir"])
	s.world(letter(sampleReader, "it came meanwhile"), "deliver", "Work")
	d.eventually("what came meanwhile is there", func() bool {
		d.try(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": account}, nil)
		return d.subjects(account)["it came meanwhile"] != ""
	})
	has("what came meanwhile", func(h *hook) bool {
		return h.Body.Type == "message.created" && h.Body.Data.Envelope.Subject == "it came meanwhile"
	})
	s.compare(d, account)
	if c, g := r.count(kind("message.created")), r.count(kind("message.deleted")); c != created+1 || g != deleted {
		t.Errorf("one message came: %d were told, and %d as deleted", c-created, g-deleted)
	}
}

// placed asks where a message is.
func (d *demo) placed(message string) (out struct {
	ProviderID string
	Keywords   []string
	Mailboxes  []struct{ Name string }
}) {
	d.t.Helper()
	got := struct{ Message any }{&out}
	d.query(`query($id: ID!) { message(id: $id) { providerId keywords mailboxes { name } } }`, map[string]any{"id": message}, &got)
	slices.Sort(out.Keywords)
	return out
}

// compare holds what GraphQL lists, and the bytes that it gives, against the
// Maildir.
func (s *sample) compare(d *demo, account string) {
	s.t.Helper()
	var got struct {
		Account struct {
			Messages struct {
				Edges []struct {
					Node struct{ ProviderID, Raw string }
				}
			}
		}
	}
	d.query(`query($id: ID!) { account(id: $id) { messages(first: 200) { edges { node { providerId raw } } } } }`, map[string]any{"id": account}, &got)
	want := s.truth()
	if len(got.Account.Messages.Edges) != len(want) {
		s.t.Errorf("GraphQL lists %d messages, the Maildir has %d", len(got.Account.Messages.Edges), len(want))
	}
	for _, e := range got.Account.Messages.Edges {
		resp, err := http.Get(e.Node.Raw)
		if err != nil {
			s.t.Fatal(err)
		}
		raw, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if sum := sha256.Sum256(raw); err != nil || hex.EncodeToString(sum[:]) != want[e.Node.ProviderID] {
			s.t.Errorf("%s: %s, %d octets that are not the file's: %v", e.Node.ProviderID, resp.Status, len(raw), err)
		}
	}
}
