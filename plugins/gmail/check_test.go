package gmail_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func (w *world) check() (map[string]provider.CheckResult, []provider.Registration) {
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
	return out, resp.Registrations
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	results, registrations := w.check()
	for _, name := range []string{"redirect URI", "credentials", "Gmail API", "subscription", "topic"} {
		if r := results[name]; r.Outcome != provider.CheckPassed {
			t.Errorf("%s: %+v", name, r)
		}
	}
	pasted := map[provider.RegistrationKind][]string{}
	for _, r := range registrations {
		pasted[r.Kind] = append(pasted[r.Kind], r.Value)
	}
	for kind, want := range map[provider.RegistrationKind]string{
		provider.RegisterRedirect:    redirect,
		provider.RegisterPermission:  "openid https://www.googleapis.com/auth/userinfo.email https://mail.google.com/",
		"publisher of the topic":     "gmail-api-push@system.gserviceaccount.com",
		"reader of the subscription": "iam.gserviceaccount.com",
	} {
		if got := strings.Join(pasted[kind], " "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}

	good := w.conf.Settings
	for name, c := range map[string]struct {
		change map[string]string
		check  string
		want   string
	}{
		"a wrong secret":      {map[string]string{"client_secret": "swordfish"}, "credentials", "invalid_client"},
		"an unknown client":   {map[string]string{"client_id": "nobody.apps.googleusercontent.com"}, "credentials", "invalid_client"},
		"nobody there":        {map[string]string{"token_url": "http://127.0.0.1:1/token"}, "credentials", "no connection"},
		"another address":     {map[string]string{"token_url": good["gmail_url"] + "lost"}, "credentials", "status"},
		"no Gmail":            {map[string]string{"gmail_url": good["gmail_url"] + "lost/"}, "Gmail API", "status"},
		"no such thing":       {map[string]string{"subscription": "projects/postern-sandbox/subscriptions/nothing"}, "subscription", "does not exist"},
		"another topic":       {map[string]string{"topic": "projects/postern-sandbox/topics/other"}, "topic", "not of"},
		"nobody at Pub/Sub":   {map[string]string{"pubsub_url": "http://127.0.0.1:1/"}, "subscription", "Pub/Sub"},
		"a push without keys": {map[string]string{"push_service_account": "pusher@postern-sandbox.iam.gserviceaccount.com", "push_audience": "https://mail.example.com", "certs_url": good["gmail_url"] + "lost"}, "signing keys", "gives none"},
		"a push without URL":  {map[string]string{"push_service_account": "pusher@postern-sandbox.iam.gserviceaccount.com", "push_audience": "https://mail.example.com"}, "push", "no notification URL"},
	} {
		w.conf.Settings = maps.Clone(good)
		maps.Copy(w.conf.Settings, c.change)
		w.configure()
		results, _ := w.check()
		if r := results[c.check]; r.Outcome != provider.CheckFailed || !strings.Contains(r.Detail, c.want) || strings.Contains(r.Detail, "swordfish") {
			t.Errorf("%s: %+v, want %q", name, r, c.want)
		}
	}

	w.conf.Settings = maps.Clone(good)
	for _, name := range []string{"topic", "subscription", "service_account"} {
		delete(w.conf.Settings, name)
	}
	w.configure()
	results, _ = w.check()
	if r := results["notifications"]; r.Outcome != provider.CheckUnknown || r.Remedy == "" {
		t.Errorf("without a topic: %+v", r)
	}
}
