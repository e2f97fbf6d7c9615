package sandbox_test

import (
	"net"
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox"
)

// TestProviders: whoever starts a sandbox configures a gateway from its state
// alone, and finds the users of each provider by its cloud.
func TestProviders(t *testing.T) {
	w := empty(t)
	var users []struct{ Cloud, Address string }
	w.control(200, "GET", "/control/users", "", &users)
	for _, p := range w.sb.State().Providers {
		if p.Name == "" || p.Plugin == "" || p.URL == "" || p.Settings["client_id"] == "" || p.App["client_id"] != p.Settings["client_id"] {
			t.Errorf("%+v", p)
		}
		if !slices.ContainsFunc(users, func(u struct{ Cloud, Address string }) bool { return u.Cloud == p.Cloud }) {
			t.Errorf("%s: no user in the cloud %q", p.Name, p.Cloud)
		}
	}
	if len(w.sb.State().Providers) == 0 {
		t.Error("no provider")
	}
}

// TestPorts: an address that is taken fails, or gives way to a free port, or
// is not looked at.
func TestPorts(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().String()
	for ports, want := range map[sandbox.Ports]struct {
		starts bool
		taken  []string
	}{
		"": {}, sandbox.PortsGiven: {}, sandbox.PortsSpare: {true, []string{taken}}, sandbox.PortsFree: {starts: true},
	} {
		s, err := sandbox.Start(t.Context(), sandbox.Options{Control: taken, Ports: ports, NoSeed: true})
		if (err == nil) != want.starts {
			t.Errorf("%q: %v", ports, err)
		}
		if err != nil {
			continue
		}
		if got := s.State(); got.Control == "http://"+taken || !slices.Equal(got.Taken, want.taken) {
			t.Errorf("%q: control at %s, taken %q", ports, got.Control, got.Taken)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%q: close: %v", ports, err)
		}
	}
}
