package graph

import (
	"context"
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql/handler/transport"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

type principalKey struct{}

func withPrincipal(ctx context.Context, p *service.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// principalOf finds who asks. Every request that reaches a resolver has one.
func principalOf(ctx context.Context) (*service.Principal, error) {
	if p, ok := ctx.Value(principalKey{}).(*service.Principal); ok {
		return p, nil
	}
	return nil, &mail.Error{Kind: mail.KindUnauthorized}
}

// authenticate checks the value of an Authorization header (RFC 6750, 2.1).
func (s *Server) authenticate(ctx context.Context, header string) (context.Context, error) {
	scheme, key, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(key) == "" {
		return ctx, &mail.Error{Kind: mail.KindUnauthorized, Message: "a key is needed: Authorization: Bearer KEY"}
	}
	p, err := s.services.Auth.Authenticate(ctx, strings.TrimSpace(key))
	if err != nil {
		return ctx, err
	}
	return withPrincipal(ctx, p), nil
}

// closeUnauthorized is graphql-transport-ws's code for a client without a valid
// key, one after which its libraries do not try again.
const closeUnauthorized = 4401

// initSocket checks the key of a WebSocket that brought none in its header: it is
// in the payload of connection_init, as `authorization`.
func (s *Server) initSocket(ctx context.Context, payload transport.InitPayload) (context.Context, *transport.InitPayload, error) {
	if _, err := principalOf(ctx); err == nil {
		return ctx, nil, nil
	}
	authorized, err := s.authenticate(ctx, payload.Authorization())
	if err == nil {
		return authorized, nil, nil
	}
	f := s.describe(ctx, err)
	ctx = transport.WithWebsocketCloseCode(ctx, closeUnauthorized)
	return transport.AppendCloseReason(ctx, string(f.code)+": "+f.message), nil, err
}

// refuse answers a request that does not come to an operation.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	f := s.describe(r.Context(), err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeFault(w, status, f)
}
