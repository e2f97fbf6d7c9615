package pubsub

import (
	"maps"
	"slices"
	"strings"
)

// A policy says which members have which roles.
type policy map[string][]string // role: members

func (p policy) grant(role, member string) {
	if !slices.Contains(p[role], member) {
		p[role] = append(p[role], member)
	}
}

// roles are what each role permits, as far as the sandbox asks for it.
var roles = map[string][]string{
	"roles/pubsub.publisher":  {"pubsub.topics.publish"},
	"roles/pubsub.subscriber": {"pubsub.subscriptions.consume", "pubsub.topics.attachSubscription"},
	"roles/pubsub.viewer": {
		"pubsub.topics.get", "pubsub.topics.list", "pubsub.subscriptions.get", "pubsub.subscriptions.list",
	},
	"roles/pubsub.editor": {
		"pubsub.topics.*", "-pubsub.topics.getIamPolicy", "-pubsub.topics.setIamPolicy",
		"pubsub.subscriptions.*", "-pubsub.subscriptions.getIamPolicy", "-pubsub.subscriptions.setIamPolicy",
	},
	"roles/pubsub.admin": {"pubsub.*"},
	"roles/owner":        {"pubsub.*"},
}

func permits(role, permission string) bool {
	yes := false
	for _, rule := range roles[role] {
		if rule == "-"+permission {
			return false
		}
		if start, all := strings.CutSuffix(rule, "*"); rule == permission || all && strings.HasPrefix(permission, start) {
			yes = true
		}
	}
	return yes
}

// policyOf finds the policy of a resource; nil when there is none of the name.
// Called with the lock held.
func (s *Service) policyOf(resource string) policy {
	parts := strings.Split(resource, "/")
	switch {
	case len(parts) == 2 && parts[0] == "projects":
		if s.projects[resource] == nil {
			s.projects[resource] = policy{}
		}
		return s.projects[resource]
	case s.topics[resource] != nil:
		return s.topics[resource].Policy
	case s.subs[resource] != nil:
		return s.subs[resource].Policy
	}
	return nil
}

// allowed tells whether a member may do something to a resource: by its own
// policy or by that of its project. Called with the lock held.
func (s *Service) allowed(member, resource, permission string) bool {
	parts := strings.SplitN(resource, "/", 3)
	project := strings.Join(parts[:min(2, len(parts))], "/")
	for _, p := range []policy{s.policyOf(resource), s.policyOf(project)} {
		for role, members := range p {
			if permits(role, permission) && (slices.Contains(members, member) || slices.Contains(members, "allUsers") || slices.Contains(members, "allAuthenticatedUsers")) {
				return true
			}
		}
	}
	return false
}

// A binding is one role in the JSON of a policy.
type binding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
}

type policyJSON struct {
	Version  int       `json:"version,omitempty"`
	Bindings []binding `json:"bindings,omitempty"`
	ETag     string    `json:"etag,omitempty"`
}

func (p policy) json() policyJSON {
	out := policyJSON{Version: 1, ETag: "ACAB"}
	for _, role := range slices.Sorted(maps.Keys(p)) {
		if len(p[role]) > 0 {
			out.Bindings = append(out.Bindings, binding{role, p[role]})
		}
	}
	return out
}

// set takes a policy over; bad is what is wrong with it.
func (p policy) set(from policyJSON) (bad string) {
	for _, b := range from.Bindings {
		if roles[b.Role] == nil {
			return "Role " + b.Role + " is not supported for this resource."
		}
		for _, m := range b.Members {
			if kind, _, ok := strings.Cut(m, ":"); m != "allUsers" && m != "allAuthenticatedUsers" && (!ok || !slices.Contains([]string{"user", "serviceAccount", "group", "domain"}, kind)) {
				return "The member " + m + " is of an unknown type."
			}
		}
	}
	clear(p)
	for _, b := range from.Bindings {
		for _, m := range b.Members {
			p.grant(b.Role, m)
		}
	}
	return ""
}
