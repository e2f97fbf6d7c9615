package e2e

import (
	"path/filepath"
	"testing"
)

// TestKeptDemo: a demo that goes on with what a former one left has one
// endpoint, which reaches the new receiver.
func TestKeptDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	for range 2 {
		d := launchDemo(t, dir, "--keep")
		d.waitReady()
		var got struct{ Endpoints []struct{ ID, URL string } }
		d.query(`{ endpoints { id url } }`, nil, &got)
		if len(got.Endpoints) != 1 || got.Endpoints[0].URL != d.info.Webhook.URL || got.Endpoints[0].ID != d.info.Webhook.Endpoint {
			t.Errorf("endpoints: %+v, want one for %s", got.Endpoints, d.info.Webhook.URL)
		}
		d.stop()
	}
}
