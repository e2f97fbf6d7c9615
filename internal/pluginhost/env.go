package pluginhost

import (
	"log/slog"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// passed is what a plugin sees of the host's environment. go-plugin would
// hand over all of it, the master key with it.
var passed = []string{
	"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	// Windows programs do not start without these.
	"SYSTEMROOT", "TEMP", "TMP", "USERPROFILE",
}

// pluginEnv picks from the host's environment and adds what the SDK reads.
func pluginEnv(host []string, level slog.Level) []string {
	var env []string
	for _, kv := range host {
		name, _, _ := strings.Cut(kv, "=")
		for _, p := range passed {
			if name == p {
				env = append(env, kv)
			}
		}
	}
	return append(env,
		provider.EnvLifeline+"="+provider.LifelineStdin,
		provider.EnvLogLevel+"="+strings.ToLower(level.String()))
}
