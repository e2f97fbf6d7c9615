package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRubbishFromTheProvider: what one account's provider answers with says so
// at that account, changes nothing that is there, and keeps nobody else
// waiting. When it is over, all is there that came meanwhile.
func TestRubbishFromTheProvider(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, _, _ := d.own(t, func(_ string, s settings) { s.section("providers", "outlook")["push"] = false })
	mine, other := g.join(ada), g.join(grace)
	reason := func(account string) (r string) {
		t.Helper()
		var got struct {
			Account struct{ StateReason string }
		}
		g.query(`query($a: ID!) { account(id: $a) { stateReason } }`, map[string]any{"a": account}, &got)
		return got.Account.StateReason
	}
	syncing := func(account string) []gqlError {
		return g.try(`mutation($a: ID!) { syncAccount(id: $a) { id } }`, map[string]any{"a": account}, nil)
	}
	for body, words := range map[string]string{
		"html": "text/html", "gzipbomb": "more than 64 MiB", "empty": "cannot be read",
	} {
		d.control("PUT", "/control/faults", fmt.Sprintf(`{"user":%q,"match":"GET /me/mailFolders","body":%q}`, ada, body), nil)
		d.deliver(ada, "to ada during "+body)
		d.deliver(grace, "to grace during "+body)
		g.eventually(body+" is told at the account", func() bool {
			if errs := syncing(mine); len(errs) != 1 {
				t.Errorf("%s: syncing is answered by %v", body, errs)
			}
			return strings.Contains(reason(mine), words)
		})
		if errs := syncing(other); len(errs) > 0 {
			t.Errorf("%s: the other account: %v", body, errs)
		}
		if g.subjects(other)["to grace during "+body] == "" || reason(other) != "" {
			t.Errorf("%s: the other account lacks its mail: %q", body, reason(other))
		}
		d.control("DELETE", "/control/faults", "", nil)
		if errs := syncing(mine); len(errs) > 0 {
			t.Errorf("after %s: %v", body, errs)
		}
		if g.subjects(mine)["to ada during "+body] == "" || reason(mine) != "" || g.state(mine) != "READY" {
			t.Errorf("after %s the account is %s: %q", body, g.state(mine), reason(mine))
		}
	}
	for _, kind := range []string{"MESSAGE_DELETED", "MAILBOX_DELETED"} {
		if n := g.told(kind); n != 0 {
			t.Errorf("%s was told %d times", kind, n)
		}
	}
}

// TestDamagedStoreIsNotStarted: a gateway whose database is cut ends at once,
// says which file and what to do, and leaves the file as it is.
func TestDamagedStoreIsNotStarted(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	var dir string
	_, p, s := d.own(t, func(at string, _ settings) { dir = at })
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s["data_dir"].(string), "postern.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := whole[:3*os.Getpagesize()+100]
	if err := os.WriteFile(path, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := start(t, program("postern"), "-c", s.write(t, dir), "serve")
	<-bad.done
	said := bad.lines.String()
	if bad.err == nil || !strings.Contains(said, path) || !strings.Contains(said, "it is cut") || !strings.Contains(said, "restore a backup") || strings.Contains(said, "goroutine") {
		t.Errorf("it ended with %v\n%s", bad.err, said)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, cut) {
		t.Errorf("what is damaged was written to: %v", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	d.serve(t, dir, s)
}
