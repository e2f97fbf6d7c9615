package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/httpd"
	"github.com/postern-mail/postern/internal/localca"
)

// prover answers nonces with a key of this process alone.
type prover struct{ key [32]byte }

func newProver() *prover {
	p := &prover{}
	rand.Read(p.key[:]) // never fails
	return p
}

func (p *prover) prove(nonce string) string {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte("public url\x00" + nonce))
	return hex.EncodeToString(mac.Sum(nil))
}

// proved is what the command socket answers.
type proved struct {
	Proof string `json:"proof"`
}

// Proving gives what the gateway of these settings answers to a nonce at
// ProofURL: it asks the one that runs. Where none does, it listens itself at
// http.listen until stop is called, so that the way there can be tried before
// the first start.
func Proving(ctx context.Context, cfg *config.Config) (prove func(nonce string) (string, error), stop func(), err error) {
	ask := func(nonce string) (string, error) {
		var out proved
		err := Call(ctx, cfg, http.MethodGet, "/prove?nonce="+url.QueryEscape(nonce), &out)
		return out.Proof, err
	}
	if _, err := ask(rand.Text()); err == nil {
		return ask, func() {}, nil
	} else if !errors.Is(err, ErrNotRunning) {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", cfg.HTTP.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("http.listen: %w", err)
	}
	if cfg.HTTP.TLSCert != "" {
		files, err := localca.Load(cfg.HTTP.TLSCert, cfg.HTTP.TLSKey, nil, nil)
		if err != nil {
			_ = l.Close()
			return nil, nil, &SettingsError{fmt.Errorf("http.tls_cert: %w", err)}
		}
		l = tlsListener(l, files)
	}
	p, mux := newProver(), http.NewServeMux()
	mux.HandleFunc("GET /notify/{provider}"+httpd.ProofPath, httpd.Proof(p.prove))
	mux.HandleFunc("GET /oauth/{provider}"+httpd.ProofPath, httpd.Proof(p.prove))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = httpd.Serve(ctx, l, mux, time.Second) // nobody's request is left to finish
	}()
	return func(nonce string) (string, error) { return p.prove(nonce), nil }, func() { cancel(); <-done }, nil
}

// ProofURL is where an instance's provider would come by, asked for a proof; where
// it pushes nothing, where owners come back from it.
func ProofURL(cfg *config.Config, instance, nonce string) string {
	way := "oauth"
	if cfg.Pushes(instance) {
		way = "notify"
	}
	u := cfg.Public().JoinPath(way, instance, httpd.ProofPath)
	u.RawQuery = url.Values{"nonce": {nonce}}.Encode()
	return u.String()
}
