package webhook

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

// Settings that permit what is refused otherwise.
const (
	SettingAllow     = "webhooks.allow"
	SettingAllowHTTP = "webhooks.allow_http"
	SettingPorts     = "webhooks.allow_ports"
)

// Rules are what an operator permits beside public addresses by https.
type Rules struct {
	// Allow has networks ("10.1.0.0/16"), addresses ("127.0.0.1") and host names
	// ("sink.lan"), which may have any address.
	Allow []string
	// AllowHTTP permits endpoints without TLS.
	AllowHTTP bool
	// Ports are permitted although they belong to other protocols.
	Ports []int
}

// Guard decides where deliveries may go. It is asked when an endpoint is
// made, when a connection is, and whenever a connection is used after the
// rules have changed. Set changes them at any time.
type Guard struct {
	rules atomic.Pointer[rules]
}

// rules are Rules as they are asked. They are never changed.
type rules struct {
	addresses    []addressRule
	translations []translation
	prefixes     []netip.Prefix
	hosts        map[string]bool
	unicast      netip.Prefix
	http         bool
	ports        map[uint16]bool
}

// NewGuard makes a guard.
func NewGuard(r Rules) (*Guard, error) {
	g := &Guard{}
	return g, g.Set(r)
}

// Set changes the rules. Where it fails they stay as they were.
func (g *Guard) Set(from Rules) error {
	r := &rules{
		addresses: addressRules(), translations: translations(), hosts: map[string]bool{},
		// RFC 4291, 2.4, and IANA: what lies outside 2000::/3 is not in use.
		unicast: netip.MustParsePrefix("2000::/3"),
		http:    from.AllowHTTP, ports: map[uint16]bool{},
	}
	for _, entry := range from.Allow {
		entry = strings.TrimSpace(entry)
		if p, err := netip.ParsePrefix(entry); err == nil {
			r.prefixes = append(r.prefixes, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil && a.Zone() == "" {
			a = a.Unmap()
			r.prefixes = append(r.prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		name, err := hostName(entry)
		if err != nil {
			return fmt.Errorf("%s: %q is no network, address or host name", SettingAllow, entry)
		}
		r.hosts[name] = true
	}
	for _, port := range from.Ports {
		if port < 1 || port > 65535 {
			return fmt.Errorf("%s: %d is no port", SettingPorts, port)
		}
		r.ports[uint16(port)] = true
	}
	g.rules.Store(r)
	return nil
}

// RefusedError says what was refused, by which rule, and which setting would
// permit it, where one would.
type RefusedError struct {
	Address string
	Rule    string
	Setting string
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("the address %s is refused (%s)", e.Address, e.Rule)
	if e.Setting != "" {
		s += "; the setting " + e.Setting + " can permit it"
	}
	return s
}

// Check refuses an address that is neither public nor allowed.
func (g *Guard) Check(a netip.Addr) error { return g.rules.Load().check(a) }

// AllowsHost reports whether a host may have any address.
func (g *Guard) AllowsHost(host string) bool { return g.rules.Load().allowsHost(host) }

// checkURL looks at everything of a URL that is known before it is resolved.
func (g *Guard) checkURL(u *url.URL) error {
	r := g.rules.Load()
	if u.Scheme == "http" && !r.http {
		return &RefusedError{Address: "http://" + u.Host, Rule: "http is not encrypted, the URL must begin with https://", Setting: SettingAllowHTTP}
	}
	if err := r.checkPort(u.Hostname(), portOf(u)); err != nil {
		return err
	}
	return r.checkHost(u.Hostname())
}

// checkDial looks at the address that is about to be connected to, or is
// connected to, whatever name led there.
func (g *Guard) checkDial(host string, at netip.AddrPort) error {
	r := g.rules.Load()
	if err := r.checkPort(host, at.Port()); err != nil {
		return err
	}
	if r.allowsHost(host) {
		return nil
	}
	return r.check(at.Addr())
}

func (r *rules) check(a netip.Addr) error {
	if a.Zone() != "" {
		return &RefusedError{Address: a.String(), Rule: "an address with a zone, RFC 4007", Setting: SettingAllow}
	}
	a = a.Unmap() // ::ffff:0:0/96 is IPv4 in other clothes, RFC 4291, 2.5.5.2
	if a.Is6() {
		for _, t := range r.translations {
			if !t.prefix.Contains(a) || a == netip.IPv6Unspecified() || a == netip.IPv6Loopback() {
				continue
			}
			for _, inner := range t.embeds(a.As16()) {
				if err, ok := r.check(inner).(*RefusedError); ok {
					return &RefusedError{Address: a.String(), Rule: t.name + " of " + inner.String() + ": " + err.Rule, Setting: SettingAllow}
				}
			}
		}
	}
	for _, p := range r.prefixes {
		if p.Contains(a) {
			return nil
		}
	}
	for _, rule := range r.addresses {
		if rule.prefix.Contains(a) {
			return &RefusedError{Address: a.String(), Rule: rule.name, Setting: SettingAllow}
		}
	}
	if a.Is6() && !r.unicast.Contains(a) {
		return &RefusedError{Address: a.String(), Rule: "outside 2000::/3, not global unicast, RFC 4291", Setting: SettingAllow}
	}
	return nil
}

func (r *rules) allowsHost(host string) bool {
	name, err := hostName(host)
	return err == nil && r.hosts[name]
}

// checkHost looks at a host before it is resolved.
func (r *rules) checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return r.check(a)
	}
	name, err := hostName(host)
	if err != nil {
		return err
	}
	if r.hosts[name] {
		return nil
	}
	// RFC 6761, 6.3.
	if (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !r.allowsLoopback() {
		return &RefusedError{Address: name, Rule: "loopback, RFC 6761", Setting: SettingAllow}
	}
	return nil
}

// allowsLoopback reports whether localhost can be reached at all.
func (r *rules) allowsLoopback() bool {
	return r.check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) == nil || r.check(netip.IPv6Loopback()) == nil
}

func (r *rules) checkPort(host string, port uint16) error {
	if r.ports[port] || !foreignPort(port) {
		return nil
	}
	return &RefusedError{Address: joinHostPort(host, port), Rule: fmt.Sprintf("port %d belongs to another protocol than HTTP", port), Setting: SettingPorts}
}

// portOf is the port that a URL leads to, 0 where it cannot be read.
func portOf(u *url.URL) uint16 {
	switch p := u.Port(); {
	case p != "":
		n, _ := strconv.ParseUint(p, 10, 16) // 0 is no port of anybody
		return uint16(n)
	case u.Scheme == "http":
		return 80
	}
	return 443
}
