package e2e

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// exitCode is how a command ended.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// TestCheckConfig: what to register is printed ready to be pasted, each check
// has a line, and one that fails says what to do and makes the exit code 1.
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, p, s := d.own(t, func(string, settings) {})
	public := s["public_url"].(string)

	// serve says it as well: this is a sandbox.
	if _, err := p.lines.wait(d.ctx(), func(s string) bool { return contains(s, "plugin warns of its settings", "authority, graph_url") }); err != nil {
		t.Errorf("serve does not warn of the sandbox's addresses: %v\n%s", err, p.lines)
	}

	// The gateway runs: it is the one that answers at its public URL.
	out, err := postern(t, g.info.Config, "check-config")
	if exitCode(err) != 0 {
		t.Fatalf("check-config: %v\n%s", err, out)
	}
	pasted := map[string]bool{}
	for line := range strings.Lines(out) {
		pasted[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		public + "/oauth/outlook/callback", public + "/notify/outlook", public + "/notify/outlook/lifecycle",
		"openid", "offline_access", "User.Read", "Mail.ReadWrite", "Mail.Send",
	} {
		if !pasted[want] {
			t.Errorf("no line is %s alone", want)
		}
	}
	for _, want := range []string{"ok authority", "ok credentials", "ok Microsoft Graph", "ok public URL", "leads here", "stand in for the provider's own", "authority, graph_url", "The settings are sound."} {
		if !strings.Contains(squeezed(out), squeezed(want)) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}

	// None runs: the command answers itself, and gives the address back.
	dir := t.TempDir()
	alone := d.settings(dir)
	if out, err := postern(t, alone.write(t, dir), "check-config"); exitCode(err) != 0 || !strings.Contains(out, "leads here") {
		t.Errorf("without a gateway: %v\n%s", err, out)
	}

	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	secret := alone.section("providers", "outlook", "settings")["client_secret"]
	for name, c := range map[string]struct {
		change func(settings)
		want   []string
	}{
		"a wrong secret": {func(s settings) { s.section("providers", "outlook", "settings")["client_secret"] = "swordfish" },
			[]string{"FAILED credentials", "AADSTS7000215", "Value"}},
		"nobody at the authority": {func(s settings) {
			s.section("providers", "outlook", "settings")["authority"] = "https://127.0.0.1:1/common"
		}, []string{"FAILED authority", "no connection", "unknown credentials"}},
		"somebody else's address": {func(s settings) { s["public_url"] = other.URL }, []string{"FAILED public URL", "status 404", "reverse proxy"}},
		"nobody's address":        {func(s settings) { s["public_url"] = "https://mail.invalid" }, []string{"FAILED public URL", "cannot be reached"}},
		"an address that is taken": {func(s settings) { s.section("http")["listen"] = strings.TrimPrefix(public, "http://") },
			[]string{"FAILED public URL", "not tried", "in use"}},
	} {
		dir := t.TempDir()
		s := d.settings(dir)
		c.change(s)
		out, err := postern(t, s.write(t, dir), "check-config")
		if exitCode(err) != 1 || strings.Contains(out, "are sound") || strings.Contains(out, "swordfish") || strings.Contains(out, secret.(string)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, want := range c.want {
			if !strings.Contains(squeezed(out), squeezed(want)) {
				t.Errorf("%s: it does not say %q\n%s", name, want, out)
			}
		}
	}

	// Nobody is asked offline; what the settings alone show is said all the same.
	s.section("providers", "outlook", "settings")["authority"] = "https://127.0.0.1:1/common"
	dir = t.TempDir()
	if out, err := postern(t, s.write(t, dir), "check-config", "--offline"); exitCode(err) != 0 || strings.Contains(out, "checks") || !strings.Contains(out, "stand in") {
		t.Errorf("offline: %v\n%s", err, out)
	}
}
