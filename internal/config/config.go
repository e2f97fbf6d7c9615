// Package config is the one place where settings are named, documented and
// checked. They come from a YAML file, then from the environment
// (POSTERN_HTTP_LISTEN sets http.listen), then from flags (--set
// http.listen=...); the later wins.
//
// postern.example.yaml at the project's root lists every setting with its
// default; a test holds the two together.
package config

import (
	"net"
	"net/url"
	"time"
)

// Config is every setting of a gateway.
type Config struct {
	// PublicURL is the base of links, redirect and notification URLs. Where it
	// is empty nobody reaches us from outside: Public gives a URL that works at
	// this machine, and providers are polled.
	PublicURL string `yaml:"public_url"`
	// DataDir holds the store, blobs and the command socket.
	DataDir string `yaml:"data_dir"`
	Disk    Disk   `yaml:"disk"`
	// MasterKey says where the key comes from that seals everything else.
	MasterKey MasterKey `yaml:"master_key"`
	HTTP      HTTP      `yaml:"http"`
	IMAP      IMAP      `yaml:"imap"`
	SMTP      SMTP      `yaml:"smtp"`
	TLS       TLS       `yaml:"tls"`
	Log       Log       `yaml:"log"`
	Plugins   Plugins   `yaml:"plugins"`
	// Providers are the provider instances by name; the name stands in URLs.
	Providers map[string]Provider `yaml:"providers"`
	Sync      Sync                `yaml:"sync"`
	Webhooks  Webhooks            `yaml:"webhooks"`
	Keep      Keep                `yaml:"keep"`
	Connect   Connect             `yaml:"connect"`
	Telemetry Telemetry           `yaml:"telemetry"`
}

// Disk says how much room is left alone.
type Disk struct {
	// MinFree is how many bytes the data folder's file system must have free
	// for new mail to be pulled; SIGHUP reads it again.
	MinFree int64 `yaml:"min_free"`
}

// MasterKey names one source of the master key: 32 bytes in base64 or hex.
type MasterKey struct {
	// Env is the name of an environment variable.
	Env string `yaml:"env"`
	// File is read; it should be readable by its owner alone.
	File string `yaml:"file"`
	// Command is run; its output is the key.
	Command []string `yaml:"command"`
	// Old are files with keys that open but do not seal any more, while keys
	// are rotated.
	Old []string `yaml:"old"`
}

// HTTP is the door for GraphQL, connecting, notifications and blobs.
type HTTP struct {
	Listen string `yaml:"listen"`
	// TLSCert and TLSKey are PEM files; both or neither.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// GraphiQL serves the explorer at /graphiql. Where Listen and the public URL
	// are on loopback, the page has the admin key filled in.
	GraphiQL bool `yaml:"graphiql"`
	// MaxBody bounds a GraphQL request's body, in bytes. What may come from
	// anybody (WebSocket frames, notifications, forms) has 1 MiB at the most.
	MaxBody int64 `yaml:"max_body"`
}

// Log says how much is logged and how.
type Log struct {
	// Level: debug, info, warn, error.
	Level string `yaml:"level"`
	// Format: text or json.
	Format string `yaml:"format"`
}

// Plugins says where provider plugins are found.
type Plugins struct {
	// Dir is looked through besides the folder of our own binary.
	Dir string `yaml:"dir"`
}

// Provider is one provider instance.
type Provider struct {
	// Plugin is the NAME of postern-provider-NAME.
	Plugin string `yaml:"plugin"`
	// SHA256 pins the plugin's binary, in hex; empty does not.
	SHA256 string `yaml:"sha256"`
	// Push: the provider can reach public_url.
	Push bool `yaml:"push"`
	// Settings are the plugin's own; `postern plugins list` documents them. A
	// value "env:NAME" or "file:PATH" is read from there.
	Settings map[string]string `yaml:"settings"`
}

// Sync says how the mirror is kept in step.
type Sync struct {
	// Workers is how many accounts are synced at once.
	Workers int `yaml:"workers"`
	// PollWatched, Poll, PollListened: how often an account is asked with a
	// healthy push channel, without one, while somebody listens to it.
	PollWatched  time.Duration `yaml:"poll_watched"`
	Poll         time.Duration `yaml:"poll"`
	PollListened time.Duration `yaml:"poll_listened"`
}

