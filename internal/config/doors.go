package config

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// IMAP is the door for mail programs that read.
type IMAP struct {
	// Listen speaks plain text and STARTTLS; empty is off.
	Listen string `yaml:"listen"`
	// ListenTLS speaks TLS from the first byte; empty is off.
	ListenTLS string `yaml:"listen_tls"`
	// Cleartext takes passwords without TLS. It is for loopback alone: both
	// Listen and whoever asks.
	Cleartext bool `yaml:"cleartext"`
	// MaxConnections bounds all connections, MaxPerAccount those of an account.
	MaxConnections int `yaml:"max_connections"`
	MaxPerAccount  int `yaml:"max_per_account"`
	// IdleTimeout ends a connection that asks nothing (RFC 9051, 5.4: at least
	// 30 minutes).
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// Expunge says where a message goes that a client expunges outside trash.
	Expunge string `yaml:"expunge"`
}

// Values of IMAP.Expunge.
const (
	ExpungeTrash  = "trash"
	ExpungeDelete = "delete"
)

// SMTP is the door for mail programs that send.
type SMTP struct {
	// Listen, ListenTLS, Cleartext are as in IMAP.
	Listen    string `yaml:"listen"`
	ListenTLS string `yaml:"listen_tls"`
	Cleartext bool   `yaml:"cleartext"`
	// MaxConnections bounds all connections, MaxPerAccount those of an account.
	MaxConnections int `yaml:"max_connections"`
	MaxPerAccount  int `yaml:"max_per_account"`
	// Wait is how long the answer to a message waits for the provider's, so that
	// a refusal is told at once. What is not decided by then is accepted.
	Wait time.Duration `yaml:"wait"`
	// From is strict, where senders are held against the account's identities,
	// or relaxed, where the provider judges.
	From string `yaml:"from"`
}

// Values of SMTP.From.
const (
	FromStrict  = "strict"
	FromRelaxed = "relaxed"
)

// TLS is what the doors for mail programs prove themselves by.
type TLS struct {
	// Cert and Key are PEM files, both or neither, read again when they change.
	// Without them a local authority makes certificates.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// Names are host names and addresses that the local authority vouches for
	// beside localhost, 127.0.0.1, ::1 and public_url's host.
	Names []string `yaml:"names"`
}

// validateDoors checks what concerns mail programs.
func validateDoors(c *Config, bad func(path, format string, args ...any)) {
	for _, d := range []struct {
		name, listen, listenTLS string
		cleartext               bool
	}{{"imap", c.IMAP.Listen, c.IMAP.ListenTLS, c.IMAP.Cleartext}, {"smtp", c.SMTP.Listen, c.SMTP.ListenTLS, c.SMTP.Cleartext}} {
		for path, listen := range map[string]string{d.name + ".listen": d.listen, d.name + ".listen_tls": d.listenTLS} {
			if _, _, err := endpoint(listen); listen != "" && err != nil {
				bad(path, "%q is no host:port", listen)
			}
		}
		if d.cleartext && d.listen != "" && !loopback(d.listen) {
			bad(d.name+".cleartext", "passwords without TLS are taken on loopback alone, and %s.listen is %q", d.name, d.listen)
		}
	}
	apart(c, bad)
	if c.IMAP.IdleTimeout < 30*time.Minute {
		bad("imap.idle_timeout", "must be at least 30m")
	}
	if c.IMAP.Expunge != ExpungeTrash && c.IMAP.Expunge != ExpungeDelete {
		bad("imap.expunge", "%q is neither trash nor delete", c.IMAP.Expunge)
	}
	if c.SMTP.From != FromStrict && c.SMTP.From != FromRelaxed {
		bad("smtp.from", "%q is neither strict nor relaxed", c.SMTP.From)
	}
	if c.SMTP.Wait > 5*time.Minute {
		bad("smtp.wait", "must be at most 5m") // a client waits 10 minutes for the answer to DATA (RFC 5321, 4.5.3.2.6)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls.cert", "cert and key belong together")
	}
	for _, n := range c.TLS.Names {
		if _, err := netip.ParseAddr(n); err != nil && !hostName.MatchString(n) {
			bad("tls.names", "%q is no host name and no address", n)
		}
	}
}

// apart refuses two doors on one address: the second could not be opened.
func apart(c *Config, bad func(path, format string, args ...any)) {
	doors := []struct{ path, listen string }{{"http.listen", c.HTTP.Listen}, {"imap.listen", c.IMAP.Listen}, {"imap.listen_tls", c.IMAP.ListenTLS},
		{"smtp.listen", c.SMTP.Listen}, {"smtp.listen_tls", c.SMTP.ListenTLS}}
	for i, d := range doors {
		for _, former := range doors[:i] {
			if overlap(d.listen, former.listen) {
				bad(d.path, "%q and %s, %q, are one address: each door needs its own port", d.listen, former.path, former.listen)
			}
		}
	}
}

// overlap reports whether two listeners cannot be open at once, as far as that
// can be told without asking for names: they have one port, and one host or
// every one of the machine's (no host, 0.0.0.0 and [::] are alike, net.Listen).
// Port 0 is a free one.
func overlap(a, b string) bool {
	hostA, portA, errA := endpoint(a)
	hostB, portB, errB := endpoint(b)
	return errA == nil && errB == nil && portA == portB && portA != 0 && (hostA == hostB || hostA == "" || hostB == "")
}

// endpoint takes an address apart; the host is empty for every one of the
// machine's.
func endpoint(hostport string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", 0, err
	}
	if port, err = net.LookupPort("tcp", service); err != nil {
		return "", 0, err
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if host = ip.Unmap().String(); ip.Unmap().IsUnspecified() {
			host = ""
		}
	}
	return host, port, nil
}

// hostName is a DNS name, with a wildcard for its first label or not.
var hostName = regexp.MustCompile(`^(\*\.)?([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)

// loopback reports whether only this machine reaches an address.
func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
