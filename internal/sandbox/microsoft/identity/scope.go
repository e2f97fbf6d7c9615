package identity

import (
	"net/url"
	"slices"
	"strings"
)

// A scope is one word of a scope parameter, taken apart.
type scope struct {
	raw      string // as it was asked for; answers repeat it
	resource string // host of the resource, "" when bare
	name     string // Mail.ReadWrite, as Settings spells it; ".default"
	oidc     bool
}

var oidcScopes = []string{"openid", "profile", "email", "offline_access"}

// resources are the hosts whose scopes the sandbox gives out.
var resources = []string{
	"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "graph.microsoft.de",
	"microsoftgraph.chinacloudapi.cn", "outlook.office.com", "outlook.office365.com", "localhost", "127.0.0.1",
}

// parseScopes reads a scope parameter. self is the host that was asked, which
// names the sandbox's own Graph.
func (p *Provider) parseScopes(param, self string) ([]scope, *refusal) {
	var out []scope
	for _, raw := range strings.Fields(param) {
		s := scope{raw: raw, name: raw}
		if slices.Contains(oidcScopes, strings.ToLower(raw)) {
			s.oidc, s.name = true, strings.ToLower(raw)
			out = append(out, s)
			continue
		}
		if u, err := url.Parse(raw); err == nil && u.Scheme == "https" && u.Host != "" {
			if !slices.Contains(resources, u.Hostname()) && u.Host != self {
				return nil, refuse(500011, u.Scheme+"://"+u.Host)
			}
			s.resource, s.name = u.Host, strings.TrimLeft(u.Path, "/")
		}
		if s.name != ".default" {
			i := slices.IndexFunc(p.settings.Scopes, func(known string) bool { return strings.EqualFold(known, s.name) })
			if i < 0 {
				return nil, refuse(70011, raw)
			}
			s.name = p.settings.Scopes[i]
		}
		out = append(out, s)
	}
	return out, nil
}

// names spells out what the scopes give: lower-case OIDC words and permission
// names, with .default replaced, each once.
func (p *Provider) names(scopes []scope) []string {
	var out []string
	add := func(n string) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, s := range scopes {
		if s.name == ".default" {
			for _, n := range p.settings.DefaultScopes {
				add(n)
			}
			continue
		}
		add(s.name)
	}
	return out
}

// answer is the scope member of a token answer: what was asked for, in the
// form it was asked for. offline_access is never repeated.
func answer(scopes []scope) string {
	var words []string
	for _, s := range scopes {
		if s.name != "offline_access" && !slices.Contains(words, s.raw) {
			words = append(words, s.raw)
		}
	}
	return strings.Join(words, " ")
}

// permissions are the names without the OIDC words: what an access token
// carries in scp.
func permissions(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(oidcScopes, n) })
}

// covers tells whether every wanted name was granted. OIDC words need no
// consent.
func covers(granted, wanted []string) bool {
	for _, w := range permissions(wanted) {
		if !slices.Contains(granted, w) && !slices.Contains(granted, widerThan(w)) {
			return false
		}
	}
	return true
}

// widerThan names the permission that includes another.
func widerThan(name string) string {
	switch name {
	case "Mail.Read", "Mail.ReadBasic":
		return "Mail.ReadWrite"
	case "MailboxSettings.Read":
		return "MailboxSettings.ReadWrite"
	}
	return name
}
