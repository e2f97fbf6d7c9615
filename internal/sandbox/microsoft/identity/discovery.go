package identity

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// discovery answers OpenID Connect Discovery 1.0, section 4. All URLs carry
// the host that was asked, so that a client which dials the sandbox under a
// vendor's name stays there.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	tenant := r.PathValue("tenant")
	if why := p.tenantRefusal(tenant, nil); why != nil {
		p.writeRefusal(w, r, why)
		return
	}
	base := "https://" + r.Host + "/" + tenant
	writeJSON(w, http.StatusOK, map[string]any{
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"response_types_supported":              []string{"code"},
		"code_challenge_methods_supported":      []string{"plain", "S256"},
		"scopes_supported":                      oidcScopes,
		"issuer":                                "https://" + r.Host + "/" + p.issuerTenant(tenant) + "/v2.0",
		"request_uri_parameter_supported":       false,
		"userinfo_endpoint":                     "https://" + r.Host + "/oidc/userinfo",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"http_logout_supported":                 true,
		"end_session_endpoint":                  base + "/oauth2/v2.0/logout",
		"claims_supported": []string{"sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username",
			"name", "tid", "ver", "email", "oid"},
		"tenant_region_scope": nil, "cloud_instance_name": "microsoftonline.com",
	})
}

// issuerTenant is what stands in the issuer: for the shared endpoints the
// literal {tenantid}.
func (p *Provider) issuerTenant(tenant string) string {
	switch strings.ToLower(tenant) {
	case "common", "organizations":
		return "{tenantid}"
	case "consumers", ConsumerTenant:
		return ConsumerTenant
	}
	return p.settings.Tenant
}

// keys is the key set (RFC 7517) of the one signing key.
func (p *Provider) keys(w http.ResponseWriter, r *http.Request) {
	if why := p.tenantRefusal(r.PathValue("tenant"), nil); why != nil {
		p.writeRefusal(w, r, why)
		return
	}
	key := p.signer.JWK()
	key["x5t"], key["x5c"] = p.signer.Kid, []string{base64.StdEncoding.EncodeToString(p.signer.Cert)}
	key["issuer"] = "https://" + r.Host + "/" + p.issuerTenant(r.PathValue("tenant")) + "/v2.0"
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{key}})
}

// instance answers the instance discovery that a client makes for a host it
// does not know: the sandbox vouches for the host in the question if it is the
// one that was asked.
func (p *Provider) instance(w http.ResponseWriter, r *http.Request) {
	endpoint, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || endpoint.Host == "" {
		p.writeRefusal(w, r, refuse(900144, "authorization_endpoint"))
		return
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(endpoint.Path, "/"), "/")
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + endpoint.Host + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": endpoint.Host, "preferred_cache": endpoint.Host, "aliases": []string{endpoint.Host},
		}},
	})
}
