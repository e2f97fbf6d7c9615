package microsoft

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// dialect is where Graph's documents have what rubbish spoils.
func (s *Server) dialect() front.Dialect {
	return front.Dialect{
		Lists: []string{"value"},
		Link: func(doc map[string]json.RawMessage, r *http.Request, way traffic.Body) {
			to := s.here(r)
			switch way {
			case traffic.BodyCycle:
				// Links that differ, to one page.
				there := strings.TrimRight(to, "&")
				to = there + strings.Repeat("&", (len(to)-len(there)+1)%3)
			case traffic.BodyForeign:
				to = "https://graph.invalid/v1.0/me/messages?$skiptoken=x"
			}
			delete(doc, "@odata.deltaLink")
			doc["@odata.nextLink"], _ = json.Marshal(to) // a string: cannot fail
		},
		Date: "receivedDateTime", BadDate: "99999-99-99T99:99:99Z",
		Cycle: func(list []map[string]any, i int) {
			list[i]["parentFolderId"], list[i]["childFolderCount"] = list[(i+1)%len(list)]["id"], 1
		},
	}
}

// here is the address of a request, as links in answers show it.
func (s *Server) here(r *http.Request) string {
	base := "https://" + r.Host
	if s.opts.BaseURL != nil {
		base = s.opts.BaseURL()
	}
	return base + r.URL.RequestURI()
}
