package webhook

import "net/netip"

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

// translation is a range whose addresses carry an IPv4 address.
type translation struct {
	prefix netip.Prefix
	name   string
	embeds func(a [16]byte) []netip.Addr
}

// translations are the ways of writing IPv4 inside IPv6. One that an operator
// allows as a whole (a network with NAT64, say) still leads to the IPv4
// address behind it, and so that one is looked at too.
func translations() []translation {
	last := func(a [16]byte) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte(a[12:16]))} }
	return []translation{
		{netip.MustParsePrefix("::/96"), "IPv4-compatible", last},           // RFC 4291, 2.5.5.1
		{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated", last}, // RFC 2765, 2.1
		{netip.MustParsePrefix("64:ff9b::/96"), "NAT64", last},              // RFC 6052, 2.1
		{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64", last},      // RFC 8215
		{netip.MustParsePrefix("2002::/16"), "6to4", func(a [16]byte) []netip.Addr { // RFC 3056, 2
			return []netip.Addr{netip.AddrFrom4([4]byte(a[2:6]))}
		}},
		{netip.MustParsePrefix("2001::/32"), "Teredo", func(a [16]byte) []netip.Addr { // RFC 4380, 4: the client's is inverted
			client := [4]byte{^a[12], ^a[13], ^a[14], ^a[15]}
			return []netip.Addr{netip.AddrFrom4([4]byte(a[4:8])), netip.AddrFrom4(client)}
		}},
	}
}
