package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"

	"github.com/postern-mail/postern/bridge/imapd"
	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/smtpd"
	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/localca"
)

// doorServer is a door for mail programs, on any number of listeners.
type doorServer interface {
	Serve(ctx context.Context, l net.Listener, implicitTLS bool) error
}

// door is one listener of a door for mail programs.
type door struct {
	setting string
	tls     bool
	server  doorServer
	net.Listener
}

// security is how a mail program calls it.
func (d *door) security() string {
	if d.tls {
		return "TLS"
	}
	return "STARTTLS"
}

// certificates are what the doors for mail programs prove themselves by: files,
// or an authority of our own.
type certificates struct {
	get       func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	authority *localca.Authority // nil where there are files
	web       *localca.Files     // of the HTTP door, nil where it has none
	files     map[string]*localca.Files
}

func (g *Gateway) wireCertificates(ctx context.Context) error {
	cfg := g.cfg
	g.certs.files = map[string]*localca.Files{}
	if cfg.HTTP.TLSCert != "" {
		f, err := localca.Load(cfg.HTTP.TLSCert, cfg.HTTP.TLSKey, nil, g.log)
		if err != nil {
			return &SettingsError{fmt.Errorf("http.tls_cert: %w", err)}
		}
		g.certs.web, g.certs.files["http.tls_cert"] = f, f
	}
	if cfg.TLS.Cert != "" {
		f, err := localca.Load(cfg.TLS.Cert, cfg.TLS.Key, nil, g.log)
		if err != nil {
			return &SettingsError{fmt.Errorf("tls.cert: %w", err)}
		}
		g.certs.get, g.certs.files["tls.cert"] = f.GetCertificate, f
		return nil
	}
	names := append([]string{cfg.Public().Hostname()}, cfg.TLS.Names...)
	a, err := localca.Open(ctx, g.store, localca.Options{Names: names, Log: g.log})
	if err != nil {
		return err
	}
	g.certs.get, g.certs.authority = a.GetCertificate, a
	return nil
}

// wireDoors makes the doors for mail programs, those that are wanted.
func (g *Gateway) wireDoors(ctx context.Context) error {
	if err := g.wireCertificates(ctx); err != nil {
		return err
	}
	cfg := g.cfg
	var err error
	if cfg.IMAP.Listen != "" || cfg.IMAP.ListenTLS != "" {
		g.sessions, err = session.New(session.Options{
			Store: g.store, Mirror: g.mirror, Bus: g.bus, Auth: g.access, Submissions: sentCopies{g.submit, g.store, g.bus}, Text: g.text,
			ExpungeTo: session.ExpungeTo(cfg.IMAP.Expunge), Log: g.log, Registerer: g.registry})
		if err != nil {
			return err
		}
		g.imap, err = imapd.New(imapd.Options{
			Sessions: g.sessions, Revoked: g.access.Revoked, Largest: g.submit.Limit, DrainTimeout: grace / 2,
			Certificate: g.certs.get, Cleartext: cfg.IMAP.Cleartext, MaxConnections: cfg.IMAP.MaxConnections,
			MaxPerAccount: cfg.IMAP.MaxPerAccount, IdleTimeout: cfg.IMAP.IdleTimeout,
			Version: g.opts.Version, Log: g.log, Registerer: g.registry})
		if err != nil {
			return err
		}
	}
	if cfg.SMTP.Listen != "" || cfg.SMTP.ListenTLS != "" {
		g.smtp, err = smtpd.New(smtpd.Options{
			Auth: g.access, Submissions: g.submit, Certificate: g.certs.get, Cleartext: cfg.SMTP.Cleartext,
			Domain: cfg.Public().Hostname(), Relaxed: cfg.SMTP.From == config.FromRelaxed, Wait: cfg.SMTP.Wait,
			MaxConnections: cfg.SMTP.MaxConnections, PerAccount: cfg.SMTP.MaxPerAccount, Grace: grace, Log: g.log, Registerer: g.registry,
			Spool: filepath.Join(cfg.DataDir, "spool"), Room: func(context.Context) error { return g.room.hold() }})
	}
	return err
}

// listenDoors opens the listeners of the doors for mail programs. One that is
// taken is said with its setting.
func (g *Gateway) listenDoors() (doors []*door, err error) {
	defer func() {
		if err != nil {
			for _, d := range doors {
				err = errors.Join(err, d.Close())
			}
		}
	}()
	cfg := g.cfg
	for _, d := range []struct {
		setting, address string
		tls              bool
		server           doorServer
	}{
		{"imap.listen", cfg.IMAP.Listen, false, g.imap}, {"imap.listen_tls", cfg.IMAP.ListenTLS, true, g.imap},
		{"smtp.listen", cfg.SMTP.Listen, false, g.smtp}, {"smtp.listen_tls", cfg.SMTP.ListenTLS, true, g.smtp},
	} {
		if d.address == "" {
			continue
		}
		l, err := net.Listen("tcp", d.address)
		if err != nil {
			return doors, doorError(d.setting, d.address, err)
		}
		doors = append(doors, &door{setting: d.setting, tls: d.tls, server: d.server, Listener: l})
	}
	return doors, nil
}

func doorError(setting, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is taken by another program; set another address with --set %[1]s=HOST:PORT, or none with --set %[1]s= to keep this door shut", setting, address)
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// serving gives what serves the doors. Accounts answer for little before their
// plugins have started: who comes earlier waits outside.
func (g *Gateway) serving(doors []*door) []func(context.Context) error {
	fns := make([]func(context.Context) error, len(doors))
	for i, d := range doors {
		fns[i] = func(ctx context.Context) error {
			awaitStarted(ctx, g.plugins.Status)
			return d.server.Serve(ctx, d.Listener, d.tls)
		}
	}
	return fns
}

// tellDoors logs which doors are open, and by what they are trusted.
func (g *Gateway) tellDoors(ctx context.Context, doors []*door) {
	for _, d := range doors {
		g.log.InfoContext(ctx, "door open", "setting", d.setting, "address", d.Addr().String(), "security", d.security())
	}
	if a := g.certs.authority; a != nil && len(doors) > 0 {
		g.log.InfoContext(ctx, "mail programs trust this gateway by its certificate authority", "url", g.cfg.Public().JoinPath("ca.pem").String(),
			"sha256", a.Fingerprint())
	}
}

// Fingerprint is a certificate's SHA-256 as people compare it.
func Fingerprint(der []byte) string { return localca.Fingerprint(der) }
