package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/internal/sandbox/front"
)

// A batchItem is one request of a $batch.
type batchItem struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`

	done   chan struct{}
	status int // once done is closed
}

// BatchHandler answers POST /v1.0/$batch by running every item through next,
// which is the whole chain that a single request would meet: an item is
// authenticated, throttled and counted like any other.
func (s *Server) BatchHandler(next http.Handler) http.Handler {
	return s.Envelope(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			s.WriteError(w, r, errMethod())
			return
		}
		body, err := s.readBody(r)
		if err != nil {
			s.WriteError(w, r, err)
			return
		}
		items, err := s.readBatch(body)
		if err != nil {
			s.WriteError(w, r, err)
			return
		}
		s.write(w, ok(entity{{"responses", s.runBatch(next, r, items)}}))
	}))
}

func (s *Server) readBatch(body []byte) ([]*batchItem, error) {
	var in struct {
		Requests []*batchItem `json:"requests"`
	}
	if json.Unmarshal(body, &in) != nil {
		return nil, errBadRequest("Invalid batch payload format.")
	}
	if len(in.Requests) == 0 {
		return nil, errBadRequest("The batch contains no requests.")
	}
	if len(in.Requests) > s.set.BatchItems {
		return nil, &Error{Status: 400, Code: "MaximumValueExceeded", Message: "Number of batch request steps exceeds the maximum value."}
	}
	before := map[string]bool{}
	for _, it := range in.Requests {
		if it == nil || it.ID == "" || it.Method == "" || it.URL == "" {
			return nil, errBadRequest("Each batch request needs id, method and url.")
		}
		if before[it.ID] {
			return nil, errBadRequest("Batch request ids must be unique; '%s' is not.", it.ID)
		}
		if u, err := url.Parse(it.URL); err != nil || u.IsAbs() || u.Host != "" {
			return nil, errBadRequest("The url of batch request '%s' must be relative.", it.ID)
		}
		if !isNull(it.Body) && it.header("Content-Type") == "" {
			return nil, errBadRequest("Batch request '%s' has a body and no Content-Type header.", it.ID)
		}
		for _, d := range it.DependsOn {
			if !before[d] { // also what makes circles impossible
				return nil, errBadRequest("Batch request '%s' depends on '%s', which does not come before it.", it.ID, d)
			}
		}
		before[it.ID] = true
		it.done = make(chan struct{})
	}
	return in.Requests, nil
}

func (it *batchItem) header(name string) string {
	for k, v := range it.Headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// runBatch runs the items, at most Settings.BatchConcurrency at once, and gives
// their responses in the order in which they ended.
func (s *Server) runBatch(next http.Handler, r *http.Request, items []*batchItem) []entity {
	limit := s.set.BatchConcurrency
	if limit <= 0 {
		limit = len(items)
	}
	slots := make(chan struct{}, limit)
	byID := map[string]*batchItem{}
	for _, it := range items {
		byID[it.ID] = it
	}
	var mu sync.Mutex
	responses := make([]entity, 0, len(items))
	var aborted any
	var wg sync.WaitGroup
	for _, it := range items {
		wg.Go(func() {
			var e entity
			defer close(it.done)
			defer func() { // a handler that cuts the connection cuts the batch's
				if v := recover(); v != nil {
					mu.Lock()
					aborted = v
					mu.Unlock()
					it.status = http.StatusInternalServerError
				}
			}()
			failed := false
			for _, d := range it.DependsOn { // an item that waits holds no slot
				<-byID[d].done
				failed = failed || byID[d].status >= 400
			}
			if failed {
				e = s.failedDependency(it)
			} else {
				slots <- struct{}{}
				defer func() { <-slots }()
				e = s.runItem(next, r, it)
			}
			mu.Lock()
			responses = append(responses, e)
			mu.Unlock()
		})
	}
	wg.Wait()
	if aborted != nil {
		panic(aborted)
	}
	return responses
}

func (s *Server) failedDependency(it *batchItem) entity {
	it.status = http.StatusFailedDependency
	e := &Error{Status: it.status, Code: "FailedDependency", Message: "A request that this one depends on failed."}
	return entity{{"id", it.ID}, {"status", it.status},
		{"headers", entity{{"Content-Type", "application/json"}}}, {"body", s.errorBody(e, "", "")}}
}

func (s *Server) runItem(next http.Handler, outer *http.Request, it *batchItem) entity {
	bad := func(message string) entity {
		it.status = http.StatusBadRequest
		e := &Error{Status: 400, Code: "BadRequest", Message: message}
		return entity{{"id", it.ID}, {"status", 400}, {"headers", entity{{"Content-Type", "application/json"}}}, {"body", s.errorBody(e, "", "")}}
	}
	body := []byte(it.Body)
	if isNull(it.Body) {
		body = nil
	}
	media, _, _ := mime.ParseMediaType(it.header("Content-Type"))
	if body != nil && media != "application/json" && !strings.HasSuffix(media, "+json") {
		var text string
		if json.Unmarshal(it.Body, &text) != nil {
			return bad("The body of a batch request that is not JSON must be a base64 string.")
		}
		if media == textPlain { // MIME is base64 in a request of its own as well
			body = []byte(text)
		} else if decoded, err := base64.StdEncoding.DecodeString(text); err == nil {
			body = decoded
		} else {
			return bad("The body of a batch request that is not JSON must be a base64 string.")
		}
	}
	req, err := http.NewRequestWithContext(outer.Context(), strings.ToUpper(it.Method), "/v1.0/"+strings.TrimPrefix(it.URL, "/"), bytes.NewReader(body))
	if err != nil {
		return bad("The url of the batch request is malformed.")
	}
	req.Host, req.TLS, req.RemoteAddr, req.RequestURI = outer.Host, outer.TLS, outer.RemoteAddr, req.URL.RequestURI()
	if body == nil {
		req.Body = http.NoBody
	}
	for k, v := range it.Headers {
		req.Header.Set(k, v)
	}
	for _, k := range []string{"Authorization", "User-Agent"} {
		if v := outer.Header.Get(k); v != "" {
			req.Header.Set(k, v)
		}
	}
	req.Header.Del("Accept-Encoding")
	rec := front.Hold()
	next.ServeHTTP(rec, req)
	it.status = rec.Status()
	return held(it.ID, rec)
}

// hop are headers of the connection, not of an item.
var hop = map[string]bool{"Content-Length": true, "Content-Encoding": true, "Vary": true, "Request-Id": true, "Client-Request-Id": true, "X-Ms-Ags-Diagnostic": true, "Strict-Transport-Security": true}

// held is an item's answer as the batch tells it.
func held(id string, r *front.Held) entity {
	headers := entity{}
	for _, k := range slices.Sorted(maps.Keys(r.Header())) {
		if !hop[k] && len(r.Header()[k]) > 0 {
			headers = append(headers, field{k, strings.Join(r.Header()[k], ", ")})
		}
	}
	e := entity{{"id", id}, {"status", r.Status()}, {"headers", headers}}
	switch body := r.Body; {
	case len(body) == 0:
	case strings.HasPrefix(r.Header().Get("Content-Type"), "application/json") && json.Valid(body):
		e = append(e, field{"body", json.RawMessage(body)})
	default:
		e = append(e, field{"body", base64.StdEncoding.EncodeToString(body)})
	}
	return e
}
