package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

// msal is Microsoft's own client on the world's server, with a transport that
// trusts it.
func (w *world) msal(t *testing.T, cred confidential.Credential, tenant string) confidential.Client {
	t.Helper()
	c, err := confidential.New(w.server.URL+"/"+tenant, DefaultAppID, cred,
		confidential.WithHTTPClient(&http.Client{Transport: w.server.Client().Transport}), confidential.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func secretCredential(t *testing.T, secret string) confidential.Credential {
	t.Helper()
	cred, err := confidential.NewCredFromSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func certCredential(t *testing.T) (confidential.Credential, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := confidential.NewCredFromCert([]*x509.Certificate{cert}, key)
	if err != nil {
		t.Fatal(err)
	}
	return cred, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestMSAL(t *testing.T) {
	certCred, certPEM := certCredential(t)
	app := DefaultApp()
	app.Certificates = []string{certPEM}
	for name, cred := range map[string]confidential.Credential{"secret": secretCredential(t, DefaultAppSecret), "certificate": certCred} {
		for _, tenant := range []string{"common", DefaultTenant, "contoso.example"} {
			t.Run(name+"/"+tenant, func(t *testing.T) {
				w := newWorld(t, Settings{AccessTokenLifetime: 299 * time.Second}, app) // never cached
				c := w.msal(t, cred, tenant)
				scopes := []string{"Mail.ReadWrite", "Mail.Send", "User.Read"}
				got, err := c.AcquireTokenByAuthCode(t.Context(), w.code(ada.Address), callback, scopes, confidential.WithChallenge(verifier))
				if err != nil {
					t.Fatal(err)
				}
				if got.Account.HomeAccountID != ada.ID+"."+DefaultTenant || got.IDToken.PreferredUsername != ada.Address {
					t.Errorf("account %+v, id token %+v", got.Account, got.IDToken)
				}
				fresh, err := c.AcquireTokenSilent(t.Context(), scopes, confidential.WithSilentAccount(got.Account))
				if err != nil {
					t.Fatal(err)
				}
				if b, err := w.p.Bearer("Bearer " + fresh.AccessToken); err != nil || b.User != ada || fresh.AccessToken == got.AccessToken {
					t.Errorf("the refreshed token: %+v, %v", b, err)
				}
				if got := w.counters.Report("", "").Tokens["refresh_token"]["ok"]; got != 1 {
					t.Errorf("%d refreshes, want 1", got)
				}
			})
		}
	}
}

func TestMSALWithFullScopes(t *testing.T) {
	w := newWorld(t, Settings{})
	c := w.msal(t, secretCredential(t, DefaultAppSecret), "common")
	scopes := []string{"https://graph.microsoft.com/Mail.ReadWrite", "https://graph.microsoft.com/User.Read"}
	code := w.code(ada.Address, "scope", "openid profile offline_access "+strings.Join(scopes, " "))
	if _, err := c.AcquireTokenByAuthCode(t.Context(), code, callback, scopes, confidential.WithChallenge(verifier)); err != nil {
		t.Fatal(err)
	}
}

// A token of 300 s is never cached, one of 301 s is.
func TestMSALCachesOnlyWhatLivesLongEnough(t *testing.T) {
	for life, refreshes := range map[time.Duration]int64{299 * time.Second: 2, 320 * time.Second: 0} {
		w := newWorld(t, Settings{AccessTokenLifetime: life})
		c := w.msal(t, secretCredential(t, DefaultAppSecret), "common")
		scopes := []string{"Mail.ReadWrite"}
		got, err := c.AcquireTokenByAuthCode(t.Context(), w.code(ada.Address), callback, scopes, confidential.WithChallenge(verifier))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := c.AcquireTokenSilent(t.Context(), scopes, confidential.WithSilentAccount(got.Account)); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.counters.Report("", "").Tokens["refresh_token"]["ok"]; n != refreshes {
			t.Errorf("life %v: %d refreshes, want %d", life, n, refreshes)
		}
	}
}

func TestMSALSeesTheErrors(t *testing.T) {
	w := newWorld(t, Settings{AccessTokenLifetime: 200 * time.Second})
	scopes := []string{"Mail.ReadWrite"}
	good := w.msal(t, secretCredential(t, DefaultAppSecret), "common")
	got, err := good.AcquireTokenByAuthCode(t.Context(), w.code(ada.Address), callback, scopes, confidential.WithChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	w.p.Revoke(ada, false)
	_, err = good.AcquireTokenSilent(t.Context(), scopes, confidential.WithSilentAccount(got.Account))
	wantCallError(t, err, http.StatusBadRequest, "AADSTS50173")

	bad := w.msal(t, secretCredential(t, "guess"), "common")
	_, err = bad.AcquireTokenByAuthCode(t.Context(), w.code(ada.Address), callback, scopes, confidential.WithChallenge(verifier))
	wantCallError(t, err, http.StatusUnauthorized, "AADSTS7000215")

	strange, _ := certCredential(t)
	_, err = w.msal(t, strange, "common").AcquireTokenByAuthCode(context.Background(), w.code(ada.Address), callback, scopes, confidential.WithChallenge(verifier))
	wantCallError(t, err, http.StatusUnauthorized, "AADSTS700027")
}

func wantCallError(t *testing.T, err error, status int, code string) {
	t.Helper()
	var call msalerrors.CallErr
	if !errors.As(err, &call) {
		t.Fatalf("got %v, want a call error", err)
	}
	if call.Resp.StatusCode != status || !strings.Contains(call.Err.Error(), code) {
		t.Errorf("got %d %v, want %d %s", call.Resp.StatusCode, call.Err, status, code)
	}
}

// With instance discovery on, MSAL asks a Microsoft host whether it knows
// ours; a transport that brings every host to the sandbox gets an answer.
func TestMSALWithInstanceDiscovery(t *testing.T) {
	w := newWorld(t, Settings{})
	base := w.server.Client().Transport
	via := roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.URL.Host = strings.TrimPrefix(w.server.URL, "https://")
		return base.RoundTrip(r)
	})
	cred := secretCredential(t, DefaultAppSecret)
	c, err := confidential.New(w.server.URL+"/common", DefaultAppID, cred, confidential.WithHTTPClient(&http.Client{Transport: via}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AcquireTokenByAuthCode(t.Context(), w.code(ada.Address), callback, []string{"Mail.Send"}, confidential.WithChallenge(verifier)); err != nil {
		t.Fatal(err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
