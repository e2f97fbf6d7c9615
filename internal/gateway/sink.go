package gateway

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/internal/pluginhost"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// sink takes what plugins tell, and gives them grants. The accounts come after
// the plugins, since they need them.
type sink struct {
	accounts *account.Service
	log      *slog.Logger
}

func (s *sink) SaveGrant(ctx context.Context, instance, account string, grant []byte) error {
	return s.accounts.SaveGrant(ctx, instance, account, grant)
}

func (s *sink) GrantRefused(ctx context.Context, _, account string, reason error) error {
	s.accounts.GrantRefused(ctx, account, reason)
	return nil
}

func (s *sink) Hint(ctx context.Context, instance string, h *provider.Hint) error {
	s.accounts.Hint(ctx, instance, h)
	return nil
}

func (s *sink) Started(instance string) { s.accounts.PluginStarted(instance) }

func (s *sink) OpenRequest(ctx context.Context, account string) (*provider.OpenRequest, error) {
	return s.accounts.OpenRequest(ctx, account)
}

// providers lists the instances for GraphQL.
type providers struct{ g *Gateway }

func (p providers) Providers(context.Context) ([]*service.Provider, error) {
	var out []*service.Provider
	for _, st := range p.g.plugins.Status() {
		sp := &service.Provider{ID: st.Name, Title: st.Name, State: service.ProviderUnavailable}
		if info, err := p.g.plugins.Info(st.Name); err == nil {
			sp.Title = info.Title
		}
		switch st.State {
		case pluginhost.StateRunning:
			sp.State = service.ProviderReady
		case pluginhost.StateStarting:
			sp.State = service.ProviderStarting
		case pluginhost.StateMisconfigured:
			sp.State = service.ProviderMisconfigured
		}
		if st.LastError != nil && st.State != pluginhost.StateRunning {
			sp.Reason = describe(st.LastError)
		}
		if why := p.g.accounts.Misconfigured(st.Name); why != "" {
			sp.State, sp.Reason = service.ProviderMisconfigured, why
		}
		out = append(out, sp)
	}
	return out, nil
}

func newOperation() string { return "o" + strings.ToLower(rand.Text()) }
