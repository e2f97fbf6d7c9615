package webhook

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// mustGuard makes a guard that lets plain http pass.
func mustGuard(t testing.TB, allow ...string) *Guard {
	t.Helper()
	g, err := NewGuard(Rules{Allow: allow, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGuardRefusesEveryRowOfTheTable(t *testing.T) {
	g := mustGuard(t)
	for address, rule := range map[string]string{
		"0.0.0.0": "this network", "0.1.2.3": "this network",
		"10.0.0.1": "private", "10.255.255.255": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"100.64.0.1": "carrier-grade", "100.127.255.255": "carrier-grade",
		"127.0.0.1": "loopback", "127.255.255.254": "loopback",
		"169.254.169.254": "link-local and cloud metadata",
		"192.0.0.1":       "protocol assignments", "192.0.0.192": "protocol assignments",
		"192.0.2.1": "documentation", "198.51.100.7": "documentation", "203.0.113.255": "documentation",
		"192.88.99.1": "6to4 relay",
		"198.18.0.1":  "benchmarking", "198.19.255.255": "benchmarking",
		"224.0.0.1": "multicast", "239.255.255.255": "multicast",
		"240.0.0.1": "reserved", "255.255.255.255": "broadcast",
		"::": "unspecified", "::1": "loopback", "::7f00:1": "IPv4-compatible",
		"::ffff:127.0.0.1": "loopback", "::ffff:10.1.2.3": "private", "::ffff:169.254.169.254": "link-local",
		"::ffff:0:127.0.0.1":  "IPv4-translated",
		"64:ff9b::7f00:1":     "NAT64",
		"64:ff9b:1::a00:1":    "local NAT64",
		"100::1":              "discard",
		"100:0:0:1::1":        "dummy",
		"2001::1":             "Teredo",
		"2001:0:4136:e378::1": "Teredo",
		"2001:2::1":           "protocol assignments",
		"2001:20::1":          "protocol assignments",
		"2001:db8::1":         "documentation",
		"2002:7f00:1::":       "6to4", "2002:a00:1::1": "6to4",
		"3fff::1":         "documentation",
		"5f00::1":         "segment routing",
		"fc00::1":         "unique local",
		"fd00:ec2::254":   "unique local",
		"fe80::1":         "link-local",
		"fe80::1%eth0":    "zone",
		"fec0::1":         "site-local",
		"ff02::1":         "multicast",
		"4000::1":         "not global unicast",
		"1::1":            "not global unicast",
		"64:ff9b:2::1":    "not global unicast",
		"ffff:ffff::ffff": "multicast",
	} {
		err := g.Check(netip.MustParseAddr(address))
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(refused.Rule, rule) {
			t.Errorf("%s: %v, want a refusal that says %q", address, err, rule)
			continue
		}
		if !strings.Contains(err.Error(), "webhooks.allow") {
			t.Errorf("%s: %q names no setting", address, err)
		}
	}
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"2606:4700:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "2003::1", "2001:200::1", "::ffff:8.8.8.8",
	} {
		if err := g.Check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s: %v, want it let through", address, err)
		}
	}
}

func TestGuardAllowList(t *testing.T) {
	g := mustGuard(t, "10.1.0.0/16", "127.0.0.1", "[::1]", "fd00::/8", "Sink.LAN.", "::ffff:192.168.7.7")
	for address, ok := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "127.0.0.2": false, "::ffff:127.0.0.1": true,
		"::1": true, "fd12::1": true, "fc00::1": false, "192.168.7.7": true, "192.168.7.8": false,
	} {
		if err := g.Check(netip.MustParseAddr(address)); (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", address, err, ok)
		}
	}
	for host, ok := range map[string]bool{"sink.lan": true, "SINK.lan.": true, "x.sink.lan": false, "lan": false} {
		if g.AllowsHost(host) != ok {
			t.Errorf("AllowsHost(%q) = %v", host, !ok)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "10.1", "0x7f000001", "a b", "fe80::1%eth0", "*.lan", "http://x"} {
		if _, err := NewGuard(Rules{Allow: []string{bad}}); err == nil {
			t.Errorf("NewGuard(%q) was accepted", bad)
		}
	}
}

func TestCheckURL(t *testing.T) {
	guard, err := NewGuard(Rules{})
	if err != nil {
		t.Fatal(err)
	}
	strict := New(nil, nil, guard, Options{})
	for _, good := range []string{
		"https://example.com", "https://example.com/a/b?c=d", "https://example.com:8443/x", "https://1.1.1.1/",
		"https://[2606:4700:4700::1111]/", "https://under_score.example.com/", "https://bücher.example/", "https://EXAMPLE.com./",
	} {
		if err := strict.checkURL("op", good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	secret := "hunter2"
	for url, want := range map[string]string{
		"":                                     "missing",
		"https://":                             "no host",
		"https:example.com":                    "no host",
		"//example.com":                        "https://",
		"example.com":                          "https://",
		"ftp://example.com":                    "https://",
		"javascript:alert(1)":                  "https://",
		"http://example.com":                   "webhooks.allow_http",
		"https://u:" + secret + "@x.example":   "credentials",
		"https://u@x.example":                  "credentials",
		"https://x.example/%zz" + secret:       "not a URL",
		"https://x.example/#frag":              "fragment",
		"https://x.example/#":                  "fragment",
		"https://x.example:0/":                 "between 1 and 65535",
		"https://x.example:65536/":             "between 1 and 65535",
		"https://x.example:x/":                 "not a URL",
		"https://x.example:25/":                "port 25",
		"https://x.example:6667/":              "port 6667",
		"https://127.0.0.1/":                   "loopback",
		"https://127.1/":                       "neither a name nor an address",
		"https://2130706433/":                  "neither a name nor an address",
		"https://0x7f000001/":                  "neither a name nor an address",
		"https://0177.0.0.1/":                  "neither a name nor an address",
		"https://10.0.0.5:8443/":               "10.0.0.5 is refused (10.0.0.0/8, private network, RFC 1918); the setting webhooks.allow can permit it",
		"https://[::1]/":                       "loopback",
		"https://[::ffff:10.0.0.1]/":           "private",
		"https://[fe80::1%25eth0]/":            "zone",
		"https://localhost/":                   "loopback, RFC 6761",
		"https://LocalHost./":                  "loopback, RFC 6761",
		"https://api.localhost/":               "loopback, RFC 6761",
		"https://a b.example/":                 "not a URL",
		"https://a..example/":                  "neither a name",
		"https://x.example/" + long('a', 2048): "longer than 2048",
	} {
		err := strict.checkURL("op", url)
		if mail.KindOf(err) != mail.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want invalid, %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%.60s: the error repeats the URL: %v", url, err)
		}
	}
	lenient := New(nil, nil, mustGuard(t, "127.0.0.0/8", "sink.lan"), Options{})
	for _, good := range []string{"http://127.0.0.1:9000/x", "http://localhost:9000", "https://sink.lan/", "http://example.com"} {
		if err := lenient.checkURL("op", good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	if err := lenient.checkURL("op", "http://10.0.0.1/"); err == nil {
		t.Error("an address beside the allowed network was accepted")
	}
}

func long(c byte, n int) string { return strings.Repeat(string(c), n) }
