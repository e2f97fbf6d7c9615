package webhook

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// zone is a resolver for any name: answer is given the name and how often its
// addresses were asked for before.
func zone(t *testing.T, answer func(name string, n int) netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf, asked := make([]byte, 1500), map[string]int{}
		for {
			size, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:size]); err != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			key := q.Name.String() + q.Type.String() // both types are asked for, side by side
			a := answer(strings.TrimSuffix(q.Name.String(), "."), asked[key])
			asked[key]++
			switch {
			case q.Type == dnsmessage.TypeA && a.Is4():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: a.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
			}
			if packed, err := m.Pack(); err == nil {
				pc.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// refusedClasses has one or more addresses of every class that is refused, and
// what the rule must say.
func refusedClasses() map[string]string {
	return map[string]string{
		"10.1.2.3": "RFC 1918", "172.16.9.9": "RFC 1918", "192.168.1.1": "RFC 1918",
		"127.0.0.1": "loopback", "127.255.0.1": "loopback", "::1": "loopback",
		"169.254.169.254": "metadata", "fe80::1": "link-local",
		"100.64.0.1": "carrier-grade NAT", "0.0.0.0": "this network", "0.1.2.3": "this network", "::": "unspecified",
		"192.0.0.8": "protocol assignments", "198.18.0.1": "benchmarking",
		"240.0.0.1": "reserved", "255.255.255.255": "broadcast", "224.0.0.251": "multicast", "ff02::fb": "multicast",
		"192.0.2.1": "documentation", "198.51.100.1": "documentation", "203.0.113.1": "documentation", "2001:db8::1": "documentation", "3fff::1": "documentation",
		"192.88.99.1": "6to4 relay", "fd00:ec2::254": "unique local", "fc00::1": "unique local", "fec0::1": "site-local",
		"100::1": "discard", "5f00::1": "segment routing", "2002:808:808::1": "6to4", "64:ff9b::808:808": "NAT64", "64:ff9b:1::808:808": "local NAT64",
		"2001:0:808:808::f7f7:f7f7": "Teredo",
	}
}

// disguises are the ways of writing an IPv4 address inside IPv6.
func disguises(a netip.Addr) map[string]netip.Addr {
	v4 := a.As4()
	with := func(prefix string, at int) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[at:], v4[:])
		return netip.AddrFrom16(b)
	}
	teredo := netip.MustParseAddr("2001:0:808:808::").As16()
	binary.BigEndian.PutUint32(teredo[12:], ^binary.BigEndian.Uint32(v4[:]))
	return map[string]netip.Addr{
		"mapped": with("::ffff:0:0", 12), "compatible": with("::", 12), "translated": with("::ffff:0:0:0", 12), "NAT64": with("64:ff9b::", 12),
		"local NAT64": with("64:ff9b:1::", 12), "6to4": with("2002::1", 2), "Teredo": netip.AddrFrom16(teredo),
	}
}

