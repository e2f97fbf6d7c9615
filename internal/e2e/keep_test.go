package e2e

import (
	"path/filepath"
	"testing"
)

// TestKeptAfterNothing: where the last demo kept no world, the next begins anew
// with the gateway, too, instead of finding all mail deleted.
func TestKeptAfterNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	d := launchDemo(t, dir)
	d.waitReady()
	plain := d.info.APIKey
	d.stop()
	d = launchDemo(t, dir, "--keep")
	d.waitReady()
	kept := d.info.APIKey
	if kept == plain {
		t.Error("the gateway was kept beside a new world")
	}
	d.stop()
	d = launchDemo(t, dir, "--keep")
	d.waitReady()
	if d.info.APIKey != kept {
		t.Error("a world that was kept has a new gateway")
	}
	d.stop()
}

// TestKeptDemo: a demo that goes on with what a former one left has one
// endpoint, which reaches the new receiver.
func TestKeptDemo(t *testing.T) {
	t.Parallel()
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
