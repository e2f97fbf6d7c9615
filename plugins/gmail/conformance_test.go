package gmail_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/gmail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
)

const conformanceRedirect = "http://localhost:8080/oauth/providertest/callback"

// TestConformance holds the provider to the contract against the sandbox,
// directly and as the gateway sees it, across gRPC.
func TestConformance(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t, httpPushes)
	set := settings(t, sb.State())
	var cases atomic.Int64
	suite := providertest.Suite{Inapplicable: inapplicable, New: func(t providertest.T) (provider.Provider, providertest.World) {
		w := &sandboxWorld{sandbox: sb, settings: set}
		// Every case has people of its own.
		n := cases.Add(1)
		for _, name := range []string{"Alan", "Joan", "Hugh"} {
			u, err := sb.Google().AddUser(fmt.Sprintf("%s-%d@gmail.example", strings.ToLower(name), n), name)
			if err != nil {
				t.Fatalf("add user: %v", err)
			}
			w.people = append(w.people, u.Address)
		}
		return gmail.New(gmail.Options{}), w
	}}
	t.Run("direct", func(t *testing.T) { providertest.Run(t, suite) })
	t.Run("wire", func(t *testing.T) { providertest.Run(t, suite.Across(provider.Pipe)) })
}

// inapplicable are the cases that ask for what Gmail does not have: a link for
// administrators, free keywords, refresh tokens that change (rotation_test.go has
// them), a limit of size that a test could reach, and a verb that is missing.
var inapplicable = []string{
	"connect/approval", "account/unsupported", "modify/free-keyword", "append/too-large", "grant/saved", "grant/saved-first",
}

// sandboxWorld is the sandbox as the conformance suite wants it.
type sandboxWorld struct {
	providertest.NoHooks
	sandbox  *sandbox.Sandbox
	settings map[string]string
	people   []string
}

func (w *sandboxWorld) with(name, value string) map[string]string {
	out := map[string]string{}
	for k, v := range w.settings {
		out[k] = v
	}
	out[name] = value
	return out
}

func (w *sandboxWorld) Settings() map[string]string { return w.with("push_service_account", pusher) }

func (w *sandboxWorld) BadSettings() []map[string]string {
	var out []map[string]string
	for k, v := range map[string]string{
		"client_id": "", "client_secret": "", "auth_url": "nowhere", "token_url": "http://gmail.example/token", "ca_file": "/nowhere.pem",
		"scopes": "openid", "topic": "gmail", "subscription": "projects/p/topics/t", "service_account": "/nowhere.json",
		"quota_units": "none", "quota_table": "newest", "max_concurrent": "0", "batch_size": "101", "categories": "no", "all_mail": "maybe", "colour": "red",
	} {
		out = append(out, w.with(k, v))
	}
	return out
}

func (w *sandboxWorld) RedirectURL() string  { return conformanceRedirect }
func (w *sandboxWorld) Address() string      { return w.people[0] }
func (w *sandboxWorld) Recipients() []string { return w.people[1:] }

func (w *sandboxWorld) Connect(ctx context.Context, authorize string) (url.Values, error) {
	return plugintest.SignIn(ctx, http.DefaultClient, authorize, url.Values{"user": {w.Address()}, "decision": {"approve"}})
}

func (w *sandboxWorld) Deny(ctx context.Context, authorize string) (url.Values, error) {
	return plugintest.SignIn(ctx, http.DefaultClient, authorize, url.Values{"user": {w.Address()}, "decision": {"deny"}})
}

func (w *sandboxWorld) Deliver(ctx context.Context, address, mailbox string, raw []byte) error {
	_, err := w.sandbox.Google().Deliver(ctx, address, cloud.Delivery{Mailbox: mailbox, Notify: true, Raw: raw})
	return err
}

func (w *sandboxWorld) SetKeywords(_ context.Context, address, id string, keywords []string) error {
	truth, err := w.Truth(context.Background(), address)
	if err != nil {
		return err
	}
	var gone []string
	for _, m := range truth {
		if m.ProviderID == id {
			gone = m.Keywords
		}
	}
	return w.sandbox.Google().Edit(address, id, cloud.Edit{AddKeywords: keywords, RemoveKeywords: minus(gone, keywords)})
}

func (w *sandboxWorld) Move(_ context.Context, address, id, mailbox string) error {
	return w.sandbox.Google().Edit(address, id, cloud.Edit{Mailbox: mailbox})
}

func (w *sandboxWorld) Remove(_ context.Context, address, id string) error {
	return w.sandbox.Google().Delete(address, id)
}

func (w *sandboxWorld) Truth(_ context.Context, address string) ([]providertest.Message, error) {
	list, err := w.sandbox.Google().Messages(address)
	out := make([]providertest.Message, len(list))
	for i, m := range list {
		out[i] = providertest.Message{ProviderID: m.ID, Mailboxes: m.Mailboxes, Keywords: m.Keywords, Size: m.Size, SHA256: m.SHA256}
	}
	return out, err
}

func (w *sandboxWorld) ForgetCursors(_ context.Context, address string) error {
	return w.sandbox.Google().ForgetCursors(address)
}

func (w *sandboxWorld) Revoke(_ context.Context, address string) error {
	return w.sandbox.Google().Revoke(address, false)
}

func (w *sandboxWorld) ExpireTokens(_ context.Context, address string) error {
	return w.sandbox.Google().ExpireTokens(address)
}

func (w *sandboxWorld) TokenRequests(context.Context) (int, error) {
	n := 0
	for _, count := range w.sandbox.Counters().Report("", w.Address()).Tokens["refresh_token"] {
		n += int(count)
	}
	return n, nil
}

func (w *sandboxWorld) Fault(_ context.Context, address string, fault providertest.Fault) (func(context.Context) error, error) {
	f := traffic.Fault{User: address, Match: "/gmail/v1/"}
	switch fault {
	case providertest.FaultThrottled:
		f.Status = http.StatusTooManyRequests
	case providertest.FaultUnavailable:
		f.Status = http.StatusServiceUnavailable
	case providertest.FaultLostAnswer:
		f.CutAfter, f.Match, f.Times = true, "/drafts/send", 1
	default:
		return nil, providertest.NoHook(string(fault))
	}
	if err := w.sandbox.Faults().Put(f); err != nil {
		return nil, err
	}
	return func(context.Context) error {
		f.Status, f.CutAfter = 0, false
		return w.sandbox.Faults().Put(f)
	}, nil
}

func minus(list, take []string) []string {
	var out []string
	for _, s := range list {
		keep := true
		for _, t := range take {
			keep = keep && s != t
		}
		if keep {
			out = append(out, s)
		}
	}
	return out
}
