package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/store/bolt"
)

type serveCmd struct {
	ParentPipe bool `hidden:"" help:"Stop when standard input ends: whoever started us is gone."`
}

func (s serveCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	ctx := e.ctx
	if s.ParentPipe {
		ctx = untilEOF(ctx, e.stdin)
	}
	log := e.logger(cfg.Log)
	g, err := gateway.New(ctx, cfg, gateway.Options{Log: log, Version: version()})
	if err != nil {
		var inUse *bolt.InUseError
		if errors.As(err, &inUse) {
			return usageError{err}
		}
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	reloads, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for {
			select {
			case <-reloads.Done():
				return
			case <-hup:
				e.reload(reloads, g)
			}
		}
	}()
	return g.Run(ctx)
}

// reload reads the settings again. Wrong ones change nothing.
func (e *env) reload(ctx context.Context, g *gateway.Gateway) {
	cfg, err := config.Load(e.cli.Config, os.Environ(), e.cli.Set)
	if err == nil {
		err = g.Reload(ctx, cfg)
	}
	g.LogReload(ctx, err)
}

// untilEOF ends the context when the reader does.
func untilEOF(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, r)
	}()
	return ctx
}
