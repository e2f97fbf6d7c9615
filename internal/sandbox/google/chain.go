package google

import (
	"encoding/json"
	"net/http"

	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// known finds the user of the request, for counters and faults.
func (s *Server) known(next http.Handler) http.Handler {
	return next
}

// refuse answers in Google's words what a fault wants answered.
func (s *Server) refuse(w http.ResponseWriter, _ *http.Request, f traffic.Fault) bool {
	if f.Status == 0 {
		return false
	}
	gmail.WriteError(w, gmail.Refusal(f, s.opts.Now()))
	return true
}

// writeError answers in the form of Google's APIs.
func writeError(w http.ResponseWriter, code int, reason, status, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	// The client is gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"code": code, "message": message, "status": status,
		"errors": []any{map[string]string{"message": message, "domain": "global", "reason": reason}},
	}})
}

// dialect is where Gmail's lists have what rubbish spoils. A page goes on by a
// token, not by a link: a foreign one is a token that nobody gave.
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
