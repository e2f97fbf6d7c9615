package imapd

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/internal/guard"
)

// TestGuarded: a panic is an error that ends the session, and is logged.
func TestGuarded(t *testing.T) {
	var log bytes.Buffer
	c := &conn{ctx: t.Context(), srv: &Server{opt: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}}
	err := c.guarded(func() error { panic("of all things") })
	var over *session.Over
	if !errors.As(err, &over) || !guard.Is(err) || over.Text == "" {
		t.Errorf("gave %v", err)
	}
	if !strings.Contains(log.String(), "of all things") || !strings.Contains(log.String(), "TestGuarded") {
		t.Errorf("logged %s", &log)
	}
	if err := c.guarded(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
