// Package smtpd is the door for mail programs that send: message submission
// (RFC 6409) over SMTP, on emersion/go-smtp's server, unmodified.
//
// What is kept true. A message that was answered with 250 is on disk and will
// be sent or reported on; one that was answered with 4xx or 5xx will not be.
// The envelope says who gets it, and nobody else does. The bytes that arrive
// are the bytes that are handed on; the submission adds what is missing of
// Message-ID, Date and From, and takes Bcc out. A message ends at CRLF.CRLF and
// nowhere else.
//
// How it fails. Everything is bounded: lines, commands, recipients, messages,
// connections, time. A connection that breaks the rules ends alone. What the
// provider refuses within Options.Wait is told at once by the code that
// reply.go has for its kind; what it refuses later comes back as a report to the
// inbox (package submission).
//
// Where to start: Serve, then conn.go and command.go (the bytes in front of the library),
// session.go (the commands) and data.go (the message).
package smtpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/store"
)

// Authenticator says who logs in.
type Authenticator interface {
	Login(ctx context.Context, l access.Login) (*access.Principal, error)
	Revoked(p *access.Principal) (<-chan struct{}, func())
}

// Submissions take messages on their way out.
type Submissions interface {
	// Take stores a message to be sent, and waits for the provider's verdict as
	// long as the letter says.
	Take(ctx context.Context, l submission.Letter) (*store.Submission, error)
	// Limit is how large a message an account can send, 0 where that is not known.
	Limit(ctx context.Context, account string) (int64, error)
	// Largest is the largest Limit of all providers, 0 where that is not known.
	Largest() int64
	// MaySend refuses an address that the account may not send from.
	MaySend(ctx context.Context, account, from string) error
}

// Options of a Server.
type Options struct {
	Auth        Authenticator
	Submissions Submissions
	// Certificate proves who we are; nil offers no TLS.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Cleartext takes passwords without TLS from this machine.
	Cleartext bool
	// Domain is what we call ourselves, "localhost" by default.
	Domain string
	// Relaxed leaves it to the provider who a message may be from.
	Relaxed bool
	// Wait is how long the answer to a message waits for the provider's verdict.
	Wait time.Duration
	// MaxConnections bounds connections, 500 by default; PerAccount those of one
	// account, 50 by default.
	MaxConnections, PerAccount int
	// PerMinute bounds the messages of one app password, 60 a minute by default.
	PerMinute int
	// Room refuses while there is no room to keep mail; nil always has.
	Room func(ctx context.Context) error
	// Spool is the folder for messages on their way in, which are encrypted
	// there; empty is the system's.
	Spool string
	// Grace is how long messages under way may go on when Serve's ctx ends, 5
	// seconds by default.
	Grace      time.Duration
	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Server is the door.
type Server struct {
	opts    Options
	log     *slog.Logger
	tls     *tls.Config
	times   times
	metrics *metrics
	rates   rates
	spooled atomic.Int64

	mu    sync.Mutex
	conns int
	of    map[string]int // connections that are logged in, by account
}

// New makes a Server.
func New(o Options) (*Server, error) {
	if o.Auth == nil || o.Submissions == nil {
		return nil, errors.New("smtpd: neither Auth nor Submissions may be missing")
	}
	if o.Spool != "" {
		if err := os.MkdirAll(o.Spool, 0o700); err != nil {
			return nil, fmt.Errorf("make spool: %w", err)
		}
	}
	if o.Domain == "" {
		o.Domain = "localhost"
	}
	o.MaxConnections, o.PerAccount, o.PerMinute = cmp.Or(o.MaxConnections, 500), cmp.Or(o.PerAccount, 50), cmp.Or(o.PerMinute, 60)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, log: o.Log, metrics: newMetrics(o.Registerer), of: map[string]int{},
		rates: rates{perMinute: o.PerMinute, now: o.Now, of: map[string]rate{}},
		// RFC 5321, 4.5.3.2, as far as it speaks of servers. Who has not logged in
		// waits less long.
		times: times{login: time.Minute, command: 5 * time.Minute, data: 3 * time.Minute, message: time.Hour, write: time.Minute, handshake: 20 * time.Second, farewell: 5 * time.Second},
	}
	if o.Certificate != nil {
		s.tls = &tls.Config{GetCertificate: o.Certificate, MinVersion: tls.VersionTLS12}
	}
	return s, nil
}
