package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// shutdownGrace is how long requests under way have when a server ends.
const shutdownGrace = time.Second

// Serve serves a cloud on l until ctx ends, https when config is set, and
// returns when the requests under way are done or were cut.
func Serve(ctx context.Context, l net.Listener, config *tls.Config, h http.Handler, logger *slog.Logger) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       5 * time.Minute,  // uploads send megabytes at a time
		WriteTimeout:      10 * time.Minute, // faults may delay an answer
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         config,
		ErrorLog:          ErrorLog(logger),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		grace, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer stop()
		if err := srv.Shutdown(grace); err != nil {
			_ = srv.Close() // what is left is cut; nothing else could be done
		}
	})
	var err error
	if config != nil {
		err = srv.ServeTLS(l, "", "")
	} else {
		err = srv.Serve(l)
	}
	cancel()
	wg.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// ErrorLog takes net/http's own complaints. Those about clients go to the log at
// debug level; a panic of ours, of which its client sees no more than a cut
// connection, is an error.
func ErrorLog(logger *slog.Logger) *log.Logger { return log.New(quiet{logger}, "", 0) }

type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	level, text := slog.LevelDebug, strings.TrimSpace(string(p))
	if strings.HasPrefix(text, "http: panic serving") {
		level = slog.LevelError
	}
	q.log.Log(context.Background(), level, "http server", "message", text)
	return len(p), nil
}
