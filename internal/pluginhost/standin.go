package pluginhost

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// StandIns gives the names of the settings that put an address of this machine
// in place of the provider's own: what stands there is a sandbox, or a tunnel
// that somebody forgot. Such an instance works, and reaches no real mail.
func StandIns(info *provider.Info, settings map[string]string) []string {
	var names []string
	for _, s := range info.Settings {
		if own, ok := hostOf(s.Default); !ok || onThisMachine(own) {
			continue
		}
		if host, ok := hostOf(settings[s.Name]); ok && onThisMachine(host) {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

// StandInWarning says so in words.
func StandInWarning(names []string) string {
	return fmt.Sprintf("addresses of this machine stand in for the provider's own, as a sandbox's do, so that no real mail is reached: %s. Leave them out for the provider itself.",
		strings.Join(names, ", "))
}

func hostOf(address string) (string, bool) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", false
	}
	return strings.ToLower(u.Hostname()), true
}

func onThisMachine(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback() || ip.IsUnspecified()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
