package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1": true, "localhost": true, "LocalHost:1": true, "[::1]:8080": true, "::1": true, "[::1]": true,
		"127.8.9.10:1": true, "[::ffff:127.0.0.1]:1": true,
		"": false, "0.0.0.0:8080": false, "[::]:8080": false, "192.0.2.1:80": false, "mail.example.com": false,
		"localhost.example.com:80": false, "127.0.0.1.example.com": false, ":8080": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// TestExplorerKey: a page of another site whose name resolves to this machine
// is shown no key.
func TestExplorerKey(t *testing.T) {
	answer := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) })
	}
	h := atLoopback(answer("key"), answer("none"))
	for host, want := range map[string]string{"localhost:8080": "key", "127.0.0.1:8080": "key", "[::1]:8080": "key", "rebound.example:8080": "none", "": "none"} {
		r := httptest.NewRequest("GET", "/graphiql", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Body.String() != want {
			t.Errorf("at %q: %s", host, w.Body)
		}
	}
}

func TestDecodedPartsAreBounded(t *testing.T) {
	var d decodedParts
	key := func(i int) partKey { return partKey{message: fmt.Sprint(i), blob: "b", part: "1"} }
	for i := range maxDecoded {
		d.put(key(i), decodedPart{digest: fmt.Sprint(i)})
	}
	if _, ok := d.get(key(0)); !ok { // now the last used
		t.Fatal("a part is forgotten too early")
	}
	d.put(key(maxDecoded), decodedPart{})
	if _, ok := d.get(key(1)); ok || d.order.Len() != maxDecoded || len(d.parts) != maxDecoded {
		t.Errorf("%d parts are remembered, the oldest %v", d.order.Len(), ok)
	}
	if p, ok := d.get(key(0)); !ok || p.digest != "0" {
		t.Errorf("the part used last: %+v %v", p, ok)
	}
}
