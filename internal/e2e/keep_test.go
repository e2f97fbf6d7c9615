package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeptAfterNothing: where the last demo kept no world, the next begins anew
// with the gateway, too, instead of finding all mail deleted.
func TestKeptAfterNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	d := launchDemo(t, dir)
	d.waitReady()
	plain := d.info.APIKey
	d.stop()
	d = launchDemo(t, dir, "--keep")
	d.waitReady()
	kept := d.info.APIKey
	if kept == plain {
		t.Error("the gateway was kept beside a new world")
	}
	d.stop()
	d = launchDemo(t, dir, "--keep")
	d.waitReady()
	if d.info.APIKey != kept {
		t.Error("a world that was kept has a new gateway")
	}
	d.stop()
}

// TestKeptDemo: a demo that goes on with what a former one left has one
// endpoint, which reaches the new receiver; what opens its doors is what opened
// them before; it counts the mail that there is now, and greets nobody twice.
func TestKeptDemo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	life := func() *keptLife {
		x := &keptLife{doors: openDoors(t, startKept(t, dir))}
		var got struct{ Endpoints []struct{ ID, URL string } }
		x.query(`{ endpoints { id url } }`, nil, &got)
		if len(got.Endpoints) != 1 || got.Endpoints[0].URL != x.info.Webhook.URL || got.Endpoints[0].ID != x.info.Webhook.Endpoint {
			t.Errorf("endpoints: %+v, want one for %s", got.Endpoints, x.info.Webhook.URL)
		}
		for address, l := range x.logins {
			if ids := x.passwords(address); len(ids) != 1 {
				t.Errorf("%s has the app passwords %v, want one", address, ids)
			}
			if _, err := x.login(address, l.Password); err != nil {
				t.Errorf("what the demo printed for %s does not open it: %v", address, err)
			}
		}
		return x
	}
	x := life()
	from, to := x.info.Accounts[0].Address, x.info.Accounts[len(x.info.Accounts)-1].Address
	before := x.inStep()
	arrived := maps.Clone(before)
	arrived[from]++ // its copy in Sent
	arrived[to]++
	x.eventually("the greeting is in Sent and has arrived", func() bool {
		return x.greetings(from, "SENT") == 1 && x.greetings(to, "INBOX") == 1 && maps.Equal(x.counts(), arrived)
	})
	logins := x.logins
	x.stop()

	x = life()
	if got := x.inStep(); !maps.Equal(got, arrived) {
		t.Errorf("in step, the second demo printed %v, want %v", got, arrived)
	}
	if got := x.counts(); !maps.Equal(got, arrived) {
		t.Errorf("the second demo has %v messages, want %v", got, arrived)
	}
	if sent, got := x.greetings(from, "SENT"), x.greetings(to, "INBOX"); sent != 1 || got != 1 {
		t.Errorf("the greeting was sent %d times, and arrived %d times", sent, got)
	}
	if diff := cmp.Diff(passwordsOf(logins), passwordsOf(x.logins)); diff != "" {
		t.Errorf("other app passwords than before (-before +now):\n%s", diff)
	}
	x.query(`mutation($id: ID!) { revokeAppPassword(id: $id) }`, map[string]any{"id": x.passwords(from)[0]}, nil)
	x.stop()

	// Of a password that was revoked there is a new one, and of no other.
	x = life()
	now := passwordsOf(x.logins)
	if now[from] == logins[from].Password {
		t.Errorf("the demo prints a password that was revoked")
	}
	now[from] = logins[from].Password
	if diff := cmp.Diff(passwordsOf(logins), now); diff != "" {
		t.Errorf("other app passwords than before (-before +now):\n%s", diff)
	}
	x.stop()
}

// keptLife is one run of a demo that is kept.
type keptLife struct{ *doors }

func startKept(t *testing.T, dir string) *demo {
	t.Helper()
	d := launchDemo(t, dir, "--keep", "--mute=false")
	d.waitReady()
	t.Cleanup(d.stop)
	return d
}

func passwordsOf(logins map[string]typedLogin) map[string]string {
	out := map[string]string{}
	for address, l := range logins {
		out[address] = l.Password
	}
	return out
}

// passwords are the ids of an account's app passwords.
func (x *keptLife) passwords(address string) (ids []string) {
	x.t.Helper()
	var got struct {
		Account struct{ AppPasswords []struct{ ID string } }
	}
	x.query(`query($id: ID!) { account(id: $id) { appPasswords { id } } }`, map[string]any{"id": x.account(address)}, &got)
	for _, p := range got.Account.AppPasswords {
		ids = append(ids, p.ID)
	}
	return ids
}

// inStep is how many messages the demo said each account has.
func (x *keptLife) inStep() map[string]int64 {
	x.t.Helper()
	out := map[string]int64{}
	for _, a := range x.info.Accounts {
		line, err := x.lines.wait(x.ctx(), func(s string) bool { return strings.Contains(s, "  "+a.Address+" is in step: ") })
		if err != nil {
			x.t.Fatal(err)
		}
		var n int64
		if _, err := fmt.Sscanf(line[strings.Index(line, "in step: "):], "in step: %d messages", &n); err != nil {
			x.t.Fatalf("%v in %q", err, line)
		}
		out[a.Address] = n
	}
	return out
}

// counts is how many messages `accounts list` says each account has.
func (x *keptLife) counts() map[string]int64 {
	x.t.Helper()
	raw, err := exec.Command(program("postern"), "-c", x.info.Config, "accounts", "list", "--json").Output()
	if err != nil {
		x.t.Fatal(err)
	}
	var rows []struct {
		Address  string
		Messages int64
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		x.t.Fatalf("%v in %s", err, raw)
	}
	out := map[string]int64{}
	for _, r := range rows {
		out[r.Address] = r.Messages
	}
	return out
}

// greetings counts what the demo sent, in an account's mailbox of a role.
func (x *keptLife) greetings(address, role string) (n int) {
	x.t.Helper()
	var got struct {
		Account struct {
			Mailboxes []struct {
				Role     string
				Messages struct {
					Edges []struct{ Node struct{ Subject string } }
				}
			}
		}
	}
	x.query(`query($id: ID!) { account(id: $id) { mailboxes { role messages(first: 200) { edges { node { subject } } } } } }`,
		map[string]any{"id": x.account(address)}, &got)
	for _, m := range got.Account.Mailboxes {
		for _, e := range m.Messages.Edges {
			if m.Role == role && e.Node.Subject == "From one provider to the other" {
				n++
			}
		}
	}
	return n
}
