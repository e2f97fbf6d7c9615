package providertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// maxNotification bounds what a provider may push.
const maxNotification = 1 << 20

// notifyPath is where notifications arrive.
const notifyPath = "/notify"

// listener is where a world's provider pushes to.
type listener struct {
	// Listen is the address of the socket, 127.0.0.1:0 where it is empty.
	Listen string `yaml:"listen"`
	// URL under which the provider reaches the socket; {port} is its port.
	URL string `yaml:"url"`
	// CertFile and KeyFile make it https.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// serve listens until ctx ends, and hands every request to the handler.
func (l *listener) serve(ctx context.Context, w *worldFile, handler func(*provider.NotifyRequest) *provider.NotifyResponse) (string, error) {
	address := l.Listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen for notifications: %w", err)
	}
	_, port, err := net.SplitHostPort(socket.Addr().String())
	if err != nil {
		return "", errors.Join(err, socket.Close())
	}
	secure := l.CertFile != ""
	template := l.URL
	if template == "" {
		template = "http://127.0.0.1:{port}" + notifyPath
		if secure {
			template = "https://localhost:{port}" + notifyPath
		}
	}
	url, err := w.values(values{"port": port}).fill(template, plain)
	if err != nil {
		return "", errors.Join(fmt.Errorf("notifications.url: %w", err), socket.Close())
	}
	server := &http.Server{
		Handler:           notifyHandler(handler),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // the listener's error is told by Serve
	go func() {
		if secure {
			_ = server.ServeTLS(socket, w.path(l.CertFile), w.path(l.KeyFile))
			return
		}
		_ = server.Serve(socket) // ends with ErrServerClosed when ctx does
	}()
	return url, nil
}

func notifyHandler(handler func(*provider.NotifyRequest) *provider.NotifyResponse) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotification))
		if err != nil {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		resp := handler(&provider.NotifyRequest{
			Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, notifyPath), Query: r.URL.RawQuery,
			Header: r.Header, Body: body,
		})
		for name, list := range resp.Header {
			for _, value := range list {
				w.Header().Add(name, value)
			}
		}
		w.WriteHeader(resp.Status)
		_, _ = w.Write(resp.Body) // the provider is gone when this fails
	})
}
