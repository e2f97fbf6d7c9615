package memory

import (
	"context"
	"net/url"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
)

// World gives the cloud as the conformance suite sees it: every hook is there.
// The accounts are made where they are not.
func (c *Cloud) World(address string, recipients ...string) providertest.World {
	for _, a := range append([]string{address}, recipients...) {
		c.AddAccount(a, "")
	}
	return &world{cloud: c, address: address, recipients: recipients}
}

type world struct {
	cloud      *Cloud
	address    string
	recipients []string
}

func (w *world) Settings() map[string]string { return map[string]string{settingPageSize: "3"} }

func (w *world) BadSettings() []map[string]string {
	return []map[string]string{{settingPageSize: "many"}, {settingPageSize: "-1"}, {"no_such_setting": "1"}}
}

func (w *world) RedirectURL() string  { return "http://localhost:8080/oauth/memory/callback" }
func (w *world) Address() string      { return w.address }
func (w *world) Recipients() []string { return w.recipients }

func (w *world) Connect(_ context.Context, authorizeURL string) (url.Values, error) {
	return w.cloud.Authorize(authorizeURL, w.address, true)
}

func (w *world) Deny(_ context.Context, authorizeURL string) (url.Values, error) {
	return w.cloud.Authorize(authorizeURL, w.address, false)
}

func (w *world) RequireApproval(context.Context) (func(context.Context) error, error) {
	w.cloud.RequireApproval(true)
	return func(context.Context) error { w.cloud.RequireApproval(false); return nil }, nil
}

func (w *world) Approve(_ context.Context, link string, allow bool) (url.Values, error) {
	return w.cloud.Approve(link, allow)
}

func (w *world) Deliver(_ context.Context, address, mailbox string, raw []byte) error {
	_, err := w.cloud.Deliver(address, Delivery{Mailbox: mailbox, Raw: raw})
	return err
}

func (w *world) SetKeywords(_ context.Context, address, id string, keywords []string) error {
	return w.cloud.SetKeywords(address, id, keywords...)
}

func (w *world) Move(_ context.Context, address, id, mailbox string) error {
	return w.cloud.Move(address, id, mailbox)
}

func (w *world) Remove(_ context.Context, address, id string) error {
	return w.cloud.Remove(address, id)
}

func (w *world) Truth(_ context.Context, address string) ([]providertest.Message, error) {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	a, err := w.cloud.find(address)
	if err != nil {
		return nil, err
	}
	var out []providertest.Message
	for _, m := range a.newestFirst("") {
		d := m.describe()
		out = append(out, providertest.Message{
			ProviderID: m.id, Mailboxes: d.Mailboxes, Keywords: d.Keywords, Size: d.Size, SHA256: m.sha,
		})
	}
	return out, nil
}

func (w *world) ForgetCursors(_ context.Context, address string) error {
	return w.cloud.ForgetCursors(address)
}

func (w *world) ExpireTokens(_ context.Context, address string) error {
	return w.cloud.ExpireTokens(address)
}

func (w *world) Revoke(_ context.Context, address string) error {
	return w.cloud.RevokeGrants(address)
}

func (w *world) TokenRequests(context.Context) (int, error) { return w.cloud.TokenRequests(), nil }

func (w *world) Fault(_ context.Context, address string, fault providertest.Fault) (func(context.Context) error, error) {
	kind := map[providertest.Fault]mail.Kind{
		providertest.FaultThrottled:   mail.KindThrottled,
		providertest.FaultUnavailable: mail.KindUnavailable,
	}[fault]
	if fault == providertest.FaultLostAnswer {
		w.cloud.FailNext("send", mail.KindOutcomeUnknown)
		return func(context.Context) error { return nil }, nil
	}
	if kind == "" {
		return nil, providertest.NoHook("faults." + string(fault))
	}
	w.cloud.OnCall(func(_ context.Context, verb, at string) error {
		if key(at) != key(address) {
			return nil
		}
		_, err := refuse(verb, kind)
		return err
	})
	return func(context.Context) error { w.cloud.OnCall(nil); return nil }, nil
}

func (w *world) Listen(_ context.Context, handler func(*provider.NotifyRequest) *provider.NotifyResponse) (string, error) {
	w.cloud.OnNotify(handler)
	return "https://memory.invalid/notify", nil
}
