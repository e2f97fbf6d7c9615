package httpd

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

func timeout(r *http.Request, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), d)
}

// healthz answers as long as the process can answer at all.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "version": s.Version})
}

// readyz answers 200 while the gateway does its work, with warnings of what
// needs a look, else 503 with the reasons.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := timeout(r, 2*time.Second)
	defer cancel()
	var reasons []string
	if s.Ready != nil {
		reasons = s.Ready(ctx)
	}
	answer := map[string]any{"status": "ready"}
	if s.Warnings != nil {
		if warnings := s.Warnings(ctx); len(warnings) > 0 {
			answer["warnings"] = warnings
		}
	}
	if len(reasons) > 0 {
		answer["status"], answer["reasons"] = "not ready", reasons
		writeJSON(w, http.StatusServiceUnavailable, answer)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
