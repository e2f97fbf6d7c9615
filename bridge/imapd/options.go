package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/access"
)

// Options of New. Sessions is needed; everything else has a default.
type Options struct {
	Sessions *session.Server
	// Revoked tells when a principal may not go on, and how to stop asking; nil
	// means that nobody is ever revoked.
	Revoked func(*access.Principal) (<-chan struct{}, func())
	// Largest tells how large a message an account's provider takes, 0 where that is
	// not known; nil never knows.
	Largest func(ctx context.Context, account string) (int64, error)
	// Certificate gives the server's own; nil means that there is no TLS, and
	// then nobody can log in unless Cleartext is set.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Cleartext allows to log in without TLS, from this machine alone.
	Cleartext bool

	MaxConnections int           // all together; 0 means 4096
	MaxPerAccount  int           // of one account; 0 means 64
	LoginTimeout   time.Duration // from connecting to a login; 0 means a minute
	CommandTimeout time.Duration // from one piece of a command to the next; 0 means a minute
	IdleTimeout    time.Duration // without a command; 0 means 30 minutes, the least that RFC 9051, section 5.4 allows
	WriteTimeout   time.Duration // for a client to take 64 KiB; 0 means a minute
	IdleBeat       time.Duration // how often a client that idles is told so; 0 means 2 minutes
	StillHere      time.Duration // how often a command that takes long is said to be alive; 0 means 20 seconds
	DrainTimeout   time.Duration // for commands to end on shutdown; 0 means 10 seconds

	Version    string // for ID
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Limits of commands. A stranger needs a name and a secret, a gateway's token
// at the most.
var (
	strangers = wire.Limits{Line: 8 << 10, Literals: 8 << 10}
	clients   = wire.Limits{Line: 1 << 20, Literals: 1 << 20}
)

// largeCommands is what the large commands of all clients may take together.
const largeCommands = 16 << 20

func (o *Options) fill() {
	number := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	span := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	number(&o.MaxConnections, 4096)
	number(&o.MaxPerAccount, 64)
	span(&o.LoginTimeout, time.Minute)
	span(&o.CommandTimeout, time.Minute)
	span(&o.IdleTimeout, 30*time.Minute)
	span(&o.WriteTimeout, time.Minute)
	span(&o.IdleBeat, 2*time.Minute)
	span(&o.StillHere, 20*time.Second)
	span(&o.DrainTimeout, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Revoked == nil {
		o.Revoked = func(*access.Principal) (<-chan struct{}, func()) { return nil, func() {} }
	}
}
