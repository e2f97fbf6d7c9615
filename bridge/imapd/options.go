package imapd

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of New. Sessions is needed; everything else has a default.
type Options struct {
	// Certificate gives the server's own; nil means that there is no TLS, and
	// then nobody can log in unless Cleartext is set.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Cleartext allows to log in without TLS, from this machine alone.
	Cleartext bool

	MaxConnections int           // all together; 0 means 4096
	MaxPerAccount  int           // of one account; 0 means 64
	LoginTimeout   time.Duration // from the first byte to a login; 0 means a minute
	IdleTimeout    time.Duration // without a command; 0 means 30 minutes, the least that RFC 9051, section 5.4 allows
	WriteTimeout   time.Duration // for a client to take what it asked for, at most 64 KiB; 0 means a minute
	StillHere      time.Duration // how often a command that takes long is told to be alive; 0 means 20 seconds

	Version    string // for ID
	Log        *slog.Logger
	Registerer prometheus.Registerer
}
