package httpd

import (
	_ "embed"
	"net/http"
)

// grafana is a dashboard for Grafana over the metrics of /metrics.
//
//go:embed grafana.json
var grafana []byte

// dashboard gives the dashboard, to be imported.
func dashboard(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(grafana)
}
