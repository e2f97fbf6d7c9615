package httpd

import "net/http"

// Authority gives the root certificate of the local authority to whoever asks:
// it is no secret. The type is the one by which systems offer to install it.
// Without one (pem is empty) it says why: the doors have a certificate of the
// operator's own.
func Authority(pem []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(pem) == 0 {
			http.Error(w, "This gateway has no certificate authority of its own: IMAP and SMTP show the certificate of tls.cert. "+
				"Mail programs that do not trust it need the root of whoever issued it.", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		w.Header().Set("Content-Disposition", `attachment; filename="postern-ca.pem"`)
		_, _ = w.Write(pem)
	})
}