// TestRefusedAddressesStaySilent comes to every class of address that is
// refused by every way there is. Whatever listens here, on the port that all
// ways lead to, must hear nothing.
func TestRefusedAddressesStaySilent(t *testing.T) {
	var heard atomic.Int32
	var outer http.HandlerFunc // the receiver that is allowed, at an address of its own
	var mu sync.Mutex
	door := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		outer(w, r)
	}))
	door.Listener.Close()
	listener, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	door.Listener = listener
	door.Config.SetKeepAlivesEnabled(false) // every attempt dials
	door.Start()
	defer door.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listening := 0
	for _, at := range []string{"127.0.0.1", "127.255.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(at, port))
		if err != nil {
			continue // a machine without IPv6, say; what is refused there is refused all the same
		}
		listening++
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				heard.Add(1)
				c.Close()
			}
		}()
	}
	if listening == 0 {
		t.Fatal("nothing listens")
	}

	allowed := netip.MustParseAddr("127.0.0.9")
	guard := mustGuard(t, allowed.String())
	service := New(nil, nil, guard, Options{})
	var target netip.Addr
	resolver := zone(t, func(name string, n int) netip.Addr {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(name, "second") && n == 0 {
			return allowed
		}
		return target
	})
	answer := func(h http.HandlerFunc) { mu.Lock(); outer = h; mu.Unlock() }
	n := 0
	refused := func(t *testing.T, c *Carrier, url, rule string) {
		t.Helper()
		out := c.Deliver(context.Background(), record(t, url), delivery(), testBody)
		if out.Class != outbox.ClassGuard || !strings.Contains(out.Error, rule) || !strings.Contains(out.Error, SettingAllow) {
			t.Errorf("%s: %s, %q, want it refused by %q", url, out.Class, out.Error, rule)
		}
	}
	for text, rule := range refusedClasses() {
		a := netip.MustParseAddr(text)
		t.Run(text, func(t *testing.T) {
			n++
			mu.Lock()
			target = a
			mu.Unlock()
			c := NewCarrier(guard, CarrierOptions{Resolver: resolver})
			literal := "http://" + net.JoinHostPort(text, port) + "/"

			// As literal: when the endpoint is made, and when it is sent to.
			err := service.checkURL("create endpoint", literal)
			if mail.KindOf(err) != mail.KindInvalid || !strings.Contains(err.Error(), rule) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), SettingAllow) {
				t.Errorf("as literal: %v", err)
			}
			refused(t, c, literal, rule)

			// As DNS answer.
			refused(t, c, fmt.Sprintf("http://first%d.example:%s/", n, port), rule)

			// As second DNS answer.
			answer(func(w http.ResponseWriter, _ *http.Request) {})
			second := record(t, fmt.Sprintf("http://second%d.example:%s/", n, port))
			if out := c.Deliver(context.Background(), second, delivery(), testBody); !out.OK {
				t.Errorf("the first answer: %+v", out)
			}
			if out := c.Deliver(context.Background(), second, delivery(), testBody); out.Class != outbox.ClassGuard || !strings.Contains(out.Error, rule) {
				t.Errorf("the second answer: %s, %q", out.Class, out.Error)
			}

			// By redirect.
			answer(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, literal, http.StatusTemporaryRedirect)
			})
			if out := c.Deliver(context.Background(), record(t, "http://127.0.0.9:"+port), delivery(), testBody); out.Class != outbox.Class3xx {
				t.Errorf("by redirect: %+v", out)
			}

			// In other clothes, as literal and as DNS answer.
			if !a.Is4() {
				return
			}
			for name, other := range disguises(a) {
				rule := rule
				if name == "compatible" && (text == "0.0.0.0") {
					rule = "unspecified" // it is `::`
				}
				refused(t, c, "http://"+net.JoinHostPort(other.String(), port)+"/"+name, rule)
				mu.Lock()
				target = other
				mu.Unlock()
				n++
				refused(t, c, fmt.Sprintf("http://other%d.example:%s/", n, port), rule)
			}
		})
	}
	if heard.Load() != 0 {
		t.Errorf("%d connections were made to what is refused", heard.Load())
	}
}

func TestAllowedTranslationsStillLeadNowhereInside(t *testing.T) {
	g := mustGuard(t, "64:ff9b::/96", "2002::/16")
	for text, ok := range map[string]bool{
		"64:ff9b::808:808": true, "2002:808:808::1": true,
		"64:ff9b::a01:203": false, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "2002:a9fe:a9fe::1": false, "2002:c0a8:101::1": false,
		"64:ff9b:1::808:808": false, "2001:0:808:808::f7f7:f7f7": false,
	} {
		if err := g.Check(netip.MustParseAddr(text)); (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", text, err, ok)
		}
	}
	both := mustGuard(t, "64:ff9b::/96", "10.0.0.0/8")
	if err := both.Check(netip.MustParseAddr("64:ff9b::a01:203")); err != nil {
		t.Errorf("allowed inside and outside: %v", err)
	}
}

