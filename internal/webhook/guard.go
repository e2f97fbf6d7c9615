package webhook

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// Setting is the name of the setting that permits refused addresses.
const Setting = "webhooks.allow"

// addressRule refuses a range of addresses.
type addressRule struct {
	prefix netip.Prefix
	name   string
}

// addressRules are the ranges that are no public receiver's, narrow ones before
// those around them (IANA's special-purpose registries).
func addressRules() []addressRule {
	table := []struct{ prefix, name string }{
		{"0.0.0.0/8", "this network, RFC 791"},
		{"10.0.0.0/8", "private network, RFC 1918"},
		{"100.64.0.0/10", "carrier-grade NAT, RFC 6598"},
		{"127.0.0.0/8", "loopback, RFC 1122"},
		{"169.254.0.0/16", "link-local and cloud metadata, RFC 3927"},
		{"172.16.0.0/12", "private network, RFC 1918"},
		{"192.0.0.0/24", "IETF protocol assignments, RFC 6890"},
		{"192.0.2.0/24", "documentation, RFC 5737"},
		{"192.88.99.0/24", "6to4 relay, RFC 7526"},
		{"192.168.0.0/16", "private network, RFC 1918"},
		{"198.18.0.0/15", "benchmarking, RFC 2544"},
		{"198.51.100.0/24", "documentation, RFC 5737"},
		{"203.0.113.0/24", "documentation, RFC 5737"},
		{"224.0.0.0/4", "multicast, RFC 5771"},
		{"255.255.255.255/32", "broadcast, RFC 919"},
		{"240.0.0.0/4", "reserved, RFC 1112"},

		{"::/128", "unspecified, RFC 4291"},
		{"::1/128", "loopback, RFC 4291"},
		{"::/96", "IPv4-compatible, RFC 4291"},
		{"::ffff:0:0:0/96", "IPv4-translated, RFC 2765"},
		{"64:ff9b::/96", "NAT64, RFC 6052"},
		{"64:ff9b:1::/48", "local NAT64, RFC 8215"},
		{"100::/64", "discard, RFC 6666"},
		{"100:0:0:1::/64", "dummy prefix, RFC 9780"},
		{"2001::/32", "Teredo, RFC 4380"},
		{"2001:db8::/32", "documentation, RFC 3849"},
		{"2001::/23", "IETF protocol assignments, RFC 2928"},
		{"2002::/16", "6to4, RFC 3056"},
		{"3fff::/20", "documentation, RFC 9637"},
		{"5f00::/16", "segment routing, RFC 9602"},
		{"fc00::/7", "unique local, RFC 4193"},
		{"fe80::/10", "link-local, RFC 4291"},
		{"fec0::/10", "site-local, RFC 3879"},
		{"ff00::/8", "multicast, RFC 4291"},
	}
	rules := make([]addressRule, len(table))
	for i, r := range table {
		rules[i] = addressRule{netip.MustParsePrefix(r.prefix), r.prefix + ", " + r.name}
	}
	return rules
}

// Guard decides which addresses deliveries may go to: public ones, and those
// that the operator allows. It is not changed once made.
type Guard struct {
	rules    []addressRule
	prefixes []netip.Prefix
	hosts    map[string]bool
	unicast  netip.Prefix
}

// NewGuard makes a guard that allows, beside public addresses, the given
// networks ("10.1.0.0/16"), addresses ("127.0.0.1") and host names ("sink.lan").
func NewGuard(allow []string) (*Guard, error) {
	// RFC 4291, 2.4, and IANA: what lies outside 2000::/3 is not in use.
	g := &Guard{rules: addressRules(), hosts: map[string]bool{}, unicast: netip.MustParsePrefix("2000::/3")}
	for _, entry := range allow {
		entry = strings.TrimSpace(entry)
		if p, err := netip.ParsePrefix(entry); err == nil {
			g.prefixes = append(g.prefixes, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(strings.Trim(entry, "[]")); err == nil && a.Zone() == "" {
			a = a.Unmap()
			g.prefixes = append(g.prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		name, err := hostName(entry)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no network, address or host name", Setting, entry)
		}
		g.hosts[name] = true
	}
	return g, nil
}

// RefusedError says which address was refused, by which rule, and what would
// permit it.
type RefusedError struct {
	Address string
	Rule    string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the address %s is refused (%s); the setting %s can permit it", e.Address, e.Rule, Setting)
}

// Check refuses an address that is neither public nor allowed.
func (g *Guard) Check(a netip.Addr) error {
	if a.Zone() != "" {
		return &RefusedError{Address: a.String(), Rule: "an address with a zone, RFC 4007"}
	}
	a = a.Unmap() // ::ffff:0:0/96 is IPv4 in other clothes, RFC 4291, 2.5.5.2
	for _, p := range g.prefixes {
		if p.Contains(a) {
			return nil
		}
	}
	for _, r := range g.rules {
		if r.prefix.Contains(a) {
			return &RefusedError{Address: a.String(), Rule: r.name}
		}
	}
	if a.Is6() && !g.unicast.Contains(a) {
		return &RefusedError{Address: a.String(), Rule: "outside 2000::/3, not global unicast, RFC 4291"}
	}
	return nil
}

// AllowsHost reports whether a host may have any address.
func (g *Guard) AllowsHost(host string) bool {
	name, err := hostName(host)
	return err == nil && g.hosts[name]
}

// allowsLoopback reports whether localhost can be reached at all.
func (g *Guard) allowsLoopback() bool {
	return g.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1})) == nil || g.Check(netip.IPv6Loopback()) == nil
}

// control is net.Dialer.ControlContext: it sees the address that is about to
// be connected to, whatever name led there.
func (g *Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &RefusedError{Address: address, Rule: "not an address"}
	}
	return g.Check(at.Addr())
}
