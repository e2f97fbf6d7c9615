package main

import (
	"errors"
	"os"

	"github.com/postern-mail/postern/internal/gateway"
)

type exportCmd struct {
	What  string `arg:"" enum:"events,dead-letters" help:"What to print: events, or dead-letters."`
	Since moment `default:"24h" help:"From when on: a time (RFC 3339), or how long ago (36h)." placeholder:"TIME"`
}

// Run prints records as lines of JSON.
func (x exportCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	since := x.Since.Time
	err = gateway.ExportRunning(e.ctx, cfg, x.What, since, e.stdout)
	if !errors.Is(err, gateway.ErrNotRunning) {
		return err
	}
	s, err := gateway.OpenStore(e.ctx, cfg, os.LookupEnv, e.logger(cfg.Log), version())
	if err != nil {
		return err
	}
	return errors.Join(gateway.Export(e.ctx, s, x.What, since, e.stdout), s.Close())
}
