package httpd

import "net/http"

// Authority gives the root certificate of the local authority to whoever asks:
// it is no secret. The type is the one by which systems offer to install it.
func Authority(pem []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		w.Header().Set("Content-Disposition", `attachment; filename="postern-ca.pem"`)
		_, _ = w.Write(pem)
	})
}
