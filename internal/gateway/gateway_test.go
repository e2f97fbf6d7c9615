package gateway

import (
	"fmt"
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
