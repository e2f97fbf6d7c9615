package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// soakProvider is one of the providers that the sandbox plays, as the sandbox
// itself describes it.
type soakProvider struct {
	Name, Plugin, Cloud, URL string
	Push                     bool
	Settings, Files          map[string]string
	App                      map[string]any

	proxy *cloudProxy
	kinds kinds
}

// kinds tell requests apart by what they are for.
type kinds struct {
	// changes ask what happened, token gets new tokens, draft makes a draft,
	// send sends it, write changes messages.
	changes, token, draft, send, write func(r *http.Request, body string) bool
	// settings are what a run needs beside what the sandbox says.
	settings map[string]string
	// holds are the keywords that the provider has a place for. It is the
	// gateway that keeps the others.
	holds func(keyword string) bool
}

// soakUnits is the quota of a user and minute, where there is one.
const soakUnits = "60000"

func path(method, end string) func(*http.Request, string) bool {
	return func(r *http.Request, _ string) bool { return r.Method == method && strings.HasSuffix(r.URL.Path, end) }
}

// kindsOf are the requests of each cloud, by the name that the sandbox has for it.
func kindsOf(cloud string) kinds {
	switch cloud {
	case "microsoft":
		return kinds{
			changes: func(r *http.Request, _ string) bool {
				return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/messages/delta")
			},
			token: path("POST", "/oauth2/v2.0/token"),
			draft: path("POST", "/mailFolders/drafts/messages"),
			send:  path("POST", "/send"),
			write: func(r *http.Request, body string) bool { // alone or in a batch
				if body != "" {
					return strings.Contains(body, `"PATCH"`) || strings.Contains(body, "/move") || strings.Contains(body, "/permanentDelete")
				}
				return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/move")
			},
			holds: func(string) bool { return true },
		}
	case "google":
		return kinds{
			// A minute's units are spent in seconds here.
			settings: map[string]string{"quota_units": soakUnits},
			changes:  path("GET", "/history"),
			token:    path("POST", "/token"),
			draft:    path("POST", "/drafts"),
			send:     path("POST", "/drafts/send"),
			write: func(r *http.Request, _ string) bool {
				for _, end := range []string{"/modify", "/batchModify", "/batchDelete", "/trash", "/untrash"} {
					if strings.HasSuffix(r.URL.Path, end) {
						return true
					}
				}
				return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/messages/")
			},
			holds: func(k string) bool {
				return strings.HasPrefix(k, "$") && !slices.Contains([]string{"$answered", "$forwarded"}, k)
			},
		}
	}
	panic("the soak knows no cloud " + cloud)
}

// cloud is the provider whose turn it is.
func (s *soak) cloud(n int) *soakProvider { return s.providers[n%len(s.providers)] }

// at says where an address lives: there is one at each provider, and the others
// go by the seed.
func (s *soak) at(address string) *soakProvider {
	i := slices.Index(soakAddresses, address)
	if i >= len(s.providers) {
		i = int(s.plan.seed % uint64(len(s.providers)))
	}
	return s.providers[i]
}

// some is an address that lives at a provider.
func (s *soak) some(rng *rand.Rand, p *soakProvider) string {
	var there []string
	for _, a := range soakAddresses {
		if s.at(a) == p {
			there = append(there, a)
		}
	}
	return there[rng.IntN(len(there))]
}

// held leaves out of messages what only the gateway knows of them.
func (s *soak) held(address string, messages map[string]placed) map[string]placed {
	holds := s.at(address).kinds.holds
	for id, p := range messages {
		p.Keywords = slices.DeleteFunc(slices.Clone(p.Keywords), func(k string) bool { return !holds(k) })
		if len(p.Keywords) == 0 {
			p.Keywords = nil
		}
		messages[id] = p
	}
	return messages
}

// interpose puts a proxy between each provider and its plugin.
func (s *soak) interpose(sandboxCA []byte) {
	s.t.Helper()
	s.info.Sandbox.Clouds, s.info.Sandbox.CAFile = map[string]string{}, filepath.Join(s.dir, "ca.pem")
	trusted := slices.Clone(sandboxCA)
	for _, p := range s.providers {
		p.kinds = kindsOf(p.Cloud)
		p.proxy = newCloudProxy(s.t, p.URL, sandboxCA)
		trusted = append(trusted, p.proxy.certificate()...)
		// From here on the provider is where the proxy is.
		s.info.Sandbox.Clouds[p.Cloud] = p.proxy.srv.URL
		for name, value := range p.Settings {
			p.Settings[name] = strings.Replace(value, p.URL, p.proxy.srv.URL, 1)
		}
		maps.Copy(p.Settings, p.kinds.settings)
		p.Settings["ca_file"] = s.info.Sandbox.CAFile
		for name, text := range p.Files {
			p.Settings[name] = filepath.Join(s.dir, p.Name+"-"+name)
			if err := os.WriteFile(p.Settings[name], []byte(text), 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(s.info.Sandbox.CAFile, trusted, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// register makes an application at each provider, and gives the settings of all.
func (s *soak) register() settings {
	s.t.Helper()
	all := settings{}
	for _, p := range s.providers {
		app := maps.Clone(p.App)
		app["name"], app["redirect_uris"] = "soak", []string{fmt.Sprintf("%s/oauth/%s/callback", s.base, p.Name)}
		body, err := json.Marshal(app)
		if err != nil {
			s.t.Fatal(err)
		}
		s.control("POST", "/control/apps", string(body), nil)
		all[p.Name] = settings{"plugin": p.Plugin, "push": p.Push, "settings": p.Settings}
	}
	return all
}
