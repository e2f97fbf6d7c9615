package httpd

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestProof: the answer hangs on the nonce, is nobody's to keep, and a provider's
// plugin is not asked.
func TestProof(t *testing.T) {
	h := Handler(Options{Prove: func(nonce string) string { return "proof of " + nonce }})
	ask := func(target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		return w
	}
	const nonce = "ABCDEFGHIJKLMNOP234567"
	if w := ask("/oauth/example" + ProofPath + "?nonce=" + nonce); w.Code != 200 || w.Body.String() != "proof of "+nonce {
		t.Errorf("on the owners' way: %d %s", w.Code, w.Body)
	}
	if w := ask("/notify/example" + ProofPath + "?nonce=" + nonce); w.Code != 200 || w.Body.String() != "proof of "+nonce || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	for _, bad := range []string{"", "short", "abcdefghijklmnopqrst", nonce + "%0A", nonce + nonce + nonce + nonce} {
		if w := ask("/notify/example" + ProofPath + "?nonce=" + bad); w.Code != 400 {
			t.Errorf("%q: %d %q", bad, w.Code, w.Body)
		}
	}
}
