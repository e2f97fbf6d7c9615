package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// TestWarnings: a provider that refuses the application, and one that was taken
// out of the settings, are told wherever somebody looks.
func TestWarnings(t *testing.T) {
	e := newErasable(t)
	faults, err := json.Marshal(map[string]string{"x": "the secret is wrong"})
	e.must(err)
	e.must(e.g.store.Update(t.Context(), func(tx store.Tx) error {
		for id, provider := range map[string]string{"a1": "x", "a2": "gone", "a3": "gone"} {
			if err := tx.PutAccount(&store.Account{ID: id, Provider: provider, Address: id + "@example.com", State: store.AccountReady}); err != nil {
				return err
			}
		}
		return tx.PutSetting("providers.misconfigured", faults)
	}))
	e.stop()
	e.cfg.Providers = map[string]config.Provider{"x": {Plugin: "absent"}}
	// It is made and does not run: that its plugin is not there would be another
	// fault, told in place of this one as soon as its start has failed.
	env := func(string) (string, bool) { return base64.StdEncoding.EncodeToString(make([]byte, 32)), true }
	e.g, err = New(t.Context(), e.cfg, Options{LookupEnv: env})
	e.must(err)
	want := []string{"provider x is misconfigured: the secret is wrong", `the settings have no provider "gone" any more, and it has 2 accounts`}
	if d := cmp.Diff(want, e.g.warnings(t.Context())); d != "" {
		t.Error(d)
	}
	list := e.g.pluginList()
	if len(list) != 1 {
		t.Errorf("%d plugins", len(list))
	}
	for _, p := range list {
		if p.State != string(pluginhost.StateMisconfigured) || p.Reason != "the secret is wrong" {
			t.Errorf("the plugin is %s: %s", p.State, p.Reason)
		}
	}
	own, err := ListAccounts(t.Context(), e.g.store)
	e.must(err)
	running, err := e.g.accountList(t.Context())
	e.must(err)
	for _, rows := range [][]AccountRow{own, running} {
		for _, r := range rows {
			if r.ID == "a1" && (r.State != "READY" || !strings.Contains(r.Reason, "the secret is wrong")) {
				t.Errorf("its account is %s: %s", r.State, r.Reason)
			}
		}
	}
	e.must(e.g.Close())
	// The provider is back: the next look counts anew. Only one that runs reloads.
	e.start()
	defer e.stop()
	back := *e.cfg
	back.Providers = map[string]config.Provider{"x": {Plugin: "absent"}, "gone": {Plugin: "absent"}}
	e.must(e.g.Reload(t.Context(), &back))
	for _, w := range e.g.warnings(t.Context()) {
		if strings.Contains(w, "the settings have no provider") {
			t.Errorf("after the reload: %s", w)
		}
	}
}

// TestAdminKeyRenewed: from the answer on the former key is refused.
func TestAdminKeyRenewed(t *testing.T) {
	e := newErasable(t)
	defer e.stop()
	former := readKey(AdminKeyFile(e.cfg))
	if _, err := e.g.access.Authenticate(t.Context(), former); err != nil {
		t.Fatal(err)
	}
	var made AdminKey
	e.must(Call(t.Context(), e.cfg, "POST", "/keys/admin", &made))
	if _, err := e.g.access.Authenticate(t.Context(), former); mail.KindOf(err) != mail.KindUnauthorized {
		t.Errorf("the former key: %v", err)
	}
	if _, err := e.g.access.Authenticate(t.Context(), readKey(made.File)); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if left, err := os.ReadDir(e.cfg.DataDir); err != nil || strings.Contains(strings.Join(names(left), " "), ".key-") {
		t.Errorf("left behind: %v %v", names(left), err)
	}
}

func names(list []os.DirEntry) (out []string) {
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// TestFirstStartsAreAwaited: what is due waits for those that start, and not
// for those that cannot.
func TestFirstStartsAreAwaited(t *testing.T) {
	looks := 0
	awaitStarted(t.Context(), func() []pluginhost.InstanceStatus {
		looks++
		s := pluginhost.StateStarting
		if looks > 2 {
			s = pluginhost.StateRunning
		}
		return []pluginhost.InstanceStatus{{State: pluginhost.StateMisconfigured}, {State: pluginhost.StateBackoff}, {State: s}}
	})
	if looks != 3 {
		t.Errorf("%d looks", looks)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	awaitStarted(ctx, func() []pluginhost.InstanceStatus {
		return []pluginhost.InstanceStatus{{State: pluginhost.StateStarting}}
	})
	if ctx.Err() == nil {
		t.Error("a plugin that hangs is not waited for")
	}
}
