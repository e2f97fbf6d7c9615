package webhook

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Header is one that an endpoint's owner adds to every request. Its value is
// sealed with the rest of the endpoint and shown to nobody again.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Limits of what an owner adds.
const (
	maxExtraHeaders = 20
	maxExtraValue   = 4 << 10
	maxCertificate  = 32 << 10
)

// ourHeaders are set by us, or by the protocol.
func ourHeader(name string) bool {
	switch name {
	case "Content-Type", "Content-Length", "Content-Encoding", "User-Agent", "Host", "Accept-Encoding", // what we say
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect": // RFC 9110, 7.6.1 and 10.1.1
		return true
	}
	for _, prefix := range []string{"Webhook-", "Postern-", "Proxy-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// checkHeaders refuses what is no header, or not the owner's to set. No error
// repeats a value.
func checkHeaders(op string, headers []Header) error {
	if len(headers) > maxExtraHeaders {
		return mail.Errorf(mail.KindInvalid, op, "at most %d headers", maxExtraHeaders)
	}
	var seen []string
	for _, h := range headers {
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name):
			return mail.Errorf(mail.KindInvalid, op, "%q is no header's name", h.Name)
		case ourHeader(name):
			return mail.Errorf(mail.KindInvalid, op, "the header %s is set by Postern", name)
		case slices.Contains(seen, name):
			return mail.Errorf(mail.KindInvalid, op, "the header %s stands there twice", name)
		case len(h.Value) > maxExtraValue || !httpguts.ValidHeaderFieldValue(h.Value):
			return mail.Errorf(mail.KindInvalid, op, "the value of the header %s is too long or has control characters", name)
		}
		seen = append(seen, name)
	}
	return nil
}

// certificates reads an endpoint's client certificate, none where it has none.
func (c *config) certificates() ([]tls.Certificate, error) {
	if c.ClientCertificate == "" && c.ClientKey == "" {
		return nil, nil
	}
	pair, err := tls.X509KeyPair([]byte(c.ClientCertificate), []byte(c.ClientKey))
	if err != nil {
		return nil, err
	}
	return []tls.Certificate{pair}, nil
}

// checkCertificate refuses a certificate and key that do not belong together.
func (c *config) checkCertificate(op string) error {
	switch {
	case (c.ClientCertificate == "") != (c.ClientKey == ""):
		return mail.Errorf(mail.KindInvalid, op, "a client certificate and its key belong together")
	case len(c.ClientCertificate) > maxCertificate || len(c.ClientKey) > maxCertificate:
		return mail.Errorf(mail.KindInvalid, op, "the client certificate or its key is too long")
	}
	if _, err := c.certificates(); err != nil {
		return mail.Errorf(mail.KindInvalid, op, "the client certificate and its key are no pair in PEM: %w", err)
	}
	return nil
}

// addHeaders sets the owner's headers.
func addHeaders(to http.Header, headers []Header) {
	for _, h := range headers {
		to.Set(h.Name, h.Value)
	}
}

// Bounds of a secret that an owner brings along (Standard Webhooks, "HMAC").
const (
	minSecret = 24
	maxSecret = 64
)

// bring makes a key of a secret that the owner has already, so that receivers
// need no change when they are moved here.
func bring(op, secret string) (signingKey, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if !strings.HasPrefix(secret, secretPrefix) || err != nil || len(raw) < minSecret || len(raw) > maxSecret || bytes.Count(raw, raw[:1]) == len(raw) {
		return signingKey{}, mail.Errorf(mail.KindInvalid, op, "the secret must be whsec_ and base64 of %d to %d random bytes", minSecret, maxSecret)
	}
	k := signingKey{Secret: secret}
	return k, k.decode()
}
