package e2e

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// webKey is a key as /.well-known/postern/webhook-keys tells it.
type webKey struct{ Kty, Crv, X, Kid, ExpiresAt string }

// publicKeys reads an endpoint's keys as a receiver does: without any key.
func (d *demo) publicKeys(url string) []webKey {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.ctx(), http.MethodGet, url, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []webKey }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d, %v", url, resp.StatusCode, err)
	}
	return set.Keys
}

// signedBy checks a request with a public key (Standard Webhooks, `v1a`).
func (h *hook) signedBy(t *testing.T, k webKey) bool {
	t.Helper()
	key, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil || k.Kty != "OKP" || k.Crv != "Ed25519" || len(key) != ed25519.PublicKeySize {
		t.Fatalf("%+v is no Ed25519 key: %v", k, err)
	}
	signed := h.Header.Get("webhook-id") + "." + h.Header.Get("webhook-timestamp") + "." + string(h.Raw)
	for _, s := range strings.Fields(h.Header.Get("webhook-signature")) {
		encoded, ok := strings.CutPrefix(s, "v1a,")
		if signature, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil && ed25519.Verify(key, []byte(signed), signature) {
			return true
		}
	}
	return false
}

func (c *changes) expireEndpointKey(t *testing.T) {
	r := c.receive(nil)
	id, secret := c.endpoint(map[string]any{"url": r.URL})
	var got struct {
		RotateEndpointSecret struct {
			Secret   *string
			Endpoint struct {
				KeysURL string
				Keys    []struct{ ID, Kind string }
			}
		}
	}
	c.query(`mutation($id: ID!) { rotateEndpointSecret(id: $id, signature: ED25519, overlapSeconds: 3600) { secret endpoint { keysUrl keys { id kind } } } }`,
		map[string]any{"id": id}, &got)
	e := got.RotateEndpointSecret.Endpoint
	if got.RotateEndpointSecret.Secret != nil || len(e.Keys) != 2 || e.Keys[0].Kind != "ED25519" || e.Keys[1].Kind != "HMAC" {
		t.Fatalf("%+v", got)
	}
	keys := c.publicKeys(e.KeysURL)
	if len(keys) != 1 || keys[0].Kid != e.Keys[0].ID {
		t.Fatalf("%+v", keys)
	}
	c.ping(id)
	if h := r.wait("ping", 1, isPing); !h.verified(t, secret) || !h.signedBy(t, keys[0]) {
		t.Errorf("one of two signatures does not verify: %s", h.Header.Get("webhook-signature"))
	}
	expire := `mutation($id: ID!, $key: ID!) { expireEndpointKey(id: $id, key: $key) { keys { id } } }`
	c.query(expire, map[string]any{"id": id, "key": e.Keys[1].ID}, nil)
	c.ping(id)
	if h := r.wait("ping after the secret has expired", 2, isPing); h.verified(t, secret) || !h.signedBy(t, keys[0]) {
		t.Errorf("the expired secret signs: %s", h.Header.Get("webhook-signature"))
	}
	if errs := c.try(expire, map[string]any{"id": id, "key": e.Keys[0].ID}, nil); len(errs) != 1 || errs[0].Extensions.Code != "CONFLICT" {
		t.Errorf("the last key: %v", errs)
	}
}

// verifiedEndpoints are made only where they answer, and samples look like what
// they are samples of.
func (c *changes) verifiedEndpoints(t *testing.T) {
	r := c.receive(func(rw http.ResponseWriter, h *hook) {
		if h.Path == "/elsewhere" {
			http.Error(rw, "nobody of this name", http.StatusNotFound)
		}
	})
	create := `mutation($in: CreateEndpointInput!) { createEndpoint(input: $in) { endpoint { id } } }`
	errs := c.try(create, map[string]any{"in": map[string]any{"url": r.URL + "/elsewhere", "verify": true}}, nil)
	if len(errs) != 1 || errs[0].Extensions.Code != "BAD_INPUT" || !strings.Contains(errs[0].Message, "404") || !strings.Contains(errs[0].Message, "nobody of this name") {
		t.Errorf("%v", errs)
	}
	for _, in := range []map[string]any{{"url": "http://10.0.0.1/x"}, {"url": "http://127.0.0.1:6379/"}} {
		errs := c.try(create, map[string]any{"in": in}, nil)
		if len(errs) != 1 || errs[0].Extensions.Code != "BAD_INPUT" || !strings.Contains(errs[0].Message, "refused") || !strings.Contains(errs[0].Message, "webhooks.allow") {
			t.Errorf("%v: %v", in, errs)
		}
	}
	id, secret := c.endpoint(map[string]any{"url": r.URL + "/here", "verify": true, "headers": []map[string]any{{"name": "X-Tenant", "value": "7"}}})
	c.query(`mutation($id: ID!) { sendTestEvent(id: $id, type: MESSAGE_CREATED) { id type } }`, map[string]any{"id": id}, nil)
	h := r.wait("a sample", 1, func(h *hook) bool { return h.Path == "/here" && h.Body.Type == "message.created" })
	if !h.verified(t, secret) || !strings.Contains(string(h.Raw), `"test":true`) || h.Header.Get("X-Tenant") != "7" {
		t.Errorf("%v, %s", h.Header, h.Raw)
	}
	c.query(`mutation($id: ID!) { deleteEndpoint(id: $id) }`, map[string]any{"id": id}, nil)
}
