package providertest

import (
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func checkCases() []Case {
	return []Case{
		{Name: "check/sound", Doc: "settings that work pass every check, and say what to register", test: checkSound},
		{Name: "check/quiet", Doc: "neither checks nor registrations hold a secret", test: checkQuiet},
	}
}

// check runs the checks; nil where the provider has none, and says so.
func (f *fixture) check() *provider.CheckResponse {
	f.Helper()
	resp, err := f.p.Check(f.ctx, &provider.CheckRequest{})
	if provider.IsUnsupported(err) {
		return nil
	}
	f.must("check", err)
	return resp
}

func checkSound(f *fixture) {
	resp := f.check()
	if resp == nil {
		return
	}
	for _, r := range resp.Results {
		switch r.Outcome {
		case provider.CheckPassed, provider.CheckUnknown:
		case provider.CheckFailed:
			f.Errorf("%s failed with settings that work: %s", r.Name, r.Detail)
			if r.Remedy == "" {
				f.Errorf("%s failed without a word of what to do", r.Name)
			}
		default:
			f.Errorf("%s has the outcome %q", r.Name, r.Outcome)
		}
		if r.Name == "" || strings.ContainsAny(r.Name+r.Detail+r.Remedy, "\r\n") {
			f.Errorf("a check is no line of words: %+v", r)
		}
	}
	redirects, permissions := 0, 0
	for _, g := range resp.Registrations {
		if g.Value == "" || g.Kind == "" {
			f.Errorf("nothing to paste: %+v", g)
		}
		switch g.Kind {
		case provider.RegisterRedirect:
			redirects++
			if g.Value != f.config.RedirectURL {
				f.Errorf("%s is to be registered as redirect URI, not %s", g.Value, f.config.RedirectURL)
			}
		case provider.RegisterPermission:
			permissions++
		case provider.RegisterNotification:
			if f.config.NotificationURL == "" || !strings.HasPrefix(g.Value, f.config.NotificationURL) {
				f.Errorf("%s is to be registered for notifications, which come to %q", g.Value, f.config.NotificationURL)
			}
		}
	}
	if f.info.SignIn == provider.SignInOAuth && (redirects != 1 || permissions == 0) {
		f.Errorf("%d redirect URIs and %d permissions are to be registered", redirects, permissions)
	}
}

func checkQuiet(f *fixture) {
	resp := f.check()
	if resp == nil {
		return
	}
	for _, s := range f.info.Settings {
		value := f.config.Settings[s.Name]
		if !s.Secret || value == "" {
			continue
		}
		for _, r := range resp.Results {
			if strings.Contains(r.Name+r.Detail+r.Remedy, value) {
				f.Errorf("the check %s tells the setting %s", r.Name, s.Name)
			}
		}
		for _, g := range resp.Registrations {
			if strings.Contains(g.Value+g.Note, value) {
				f.Errorf("what to register tells the setting %s", s.Name)
			}
		}
	}
}