// TestRulesOfAReload: what was allowed, and connected, is not any more.
func TestRulesOfAReload(t *testing.T) {
	var requests, closed atomic.Int32
	gone := make(chan struct{}, 10)
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	sink.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed.Add(1)
			gone <- struct{}{}
		}
	}
	sink.Start()
	defer sink.Close()
	wide := Rules{Allow: []string{"127.0.0.1"}, AllowHTTP: true}
	g, err := NewGuard(wide)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCarrier(g, CarrierOptions{})
	e := record(t, sink.URL)
	send := func() outbox.Outcome { return c.Deliver(context.Background(), e, delivery(), testBody) }
	if out := send(); !out.OK {
		t.Fatalf("%+v", out)
	}
	for what, rules := range map[string]struct {
		rules Rules
		names string
	}{
		"the address": {Rules{AllowHTTP: true}, SettingAllow},
		"the scheme":  {Rules{Allow: wide.Allow}, SettingAllowHTTP},
	} {
		if err := g.Set(rules.rules); err != nil {
			t.Fatal(err)
		}
		before := requests.Load()
		if out := send(); out.Class != outbox.ClassGuard || !strings.Contains(out.Error, rules.names) || requests.Load() != before {
			t.Errorf("%s is not allowed any more: %+v, %d requests", what, out, requests.Load()-before)
		}
		if err := g.Set(wide); err != nil {
			t.Fatal(err)
		}
		if out := send(); !out.OK {
			t.Fatalf("allowed again: %+v", out)
		}
	}
	if err := g.Set(Rules{Allow: []string{"no address"}}); err == nil {
		t.Error("rules that are none were taken")
	}
	if out := send(); !out.OK {
		t.Errorf("after rules that were refused: %+v", out)
	}
	for len(gone) > 0 {
		<-gone
	}
	if err := g.Set(Rules{}); err != nil {
		t.Fatal(err)
	}
	c.Recheck()
	<-gone // the idle connection is closed without anybody sending
}

// TestKeptConnectionAsksTheGuard: a connection that survived a change of rules
// in the pool writes nothing.
func TestKeptConnectionAsksTheGuard(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	g := mustGuard(t, "127.0.0.1")
	conn := &guardedConn{Conn: ours, guard: g, check: func() error { return g.Check(netip.MustParseAddr("127.0.0.1")) }}
	go theirs.Read(make([]byte, 10))
	if _, err := conn.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := g.Set(Rules{}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Write([]byte("b")); n != 0 || err == nil || !strings.Contains(err.Error(), SettingAllow) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestForeignPorts(t *testing.T) {
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{})
	for _, port := range []string{"25", "22", "6379", "11211"} {
		out := c.Deliver(context.Background(), record(t, "http://127.0.0.1:"+port), delivery(), testBody)
		if out.Class != outbox.ClassGuard || !strings.Contains(out.Error, "127.0.0.1:"+port) || !strings.Contains(out.Error, "another protocol") || !strings.Contains(out.Error, SettingPorts) {
			t.Errorf("port %s: %+v", port, out)
		}
	}
	g, err := NewGuard(Rules{Ports: []int{6379}})
	if err != nil {
		t.Fatal(err)
	}
	s := New(nil, nil, g, Options{})
	if err := s.checkURL("op", "https://example.com:6379/"); err != nil {
		t.Errorf("an allowed port: %v", err)
	}
	if err := s.checkURL("op", "https://example.com:25/"); mail.KindOf(err) != mail.KindInvalid || !strings.Contains(err.Error(), SettingPorts) {
		t.Errorf("a port beside it: %v", err)
	}
	if err := g.Set(Rules{Ports: []int{70000}}); err == nil {
		t.Error("port 70000 was taken")
	}
	for port, foreign := range map[uint16]bool{1: true, 25: true, 873: true, 6379: true, 26379: true, 27019: true, 80: false, 443: false, 8080: false, 65535: false} {
		if foreignPort(port) != foreign {
			t.Errorf("port %d: foreign %v", port, !foreign)
		}
	}
}
