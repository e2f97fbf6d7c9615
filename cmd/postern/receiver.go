package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiverCmd is the demo's webhook receiver, a process of its own: it prints
// its address, reads the endpoint's secret from standard input, and then
// prints one JSON line per webhook. It ends with its standard input.
type receiverCmd struct {
	Listen string `default:"127.0.0.1:0"`
}

// received is one line of the receiver's output.
type received struct {
	Address  string          `json:"address,omitempty"`
	ID       string          `json:"id,omitempty"`
	Verified bool            `json:"verified"`
	Error    string          `json:"error,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
}

func (r receiverCmd) Run(e *env) error {
	l, err := net.Listen("tcp", r.Listen)
	if err != nil {
		return err
	}
	out := json.NewEncoder(e.stdout)
	if err := out.Encode(received{Address: l.Addr().String()}); err != nil {
		return err
	}
	in := bufio.NewReader(e.stdin)
	secret, err := in.ReadString('\n')
	if err != nil {
		return errors.Join(errors.New("no secret was given"), l.Close())
	}
	// The public library of Standard Webhooks checks what Postern signed.
	verifier, err := standardwebhooks.NewWebhook(strings.TrimSpace(secret))
	if err != nil {
		return errors.Join(fmt.Errorf("the secret cannot be used: %w", err), l.Close())
	}
	var mu sync.Mutex
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 4<<20))
		if err != nil {
			http.Error(w, "cannot read", http.StatusBadRequest)
			return
		}
		line := received{ID: req.Header.Get("Webhook-Id"), Verified: true}
		if json.Valid(body) {
			line.Body = body
		}
		if err := verifier.Verify(body, req.Header); err != nil {
			line.Verified, line.Error = false, err.Error()
		}
		mu.Lock()
		err = out.Encode(line)
		mu.Unlock()
		switch {
		case err != nil:
			http.Error(w, "cannot print", http.StatusInternalServerError)
		case !line.Verified:
			http.Error(w, "signature refused", http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, MaxHeaderBytes: 32 << 10}
	ctx := untilEOF(e.ctx, in)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return srv.Close()
	}
}
