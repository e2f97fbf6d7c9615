package graph

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/google/uuid"
)

const (
	jsonType  = "application/json; odata.metadata=minimal; odata.streaming=true; IEEE754Compatible=false; charset=utf-8"
	textPlain = "text/plain"
)

// An answer is a successful response before it is written.
type answer struct {
	status int
	header http.Header
	entity entity // written as JSON when not nil
	raw    []byte // written as ctype
	ctype  string
	after  func() error // runs once the mailbox is free, before the answer
}

func ok(e entity) answer      { return answer{status: 200, entity: e} }
func created(e entity) answer { return answer{status: 201, entity: e} }
func accepted() answer        { return answer{status: 202} }
func noContent() answer       { return answer{status: 204} }

// Envelope wraps a handler with what every response of the service carries:
// request-id and its echo, diagnostics, Strict-Transport-Security, and gzip for
// who accepts it. Wrapping twice does nothing the second time.
func (s *Server) Envelope(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if h.Get("request-id") != "" {
			next.ServeHTTP(w, r)
			return
		}
		id := uuid.NewString()
		client := r.Header.Get("client-request-id")
		if client == "" || len(client) > 128 || strings.ContainsAny(client, "\r\n") {
			client = id
		}
		h.Set("Cache-Control", "private")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("request-id", id)
		h.Set("client-request-id", client)
		h.Set("x-ms-ags-diagnostic", fmt.Sprintf(`{"ServerInfo":{"DataCenter":"%s","Slice":"E","Ring":"4","ScaleUnit":"004","RoleInstance":"FR2PEPF00000391"}}`, s.set.DataCenter))
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			z := &gzipWriter{ResponseWriter: w, pool: &s.zippers}
			defer z.finish()
			w = z
		}
		next.ServeHTTP(w, r)
	})
}

// gzipWriter compresses a body once there is one.
type gzipWriter struct {
	http.ResponseWriter
	pool    *sync.Pool
	z       *gzip.Writer
	started bool
}

func (g *gzipWriter) WriteHeader(status int) {
	if g.started {
		return
	}
	g.started = true
	h := g.Header()
	if status != http.StatusNoContent && status != http.StatusNotModified && h.Get("Content-Encoding") == "" && h.Get("Content-Length") != "0" {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		h.Del("Content-Length")
		if z, ok := g.pool.Get().(*gzip.Writer); ok {
			z.Reset(g.ResponseWriter)
			g.z = z
		} else if z, err := gzip.NewWriterLevel(g.ResponseWriter, gzip.BestSpeed); err == nil {
			g.z = z
		}
	}
	g.ResponseWriter.WriteHeader(status)
}

func (g *gzipWriter) Write(b []byte) (int, error) {
	if !g.started {
		g.WriteHeader(http.StatusOK)
	}
	if g.z == nil {
		return g.ResponseWriter.Write(b)
	}
	return g.z.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (g *gzipWriter) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (g *gzipWriter) finish() {
	if g.z != nil {
		_ = g.z.Close() // the client is gone: nobody is left to tell
		g.pool.Put(g.z)
		g.z = nil
	}
}

// WriteError answers with an error in the service's form.
func (s *Server) WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	e := s.settled(err)
	h := w.Header()
	for k, vs := range e.Header {
		h[http.CanonicalHeaderKey(k)] = vs
	}
	h.Set("Content-Type", jsonType)
	w.WriteHeader(e.Status)
	_, _ = w.Write(appendValue(nil, s.errorBody(e, h.Get("request-id"), h.Get("client-request-id"))))
}

// WriteJSON answers with any value as JSON under the service's content type.
func (s *Server) WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

func (s *Server) write(w http.ResponseWriter, a answer) {
	h := w.Header()
	for k, vs := range a.header {
		h[http.CanonicalHeaderKey(k)] = vs
	}
	body := a.raw
	if a.entity != nil {
		h.Set("Content-Type", jsonType)
		body = appendValue(nil, a.entity)
	} else if a.ctype != "" {
		h.Set("Content-Type", a.ctype)
	}
	if len(body) == 0 && a.status != http.StatusNoContent && a.entity == nil && a.ctype == "" {
		h.Set("Content-Length", "0")
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // a client that went away is not the server's trouble
}
