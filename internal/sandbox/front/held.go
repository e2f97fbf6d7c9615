package front

import "net/http"

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A Held answer is kept until it is released. It is an http.ResponseWriter;
// the zero value is not ready, see Hold.
type Held struct {
	Body   []byte
	header http.Header
	status int
}

// Hold makes an empty answer.
func Hold() *Held { return &Held{header: http.Header{}} }

// Header is the answer's.
func (h *Held) Header() http.Header { return h.header }

// WriteHeader sets the status, once.
func (h *Held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

// Status is the answer's; 200 where none was set.
func (h *Held) Status() int {
	if h.status == 0 {
		return http.StatusOK
	}
	return h.status
}

// Write adds to the body.
func (h *Held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	h.Body = append(h.Body, b...)
	return len(b), nil
}

// Release writes the answer to its client.
func (h *Held) Release(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
	h.WriteHeader(http.StatusOK)
	w.WriteHeader(h.status)
	// The client is gone when this fails; there is nobody left to tell.
	_, _ = w.Write(h.Body)
}
