package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUnknownVariables(t *testing.T) {
	for _, c := range []struct{ variable, want string }{
		{"POSTERN_HTTP_LISTN=1", "did you mean POSTERN_HTTP_LISTEN?"},
		{"POSTERN_DATADIR=/x", "did you mean POSTERN_DATA_DIR?"},
		{"POSTERN_WEBHOOKS_EXPIRE=1h", "webhooks.expire is a list"},
		{"POSTERN_PROVIDERS_ZZZ_PLUGIN=zzz", "providers is a list"},
		{"POSTERN_HTTP_PORT=80", "there is no such setting"},
		{"POSTERN_MASTER_KEY=secret", ""},
		{"POSTERN_MY_SECRET=secret", ""},
		{"POSTERN_API_KEY=secret", ""},
		{"POSTERN_HOST=mail.example.com", ""},
		{"POSTERN_SERVICE_HOST=10.0.0.1", ""},
		{"POSTERN_SERVICE_PORT_HTTP=8080", ""},
		{"POSTERN_PORT=tcp://10.0.0.1:8080", ""},
		{"POSTERN_PORT_8080_TCP_ADDR=10.0.0.1", ""},
		{"POSTERNX=1", ""},
	} {
		_, err := Load("", []string{c.variable}, []string{"providers.x.plugin=x", "providers.x.settings.secret=env:POSTERN_MY_SECRET"})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.variable, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: a value is shown: %v", c.variable, err)
		}
	}
}

func TestExpireByFlag(t *testing.T) {
	c, err := Load("", nil, []string{"webhooks.expire.message.created=1h", "webhooks.expire.message.deleted=2h"})
	want := map[string]time.Duration{"message.created": time.Hour, "message.deleted": 2 * time.Hour}
	if err != nil || cmp.Diff(want, c.Webhooks.Expire) != "" {
		t.Error(err, cmp.Diff(want, c.Webhooks.Expire))
	}
}

// TestNeedRestart: every setting is either read again or named.
func TestNeedRestart(t *testing.T) {
	before, after := Default(), Default()
	if got := NeedRestart(before, after); got != nil {
		t.Errorf("nothing changed: %v", got)
	}
	after.HTTP.Listen, after.DataDir, after.PublicURL = "127.0.0.1:1", "other", "https://x.example"
	after.Webhooks.Expire = map[string]time.Duration{"message.created": time.Hour}
	after.Webhooks.Allow, after.Webhooks.AllowHTTP, after.Webhooks.AllowPorts = []string{"10.0.0.0/8"}, true, []int{25}
	after.Disk.MinFree, after.Providers = 1, map[string]Provider{"x": {}}
	want := []string{"data_dir", "http.listen", "public_url", "webhooks.expire"}
	if d := cmp.Diff(want, NeedRestart(before, after)); d != "" {
		t.Error(d)
	}
}
