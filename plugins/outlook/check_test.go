package outlook_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func (w *world) check() map[string]provider.CheckResult {
	w.t.Helper()
	resp, err := w.p.Check(w.t.Context(), &provider.CheckRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]provider.CheckResult{}
	for _, r := range resp.Results {
		if r.Outcome == provider.CheckFailed && r.Remedy == "" {
			w.t.Errorf("%s failed without a word of what to do: %s", r.Name, r.Detail)
		}
		out[r.Name] = r
	}
	return out
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	for name, r := range w.check() {
		if r.Outcome != provider.CheckPassed {
			t.Errorf("%s: %+v", name, r)
		}
	}
	good := w.conf.Settings
	for name, c := range map[string]struct {
		change map[string]string
		redir  string
		check  string
		want   string
	}{
		"a wrong secret":         {map[string]string{"client_secret": "swordfish"}, "", "credentials", "AADSTS7000215"},
		"an unknown application": {map[string]string{"client_id": "8f1c1b0a-0000-4000-8000-000000000001"}, "", "credentials", "AADSTS700016"},
		"a tenant, wrong secret": {map[string]string{"client_secret": "swordfish", "authority": strings.Replace(good["authority"], "common", w.sandbox.State().Tenant, 1)}, "", "credentials", "AADSTS7000215"},
		"an unknown tenant":      {map[string]string{"authority": strings.Replace(good["authority"], "common", "nowhere.example", 1)}, "", "authority", "AADSTS90002"},
		"nobody there":           {map[string]string{"authority": "https://127.0.0.1:1/common"}, "", "authority", "no connection"},
		"no Graph":               {map[string]string{"graph_url": strings.Replace(good["graph_url"], "/v1.0", "/lost", 1)}, "", "Microsoft Graph", "status"},
		"nobody trusted":         {map[string]string{"ca_file": ""}, "", "authority", "not trusted"},
		"a redirect by http":     {nil, "http://mail.example.com/oauth/outlook/callback", "redirect URI", "not https"},
	} {
		w.conf.Settings = map[string]string{}
		for k, v := range good {
			w.conf.Settings[k] = v
		}
		for k, v := range c.change {
			w.conf.Settings[k] = v
		}
		w.conf.RedirectURL = redirect
		if c.redir != "" {
			w.conf.RedirectURL = c.redir
		}
		w.configure()
		got := w.check()
		if r := got[c.check]; r.Outcome != provider.CheckFailed || !strings.Contains(r.Detail, c.want) || strings.Contains(r.Detail, "swordfish") {
			t.Errorf("%s: %+v, want %q", name, r, c.want)
		}
		if c.check == "authority" && got["credentials"].Outcome != provider.CheckUnknown {
			t.Errorf("%s: the credentials were tried all the same: %+v", name, got["credentials"])
		}
	}
	w.conf.Settings, w.conf.RedirectURL = good, redirect
	w.conf.Settings["authority"] = strings.Replace(good["authority"], "common", w.sandbox.State().Tenant, 1)
	w.configure()
	if r := w.check()["credentials"]; r.Outcome != provider.CheckPassed || !strings.Contains(r.Detail, "a token") {
		t.Errorf("at a tenant of its own: %+v", r)
	}
	w.conf.NotificationURL = ""
	w.configure()
	if r := w.check()["notifications"]; r.Outcome != provider.CheckUnknown || r.Remedy == "" {
		t.Errorf("without notifications: %+v", r)
	}
}

// TestRegistrations: what is to be pasted at Entra, in the words of its pages.
func TestRegistrations(t *testing.T) {
	w := newWorld(t)
	resp, err := w.p.Check(t.Context(), &provider.CheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[provider.RegistrationKind][]string{}
	for _, r := range resp.Registrations {
		got[r.Kind] = append(got[r.Kind], r.Value)
		if r.Note == "" {
			t.Errorf("%s: nobody says where it goes", r.Value)
		}
	}
	permissions := strings.Join(got[provider.RegisterPermission], " ")
	for _, want := range []string{"openid", "offline_access", "User.Read", "Mail.ReadWrite", "Mail.Send"} {
		if !strings.Contains(permissions, want) {
			t.Errorf("%s is not among the permissions: %s", want, permissions)
		}
	}
	base := w.conf.NotificationURL
	if n := got[provider.RegisterNotification]; len(n) != 2 || n[0] != base || n[1] != base+"/lifecycle" {
		t.Errorf("notification URLs: %v", n)
	}
	if r := got[provider.RegisterRedirect]; len(r) != 1 || r[0] != redirect {
		t.Errorf("redirect URI: %v", r)
	}
}

// TestIdentitiesOfOwners: a personal account has no aliases to be asked for.
func TestIdentitiesOfOwners(t *testing.T) {
	const mary = "mary@outlook.example"
	w := newWorld(t, func(o *sandbox.Options) {
		o.Users = append(o.Users, sandbox.User{Cloud: "microsoft", Address: ada, Name: "Ada Lovelace"}, sandbox.User{Cloud: "microsoft", Address: mary, Name: "Mary Somerville"})
	})
	for _, address := range []string{ada, mary} {
		resp, err := w.p.Identities(t.Context(), &provider.IdentitiesRequest{Call: provider.Call{Account: w.connect(address)}})
		if err != nil {
			t.Fatal(err)
		}
		if l := resp.Identities; len(l) != 1 || l[0].Email != address || !l[0].Default || l[0].Name == "" || !resp.Partial {
			t.Errorf("%s: %+v, partial %v", address, l, resp.Partial)
		}
	}
}

// TestAdminConsentLink: the link names a tenant that administrators have, brings
// the state back, and asks for what owners are asked for.
func TestAdminConsentLink(t *testing.T) {
	w := newWorld(t)
	w.sandbox.Microsoft().RestrictConsent(true)
	tenant := w.sandbox.State().Tenant
	for _, at := range []string{"common", tenant} {
		w.conf.Settings["authority"] = strings.Replace(w.sandbox.State().Authority, "common", at, 1)
		w.configure()
		pending, params := w.approve(ada, "")
		_, err := w.p.FinishConnect(t.Context(), &provider.FinishConnectRequest{Pending: pending, RedirectURL: redirect, Params: params, ApprovalState: "abc-approval"})
		link := mail.Link(err)
		for _, part := range []string{"state=abc-approval", "client_id=" + identity.DefaultAppID, "Mail.ReadWrite", "/v2.0/adminconsent?"} {
			if !strings.Contains(link, part) {
				t.Errorf("at %s the link %s lacks %s (%v)", at, link, part, err)
			}
		}
		if at == "common" && !strings.Contains(link, "/organizations/") || at == tenant && !strings.Contains(link, tenant) {
			t.Errorf("at %s the link is %s", at, link)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.sandbox.TLS()}}
		resp, err := client.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		client.CloseIdleConnections()
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Errorf("the link answers %s", resp.Status)
		}
	}
	// An older host gives no state: there is no link to make.
	pending, params := w.approve(ada, "")
	if _, err := w.finish(pending, params); mail.Link(err) != "" || asError(t, err).Code != mail.CodeAdminConsent {
		t.Errorf("without a state: %v", err)
	}
}
