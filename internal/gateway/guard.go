package gateway

import (
	"fmt"
	"net/url"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/webhook"
)

// guardRules are the settings that say where webhooks may go.
func guardRules(cfg *config.Config) webhook.Rules {
	return webhook.Rules{Allow: cfg.Webhooks.Allow, AllowHTTP: cfg.Webhooks.AllowHTTP, Ports: cfg.Webhooks.AllowPorts}
}

// webhookProxy is what every webhook goes through, nil for none.
func webhookProxy(cfg *config.Config) (*url.URL, error) {
	if cfg.Webhooks.Proxy == "" {
		return nil, nil
	}
	return webhook.ParseProxy(cfg.Webhooks.Proxy)
}

// reguard takes changed rules, and closes connections that were kept under
// the former ones.
func (g *Gateway) reguard(cfg *config.Config) error {
	if err := g.guard.Set(guardRules(cfg)); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	g.carrier.Recheck()
	return nil
}
