package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Validate says everything that is wrong with the settings, each line naming
// the setting.
func Validate(c *Config) error {
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		bad("public_url", "%q is no absolute http or https URL", c.PublicURL)
	}
	if c.DataDir == "" {
		bad("data_dir", "must name a folder")
	}
	if c.Disk.MinFree < 0 {
		bad("disk.min_free", "must not be negative")
	}
	if _, _, err := endpoint(c.HTTP.Listen); err != nil {
		bad("http.listen", "%q is no host:port", c.HTTP.Listen)
	}
	if (c.HTTP.TLSCert == "") != (c.HTTP.TLSKey == "") {
		bad("http.tls_cert", "tls_cert and tls_key belong together")
	}
	if c.HTTP.MaxBody < 1<<10 {
		bad("http.max_body", "must be at least 1024")
	}
	validateDoors(c, bad)
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		bad("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format", "%q is neither text nor json", c.Log.Format)
	}
	for name, p := range c.Providers {
		path := "providers." + name
		if !instanceName.MatchString(name) {
			bad(path, "a name has lower-case letters, digits and hyphens")
		}
		if !instanceName.MatchString(p.Plugin) {
			bad(path+".plugin", "%q is no plugin's name", p.Plugin)
		}
		if sum, err := hex.DecodeString(p.SHA256); p.SHA256 != "" && (err != nil || len(sum) != 32) {
			bad(path+".sha256", "must be 64 hexadecimal digits")
		}
	}
	for path, n := range map[string]int{"sync.workers": c.Sync.Workers, "webhooks.workers": c.Webhooks.Workers, "webhooks.rejected": c.Webhooks.Rejected,
		"imap.max_connections": c.IMAP.MaxConnections, "imap.max_per_account": c.IMAP.MaxPerAccount, "smtp.max_connections": c.SMTP.MaxConnections, "smtp.max_per_account": c.SMTP.MaxPerAccount} {
		if n < 1 || n > 10000 {
			bad(path, "must be from 1 to 10000")
		}
	}
	for path, d := range map[string]time.Duration{
		"sync.poll_watched": c.Sync.PollWatched, "sync.poll": c.Sync.Poll, "sync.poll_listened": c.Sync.PollListened,
		"webhooks.timeout": c.Webhooks.Timeout, "webhooks.key_overlap": c.Webhooks.KeyOverlap, "webhooks.order_wait": c.Webhooks.OrderWait, "keep.journal": c.Keep.Journal, "keep.attempts": c.Keep.Attempts,
		"keep.dead_letters": c.Keep.DeadLetters, "keep.submissions": c.Keep.Submissions, "connect.link_life": c.Connect.LinkLife,
		"smtp.wait": c.SMTP.Wait,
	} {
		if d < 100*time.Millisecond {
			bad(path, "must be at least 100ms")
		}
	}
	if c.Keep.Blobs != 0 && c.Keep.Blobs < 64<<20 {
		bad("keep.blobs", "must be 0 or at least 67108864 (64 MiB)")
	}
	for name, d := range c.Webhooks.Expire {
		if d < time.Second {
			bad("webhooks.expire."+name, "must be at least 1s")
		}
	}
	for _, p := range c.Webhooks.AllowPorts {
		if p < 1 || p > 65535 {
			bad("webhooks.allow_ports", "%d is no port", p)
		}
	}
	if p, err := url.Parse(c.Webhooks.Proxy); c.Webhooks.Proxy != "" && (err != nil || p.Hostname() == "" ||
		p.Scheme != "http" && p.Scheme != "https" && p.Scheme != "socks5") {
		bad("webhooks.proxy", "is no URL that begins with http://, https:// or socks5://") // it may hold a password
	}
	if c.Webhooks.Timeout > 30*time.Second {
		bad("webhooks.timeout", "must be at most 30s")
	}
	for _, a := range c.Webhooks.Allow {
		if strings.Contains(a, "/") {
			if _, err := netip.ParsePrefix(a); err != nil {
				bad("webhooks.allow", "%q is no CIDR", a)
			}
		}
	}
	if u, err := url.Parse(c.Telemetry.OTLPEndpoint); c.Telemetry.OTLPEndpoint != "" && (err != nil || u.Host == "") {
		bad("telemetry.otlp_endpoint", "is no URL")
	}
	if c.Telemetry.SampleRatio < 0 || c.Telemetry.SampleRatio > 1 {
		bad("telemetry.sample_ratio", "must be from 0 to 1")
	}
	return errors.Join(errs...)
}
