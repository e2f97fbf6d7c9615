package gateway

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postern-mail/postern/internal/config"
)

// TestMetricsBeforeFirstUse: what a dashboard and its alerts look at is 0
// before anything has happened, and not absent.
func TestMetricsBeforeFirstUse(t *testing.T) {
	e := newErasable(t)
	e.stop()
	e.cfg.Providers = map[string]config.Provider{"x": {Plugin: "absent"}}
	e.start()
	defer e.stop()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(e.g.registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, series := range []string{
		`postern_provider_misconfigured{provider="x"} 0`,
		`postern_token_refreshes_total{provider="x"} 0`,
		`postern_grants_refused_total{kind="grant_expired"} 0`,
		`postern_submissions_total{state="failed"} 0`,
		`postern_sync_failures_total{kind="unavailable"} 0`,
		`postern_provider_throttled_total{instance="x"} 0`,
		`postern_plugin_restarts_total{instance="x"} 0`,
		`postern_plugin_up{instance="x"} 0`,
		`postern_logins_total{outcome="wrong"} 0`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+series+"\n") {
			t.Errorf("there is no %s", series)
		}
	}
}
