package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// makeElaborateEndpoints makes an endpoint with everything that one can have,
// and one whose certificate nobody vouches for.
func (w *walk) makeElaborateEndpoints(create func(map[string]any) string) {
	certificate, key := w.certificate()
	// By name, so that something is resolved.
	url := strings.Replace(w.hooks.URL, "127.0.0.1", "localhost", 1)
	elaborate := create(map[string]any{"url": url + "/elaborate", "events": []string{"PING"}, "signature": "ED25519", "inFlight": 2, "perSecond": 50, "onExhausted": "HALT",
		"headers": []map[string]any{{"name": "X-Tenant", "value": "7"}}, "clientCertificate": certificate, "clientKey": key,
		"oauth": map[string]any{"tokenUrl": w.tokens(), "clientId": "postern", "clientSecret": "s", "scopes": []string{"hooks"}}})
	w.ask(`mutation($id: ID!) { __typename rotateEndpointSecret(id: $id, overlapSeconds: 3600) { ...EndpointWithSecret endpoint { ...Endpoint keys { ...EndpointKey } oauth { ...EndpointOAuth } } } }`,
		map[string]any{"id": elaborate})

	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told that its certificate is unknown
	srv.StartTLS()
	w.t.Cleanup(srv.Close)
	unknown := create(map[string]any{"url": srv.URL, "events": []string{"PING"}, "attempts": 1})
	for id, state := range map[string]string{elaborate: "DELIVERED", unknown: "DEAD"} {
		w.ask(`mutation($id: ID!) { __typename sendTestEvent(id: $id) { ...Delivery } }`, map[string]any{"id": id})
		w.eventually("a test is "+state, func() bool {
			data := w.ask(`query($f: DeliveryFilter) { __typename deliveries(first: 1, filter: $f) { edges { node { ...Delivery attempts { ...Attempt } } } } }`,
				map[string]any{"f": map[string]any{"endpoint": id, "state": state}})
			return len(at(data, "deliveries", "edges").([]any)) == 1
		})
	}
}

// tokens is a token endpoint.
func (w *walk) tokens() (url string) {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, `{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}`) //nolint:errcheck // the walk would end without it
	}))
	w.t.Cleanup(srv.Close)
	return srv.URL
}

// certificate makes one for a client, with its key, in PEM.
func (w *walk) certificate() (certificate, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "walker"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		w.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}
