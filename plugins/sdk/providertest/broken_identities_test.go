package providertest_test

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// listing identities, changed by f.
func identifying(f func([]mail.Identity) []mail.Identity) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.identities = func(ctx context.Context, req *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error) {
			resp, err := whole.Identities(ctx, req)
			if err == nil {
				resp.Identities = f(resp.Identities)
			}
			return resp, err
		}
	}
}

// checking is Check, changed by f.
func checking(f func(*provider.CheckResponse)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.check = func(ctx context.Context, req *provider.CheckRequest) (*provider.CheckResponse, error) {
			resp, err := whole.Check(ctx, req)
			if err == nil {
				f(resp)
			}
			return resp, err
		}
	}
}

// finishedBy is FinishConnect, changed by f.
func finishedBy(f func(*provider.FinishConnectRequest, *provider.FinishConnectResponse, error) (*provider.FinishConnectResponse, error)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.finish = func(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
			resp, err := whole.FinishConnect(ctx, req)
			return f(req, resp, err)
		}
	}
}

// secretly gives memory a secret setting, which it ignores.
func secretly(b *bent, whole *memory.Provider) {
	b.describe = func(ctx context.Context) (*provider.Info, error) {
		info, err := whole.Describe(ctx)
		if err == nil {
			info.Settings = append(info.Settings, provider.Setting{Name: "client_secret", Doc: "what proves it", Secret: true})
		}
		return info, err
	}
	b.configure = func(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
		again := *req
		again.Settings = map[string]string{"page_size": req.Settings["page_size"]}
		return whole.Configure(ctx, &again)
	}
}

func brokenIdentities() []broken {
	return []broken{
		{name: "forgets the account's own address", caught: "identities/own",
			spoil: identifying(func(all []mail.Identity) []mail.Identity {
				all[0].Email = "support@example.com"
				return all
			})},
		{name: "lists an address twice", caught: "identities/well-formed",
			spoil: identifying(func(all []mail.Identity) []mail.Identity { return append(all, all[0]) })},
		{name: "lists names as addresses", caught: "identities/well-formed",
			spoil: identifying(func(all []mail.Identity) []mail.Identity {
				return append(all, mail.Identity{Email: "Ann <ann@example.com>"})
			})},
		{name: "has two defaults", caught: "identities/well-formed",
			spoil: identifying(func(all []mail.Identity) []mail.Identity {
				return append(all, mail.Identity{Email: "two@example.com", Default: true})
			})},
		{name: "lists who may not send", caught: "identities/send",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				identifying(func(all []mail.Identity) []mail.Identity { return append(all, mail.Identity{Email: bob}) })(nil, b, whole)
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					if bytes.Contains(req.Prepared.State, []byte(`"From":"`+bob)) {
						return nil, mail.Errorf(mail.KindForbidden, "send", "not from this address")
					}
					return whole.Send(ctx, req)
				}
			}},
		{name: "finds fault with what works", caught: "check/sound",
			spoil: checking(func(r *provider.CheckResponse) {
				r.Results = append(r.Results, provider.CheckResult{Name: "credentials", Outcome: provider.CheckFailed, Detail: "refused", Remedy: "make another secret"})
			})},
		{name: "has an outcome of its own", caught: "check/sound",
			spoil: checking(func(r *provider.CheckResponse) { r.Results[0].Outcome = "fine" })},
		{name: "registers another redirect", caught: "check/sound",
			spoil: checking(func(r *provider.CheckResponse) {
				r.Registrations[0].Value = "http://localhost:8080/"
			})},
		{name: "needs no permission", caught: "check/sound",
			spoil: checking(func(r *provider.CheckResponse) { r.Registrations = r.Registrations[:1] })},
		{name: "tells its secret", caught: "check/quiet", sound: secretly, settings: map[string]string{"client_secret": "swordfish"},
			spoil: checking(func(r *provider.CheckResponse) {
				r.Results = append(r.Results, provider.CheckResult{Name: "credentials", Outcome: provider.CheckFailed, Detail: `the secret "swordfish" is refused`})
			})},
		{name: "registers its secret", caught: "check/quiet", sound: secretly, settings: map[string]string{"client_secret": "swordfish"},
			spoil: checking(func(r *provider.CheckResponse) {
				r.Registrations = append(r.Registrations, provider.Registration{Kind: "secret", Value: "swordfish"})
			})},
		{name: "gives no link", caught: "connect/approval",
			spoil: finishedBy(func(_ *provider.FinishConnectRequest, resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				var e *mail.Error
				if errors.As(err, &e) && e.Link != "" {
					bare := *e
					bare.Link = ""
					return nil, &bare
				}
				return resp, err
			})},
		{name: "takes an administrator for an owner", caught: "connect/approval",
			spoil: finishedBy(func(req *provider.FinishConnectRequest, resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if req.Approval && err == nil {
					resp.Accounts = []provider.ConnectedAccount{{Subject: "admin", Address: ann}}
				}
				return resp, err
			})},
		{name: "hears every answer as yes", caught: "connect/no-approval",
			spoil: finishedBy(func(req *provider.FinishConnectRequest, resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if req.Approval {
					return &provider.FinishConnectResponse{}, nil
				}
				return resp, err
			})},
		{name: "gives what has ended", caught: "connect/expiry",
			spoil: finishedBy(func(_ *provider.FinishConnectRequest, resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if err == nil {
					resp.ExpiresAt = time.Unix(1_600_000_000, 0)
				}
				return resp, err
			})},
		{name: "says why and not when", caught: "connect/expiry",
			spoil: finishedBy(func(_ *provider.FinishConnectRequest, resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if err == nil {
					resp.ExpiresReason = "the application is in testing"
				}
				return resp, err
			})},
	}
}
