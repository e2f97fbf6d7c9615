package main

import (
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// relay stands at the gateway's public address and notes when notifications
// come: a provider gathers them for a while, which is no part of our path.
type relay struct {
	url    string
	server *http.Server
	target atomic.Pointer[url.URL]
	served chan error
	// came is when the first notification since reset began, in nanoseconds.
	came atomic.Int64
}

func startRelay() (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{url: "http://" + l.Addr().String(), served: make(chan error, 1)}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(r.target.Load())
		p.Out.Host = p.In.Host
	}}
	r.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/notify/") {
			r.came.CompareAndSwap(0, time.Now().UnixNano())
		}
		proxy.ServeHTTP(w, req)
	})}
	go func() { r.served <- r.server.Serve(l) }()
	return r, nil
}

func (r *relay) reset() { r.came.Store(0) }

// since is when the first notification came; a message may be found by a round
// that was due anyway, before any.
func (r *relay) since() (time.Time, bool) {
	at := r.came.Load()
	return time.Unix(0, at), at != 0
}

func (r *relay) close() error {
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