// Webhooks says how deliveries are made.
type Webhooks struct {
	// Allow lists addresses (CIDR) and host names that may be private or
	// loopback; everything else private is refused when it is dialled.
	Allow []string `yaml:"allow"`
	// AllowHTTP lets endpoints have plain http URLs.
	AllowHTTP bool `yaml:"allow_http"`
	// Workers is how many deliveries are under way at once.
	Workers int `yaml:"workers"`
	// Timeout bounds one attempt, answer included; at most 30 s.
	Timeout time.Duration `yaml:"timeout"`
	// AllowPorts lists ports that endpoints may have although they belong to
	// another protocol than HTTP.
	AllowPorts []int `yaml:"allow_ports"`
	// Proxy is what every delivery goes through: http://, https:// (CONNECT) or
	// socks5://. It resolves names, and so it guards where they lead.
	Proxy string `yaml:"proxy"`
	// KeyOverlap is how long a signing key that was rotated out goes on signing.
	KeyOverlap time.Duration `yaml:"key_overlap"`
	// OrderWait is how long a delivery that its receiver refuses, while it
	// answers others, holds up those behind it.
	OrderWait time.Duration `yaml:"order_wait"`
	// Rejected is how many attempts a delivery gets that is answered by 4xx.
	Rejected int `yaml:"rejected"`
	// Expire says by type of event how long its deliveries are tried.
	Expire map[string]time.Duration `yaml:"expire"`
}

// Keep says how long things are kept.
type Keep struct {
	Journal     time.Duration `yaml:"journal"`
	Attempts    time.Duration `yaml:"attempts"`
	DeadLetters time.Duration `yaml:"dead_letters"`
	Submissions time.Duration `yaml:"submissions"`
	// Blobs is how many bytes of messages may be at rest. What can be fetched
	// again goes, the longest unused first; 0 keeps everything.
	Blobs int64 `yaml:"blobs"`
}

// Connect says how accounts are connected.
type Connect struct {
	// LinkLife is how long a link is good.
	LinkLife time.Duration `yaml:"link_life"`
}

// Telemetry says where traces go.
type Telemetry struct {
	// OTLPEndpoint is the base URL of an OTLP/HTTP receiver; empty is off.
	OTLPEndpoint string `yaml:"otlp_endpoint"`
	// SampleRatio of traces, 0 to 1.
	SampleRatio float64 `yaml:"sample_ratio"`
}

// Default gives every setting's default.
func Default() *Config {
	return &Config{
		DataDir:   "data",
		Disk:      Disk{MinFree: 1 << 30},
		MasterKey: MasterKey{Env: "POSTERN_MASTER_KEY", Command: []string{}, Old: []string{}},
		HTTP:      HTTP{Listen: "127.0.0.1:8080", MaxBody: 40 << 20},
		IMAP:      IMAP{Listen: "127.0.0.1:1143", MaxConnections: 4000, MaxPerAccount: 2000, IdleTimeout: 35 * time.Minute, Expunge: ExpungeTrash},
		SMTP:      SMTP{Listen: "127.0.0.1:1587", MaxConnections: 500, MaxPerAccount: 100, Wait: 10 * time.Second, From: FromStrict},
		TLS:       TLS{Names: []string{}},
		Log:       Log{Level: "info", Format: "text"},
		Providers: map[string]Provider{},
		Sync:      Sync{Workers: 8, PollWatched: 10 * time.Minute, Poll: 30 * time.Second, PollListened: 10 * time.Second},
		Webhooks: Webhooks{Allow: []string{}, Workers: 512, Timeout: 15 * time.Second, AllowPorts: []int{}, KeyOverlap: 24 * time.Hour,
			OrderWait: 5 * time.Minute, Rejected: 8, Expire: map[string]time.Duration{}},
		Keep:      Keep{Journal: 30 * 24 * time.Hour, Attempts: 14 * 24 * time.Hour, DeadLetters: 90 * 24 * time.Hour, Submissions: 30 * 24 * time.Hour, Blobs: 10 << 30},
		Connect:   Connect{LinkLife: time.Hour},
		Telemetry: Telemetry{SampleRatio: 1},
	}
}

// Public gives public_url, parsed; where it is not set, http://localhost with
// the port of http.listen. Providers take a loopback redirect URL (RFC 8252,
// 7.3), so that an account can be connected from this machine all the same.
func (c *Config) Public() *url.URL {
	if c.PublicURL == "" {
		u := &url.URL{Scheme: "http", Host: "localhost"}
		if c.HTTP.TLSCert != "" {
			u.Scheme = "https"
		}
		if _, port, err := net.SplitHostPort(c.HTTP.Listen); err == nil {
			u.Host = net.JoinHostPort("localhost", port)
		}
		return u
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return &url.URL{}
	}
	return u
}

// Pushes reports whether a provider instance can notify us: it is said to, and
// there is a public_url to notify.
func (c *Config) Pushes(instance string) bool {
	return c.PublicURL != "" && c.Providers[instance].Push
}
