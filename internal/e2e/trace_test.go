package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestOneTrace: from the provider's notification through the plugin and the
// round of syncing to the webhook's delivery, everything is one trace.
func TestOneTrace(t *testing.T) {
	var mu sync.Mutex
	spans := map[string]map[string]bool{} // trace id -> span names
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					id := string(s.TraceId)
					if spans[id] == nil {
						spans[id] = map[string]bool{}
					}
					spans[id][s.Name] = true
				}
			}
		}
	}))
	t.Cleanup(receiver.Close)
	t.Setenv("POSTERN_TELEMETRY_OTLP_ENDPOINT", receiver.URL)
	d := startDemo(t)
	d.deliver(ada, "traced")
	if _, err := d.lines.wait(d.ctx(), func(s string) bool { return strings.Contains(s, "traced") }); err != nil {
		t.Fatal(err)
	}
	wanted := []string{"/notify/", "Notify", "sync.round", "Changes", "outbox.attempt"}
	d.eventually("one trace has every step", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, names := range spans {
			missing := 0
			for _, want := range wanted {
				if !hasName(names, want) {
					missing++
				}
			}
			if missing == 0 {
				return true
			}
		}
		return false
	})
}

func hasName(names map[string]bool, part string) bool {
	for name := range names {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
