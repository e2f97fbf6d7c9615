package gmail

import (
	"encoding/json"
	"errors"
	"html"
	"net/http"
)

// answer writes a handler's result.
func (c *call) answer(v any) {
	if v == nil {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	if _, done := v.(answered); done {
		return
	}
	b, err := json.Marshal(v)
	if err == nil && c.mask != nil {
		b, err = c.mask.apply(b)
	}
	if err != nil {
		c.refuse(err)
		return
	}
	writeJSON(c.w, http.StatusOK, b)
}

// refuse writes an error.
func (c *call) refuse(err error) {
	var e *Error
	if !errors.As(err, &e) {
		c.s.opts.Log.Error("request failed", "method", c.method.id, "error", err)
		e = errInternal()
	}
	WriteError(c.w, e)
}

// WriteError answers with a refusal in the API's form.
func WriteError(w http.ResponseWriter, e *Error) {
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	b, err := json.Marshal(e)
	if err != nil { // details are made here of strings alone
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	writeJSON(w, e.Code, b)
}

func writeJSON(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Cache-Control", "private")
	h.Add("Vary", "Origin")
	h.Add("Vary", "X-Origin")
	h.Add("Vary", "Referer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Server", "ESF")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// writeNoSuchURL is the page that Google's front end shows for a path that is
// no method: HTML, not the API's form.
func writeNoSuchURL(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("<!DOCTYPE html>\n<html lang=en>\n  <title>Error 404 (Not Found)!!1</title>\n" +
		"  <p><b>404.</b> <ins>That\u2019s an error.</ins>\n  <p>The requested URL <code>" + html.EscapeString(r.URL.Path) +
		"</code> was not found on this server.  <ins>That\u2019s all we know.</ins>\n"))
}
