package google

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/google/pubsub"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// maxTokenForm bounds the body of a token request.
const maxTokenForm = 1 << 20

// known finds the user of the request, for counters and faults: the token's,
// or on the token endpoint the code's or refresh token's. An item of a batch
// without a token of its own keeps the batch's user.
func (s *Server) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := front.ExchangeOf(r.Context())
		if b, ok := s.oauth.Bearer(r); ok {
			ex.User, ex.App, ex.Scopes = b.User, b.Client, b.Scopes
		} else if tokenPath(r.URL.Path) {
			r.Body = http.MaxBytesReader(w, r.Body, maxTokenForm)
			if user, ok := s.oauth.TokenUser(r); ok {
				ex.User = user
			}
		}
		next.ServeHTTP(w, r)
	})
}

func tokenPath(path string) bool {
	return strings.HasSuffix(path, "/token") || strings.HasSuffix(path, "/revoke")
}

// mailCaller is who calls Gmail: a user by way of an app. A service account
// has no mailbox.
func (s *Server) mailCaller(r *http.Request) (gmail.Caller, bool) {
	b, ok := s.oauth.Bearer(r)
	if !ok {
		return gmail.Caller{}, false
	}
	return gmail.Caller{User: b.User, ClientID: b.Client, Project: b.Project, Scopes: b.Scopes}, true
}

// topicCaller is who calls Pub/Sub.
func (s *Server) topicCaller(r *http.Request) (pubsub.Caller, bool) {
	b, ok := s.oauth.Bearer(r)
	member := "user:" + b.User.Address
	if b.ServiceAccount != "" {
		member = "serviceAccount:" + b.ServiceAccount
	}
	return pubsub.Caller{Member: member, Scopes: b.Scopes}, ok
}

// refuse answers in Google's words what a fault wants answered.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, f traffic.Fault) bool {
	if f.Status == 0 {
		return false
	}
	if tokenPath(r.URL.Path) {
		s.oauth.RefuseToken(w, r, f.Status)
		return true
	}
	gmail.WriteError(w, gmail.Refusal(f, s.opts.Now()))
	return true
}

// dialect is where the lists of Gmail and Pub/Sub have what rubbish spoils. A
// page goes on by a token, not by a link: a foreign one is a token that nobody
// gave.
func dialect() front.Dialect {
	return front.Dialect{
		Lists: []string{"messages", "labels", "history", "threads", "drafts", "sendAs", "receivedMessages"},
		Entry: true,
		Link: func(doc map[string]json.RawMessage, r *http.Request, way traffic.Body) {
			token := r.URL.Query().Get("pageToken")
			switch way {
			case traffic.BodyForeign:
				token = "00000000000000000000"
			case traffic.BodyCycle:
				token += " "
			}
			if token == "" {
				token = "0"
			}
			doc["nextPageToken"], _ = json.Marshal(token) // a string: cannot fail
		},
		Date: "internalDate", BadDate: "99999999999999999999999999",
		Cycle: func(list []map[string]any, i int) { list[i]["name"] = list[(i+1)%len(list)]["name"] },
	}
}
