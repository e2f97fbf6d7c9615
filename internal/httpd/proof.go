package httpd

import (
	"io"
	"net/http"
	"regexp"
)

// ProofPath follows a provider's notification URL, and the folder of its redirect
// URI: what is asked there is answered by the gateway itself, to show that an
// address leads to it.
const ProofPath = "/.well-known/postern"

// nonces are what a proof is asked for with.
var nonces = regexp.MustCompile(`^[A-Z2-7]{16,64}$`)

// Proof answers a nonce as only one gateway can: who knows the answer, too, has
// found the way to it. It says nothing about anything else.
func Proof(prove func(nonce string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		nonce := r.URL.Query().Get("nonce")
		if !nonces.MatchString(nonce) {
			http.Error(w, "a nonce is needed", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, prove(nonce))
	}
}
