package microsoft

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// How much an answer without an end gives before it does end, for clients that
// read all of it: it must never be what saves them.
const (
	endless = 4 << 30
	bombs   = 128 // members of 64 MiB each
)

// rubbish answers in place of held, which was executed, in the way that the
// fault asks for.
func (s *Server) rubbish(w http.ResponseWriter, r *http.Request, held *heldResponse, fault traffic.Fault) {
	change := func(do func(map[string]json.RawMessage)) {
		var doc map[string]json.RawMessage
		if json.Unmarshal(held.body, &doc) == nil {
			do(doc)
			held.body, _ = json.Marshal(doc) // made of what was read: cannot fail
			held.header.Del("Content-Length")
		}
		held.release(w)
	}
	link := func(to string) {
		change(func(doc map[string]json.RawMessage) {
			delete(doc, "@odata.deltaLink")
			doc["@odata.nextLink"], _ = json.Marshal(to)
		})
	}
	entries := func(do func([]map[string]any) []map[string]any) {
		change(func(doc map[string]json.RawMessage) {
			var list []map[string]any
			if json.Unmarshal(doc["value"], &list) == nil {
				doc["value"], _ = json.Marshal(do(list))
			}
		})
	}
	each := func(name string, value any) {
		entries(func(list []map[string]any) []map[string]any {
			for _, e := range list {
				if _, there := e[name]; there {
					e[name] = value
				}
			}
			return list
		})
	}
	say := func(contentType string, body []byte) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	}
	switch fault.Body {
	case traffic.BodyGarbage:
		say("application/json", bytes.Repeat([]byte{0xff, '{', 0, ']', '"'}, 100))
	case traffic.BodyTruncated:
		held.body = held.body[:len(held.body)/2]
		held.header.Del("Content-Length")
		held.release(w)
	case traffic.BodyHTML:
		say("text/html; charset=utf-8", []byte("<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Please sign in.</body></html>"))
	case traffic.BodyEmpty:
		say("application/json", []byte("{}"))
	case traffic.BodyEndless:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"value":["`))
		pour(w, r, bytes.Repeat([]byte("x"), 64<<10), endless)
	case traffic.BodyGzipBomb:
		member := gzipped(bytes.Repeat([]byte(" "), 64<<20)) // white space is JSON, too
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		pour(w, r, member, bombs*len(member))
	case traffic.BodyHeaders:
		for i := range 4096 {
			w.Header().Add("X-Flood", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		held.release(w)
	case traffic.BodyLoop:
		link(s.here(r))
	case traffic.BodyCycle:
		// Links that differ, to one page.
		here := s.here(r)
		there := strings.TrimRight(here, "&")
		link(there + strings.Repeat("&", (len(here)-len(there)+1)%3))
	case traffic.BodyForeign:
		link("https://graph.invalid/v1.0/me/messages?$skiptoken=x")
	case traffic.BodyLongID:
		each("id", strings.Repeat("A", 1<<20))
	case traffic.BodyDates:
		each("receivedDateTime", "99999-99-99T99:99:99Z")
	case traffic.BodyDoubled:
		entries(func(list []map[string]any) []map[string]any {
			for _, e := range list {
				list = append(list, maps.Clone(e))
			}
			return list
		})
	case traffic.BodyNegative:
		entries(func(list []map[string]any) []map[string]any {
			for _, e := range list {
				for name, v := range e {
					if _, number := v.(float64); number {
						e[name] = -1 << 40
					}
				}
			}
			return list
		})
	case traffic.BodyCycleOfFolders:
		entries(func(list []map[string]any) []map[string]any {
			for i, e := range list {
				e["parentFolderId"], e["childFolderCount"] = list[(i+1)%len(list)]["id"], 1
			}
			return list
		})
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

// pour writes piece again and again, until so many bytes or until the client
// has enough.
func pour(w http.ResponseWriter, r *http.Request, piece []byte, total int) {
	for n := 0; n < total && r.Context().Err() == nil; n += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is right
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
