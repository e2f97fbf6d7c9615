package pluginhost

import (
	"slices"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestStandIns(t *testing.T) {
	info := &provider.Info{Settings: []provider.Setting{
		{Name: "sign_in", Default: "https://login.example.com/common"}, {Name: "api", Default: "https://api.example.com/v1"},
		{Name: "relay", Default: "http://localhost:25"}, {Name: "hook"}, {Name: "scopes", Default: "mail,profile"},
	}}
	for _, c := range []struct {
		settings map[string]string
		want     []string
	}{
		{nil, nil},
		{map[string]string{"sign_in": "https://login.example.cn/common", "api": "https://192.0.2.1/"}, nil},
		{map[string]string{"sign_in": "https://localhost:8090/common", "api": " http://127.0.0.1:8090/v1"}, []string{"api", "sign_in"}},
		{map[string]string{"sign_in": "https://[::1]/x", "api": "https://Sandbox.LOCALHOST/"}, []string{"api", "sign_in"}},
		// What has no address of the provider's own stands in for nothing.
		{map[string]string{"relay": "http://127.0.0.1:26", "hook": "http://localhost/hook", "scopes": "localhost"}, nil},
		{map[string]string{"sign_in": "not an address", "api": "https://localhost.example.com/"}, nil},
	} {
		if got := StandIns(info, c.settings); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.settings, got, c.want)
		}
	}
}
