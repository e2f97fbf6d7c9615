package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// postern runs a command to its end.
func postern(t *testing.T, cfg string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(program("postern"), append([]string{"-c", cfg}, args...)...).CombinedOutput()
	return string(out), err
}

// TestKeyRotation: a new master key takes over while the gateway runs, and
// another one while it does not. Each time the old key can be thrown away
// afterwards: the account, its grant and its mail are there under the new one
// alone, and not under the old one.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	dir := t.TempDir()
	s := d.settings(dir)
	key := func(name string) string {
		file := filepath.Join(dir, name)
		if out, err := postern(t, d.info.Config, "keys", "generate", file); err != nil {
			t.Fatal(out)
		}
		return file
	}
	first, second, third := key("first"), key("second"), key("third")
	use := func(file string, old ...string) string {
		s["master_key"] = settings{"file": file, "old": old}
		return s.write(t, dir)
	}
	app := s.section("providers", "outlook", "settings")
	d.redirect(app["client_id"].(string), app["client_secret"].(string), s["public_url"].(string)+"/oauth/outlook/callback")

	// Mail under the first key.
	use(first)
	g, p := d.serve(t, dir, s)
	account := g.decide(g.browser(), g.link(nil), ada, "approve").Get("account")
	g.eventually("ada is in step", func() bool { return g.state(account) == "READY" })
	var id, text string
	for _, id = range g.subjects(account) {
		if text = g.text(id); text != "" {
			break
		}
	}
	// Settings that are newer than the running gateway rotate nothing: the old
	// key would be thrown away for nothing.
	newer := use(second, first)
	if out, err := postern(t, newer, "keys", "rotate"); err == nil || !strings.Contains(out, "restart it with these settings") {
		t.Fatalf("keys rotate beside a gateway of the settings before: %v\n%s", err, out)
	}
	ended := func() {
		t.Helper()
		if err := p.stop(); err != nil {
			t.Fatalf("the gateway ended with %v\n%s", err, p.lines)
		}
	}
	ended()

	// While it runs.
	use(second, first)
	_, p = d.serve(t, dir, s)
	out, err := postern(t, s.write(t, dir), "keys", "rotate")
	if err != nil || !strings.Contains(out, "keys are wrapped under the first master key") {
		t.Fatalf("keys rotate: %v\n%s", err, out)
	}
	ended()
	forget(t, first)
	use(second)
	g, p = d.serve(t, dir, s)
	// A message that is new needs the grant, an old one the blobs.
	g.works(t, account, id, text, "after the first rotation")
	ended()

	// While it does not.
	cfg := use(third, second)
	if out, err := postern(t, cfg, "keys", "rotate"); err != nil || !strings.Contains(out, "keys are wrapped") {
		t.Fatalf("keys rotate: %v\n%s", err, out)
	}
	cfg = use(second)
	if out, err := postern(t, cfg, "accounts", "list"); err == nil || !strings.Contains(out, "wrong master key") || strings.Contains(out, ada) {
		t.Errorf("under the key of before: %v\n%s", err, out)
	}
	forget(t, second)
	cfg = use(third)
	if out, err := postern(t, cfg, "accounts", "list"); err != nil || !strings.Contains(out, ada) || !strings.Contains(out, account) {
		t.Errorf("accounts list without a gateway: %v\n%s", err, out)
	}
	g, _ = d.serve(t, dir, s)
	if out, err := postern(t, cfg, "accounts", "list"); err != nil || !strings.Contains(out, ada) {
		t.Errorf("accounts list with a gateway: %v\n%s", err, out)
	}
	g.works(t, account, id, text, "after the second rotation")
}

func forget(t *testing.T, key string) {
	t.Helper()
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
}

// text is a message's text.
func (d *demo) text(id string) string {
	d.t.Helper()
	var got struct{ Message struct{ Text *string } }
	d.query(`query($id: ID!) { message(id: $id) { text } }`, map[string]any{"id": id}, &got)
	return deref(got.Message.Text)
}

// works checks that what is here can be read and what is new is found.
func (d *demo) works(t *testing.T, account, id, text, when string) {
	t.Helper()
	if got := d.text(id); got != text {
		t.Errorf("%s the message is %q, was %q", when, got, text)
	}
	d.deliver(ada, when)
	d.eventually("what is delivered "+when+" is found", func() bool {
		d.query(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": account}, nil)
		fresh := d.subjects(account)[when]
		return fresh != "" && strings.Contains(d.text(fresh), when)
	})
}
