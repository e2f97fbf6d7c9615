package providertest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// required is a setting that memory has not.
const required = "client_id"

// requiring gives memory a required setting; careful says whether it sees to it.
func requiring(careful bool) func(*bent, *memory.Provider) {
	return func(b *bent, whole *memory.Provider) {
		b.describe = func(ctx context.Context) (*provider.Info, error) {
			info, err := whole.Describe(ctx)
			if err == nil {
				info.Settings = append(info.Settings, provider.Setting{Name: required, Doc: "who we are", Required: true})
			}
			return info, err
		}
		b.configure = func(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
			if careful && req.Settings[required] == "" {
				return nil, mail.Errorf(mail.KindMisconfigured, "configure", "%s is missing", required)
			}
			again := *req
			again.Settings = maps.Clone(req.Settings)
			delete(again.Settings, required)
			return whole.Configure(ctx, &again)
		}
	}
}

func brokenConnecting() []broken {
	return []broken{
		{name: "describes itself differently each time", caught: "describe/stable",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var n atomic.Int32
				b.describe = func(ctx context.Context) (*provider.Info, error) {
					info, err := whole.Describe(ctx)
					info.Version = fmt.Sprint(n.Add(1))
					return info, err
				}
			}},
		{name: "has a capability that nobody knows", caught: "describe/well-formed",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.describe = func(ctx context.Context) (*provider.Info, error) {
					info, err := whole.Describe(ctx)
					info.Capabilities = append(info.Capabilities, "telepathy")
					return info, err
				}
			}},
		{name: "accepts nonsense as settings", caught: "configure/nonsense",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.configure = func(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
					if _, err := whole.Configure(ctx, req); err != nil {
						return &provider.ConfigureResponse{Warnings: []string{err.Error()}}, nil
					}
					return &provider.ConfigureResponse{}, nil
				}
			}},
		{name: "forgets its accounts when configured", caught: "configure/repeats",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.configure = func(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
					if err := whole.Close(ctx, &provider.CloseRequest{Account: "account-1"}); err != nil {
						return nil, err
					}
					return whole.Configure(ctx, req)
				}
			}},
		{name: "leaves the state out of its url", caught: "connect/url",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.begin = func(ctx context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
					again := *req
					again.State = "state"
					return whole.BeginConnect(ctx, &again)
				}
			}},
		{name: "shows what is pending", caught: "connect/url",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.begin = func(ctx context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
					resp, err := whole.BeginConnect(ctx, req)
					if err == nil {
						resp.URL += "&verifier=" + url.QueryEscape(string(resp.Pending))
					}
					return resp, err
				}
			}},
		{name: "takes any state", caught: "connect/wrong-state",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var state atomic.Value
				b.begin = func(ctx context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
					state.Store(req.State)
					return whole.BeginConnect(ctx, req)
				}
				b.finish = func(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
					req.Params["state"] = []string{state.Load().(string)}
					return whole.FinishConnect(ctx, req)
				}
			}},
		{name: "takes a callback twice", caught: "connect/replayed",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.finish = func(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
					req.Params["code"] = []string{ann}
					return whole.FinishConnect(ctx, req)
				}
			}},
		{name: "takes any pending bytes", caught: "connect/foreign-pending",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.finish = func(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
					again := *req
					again.Pending = fmt.Appendf(nil, "{%q:%q}", "state", url.Values(req.Params).Get("state"))
					return whole.FinishConnect(ctx, &again)
				}
			}},
		{name: "needs no callback", caught: "connect/empty-callback",
			spoil: finishing(func(resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if err != nil {
					return &provider.FinishConnectResponse{Accounts: []provider.ConnectedAccount{{Subject: ann, Address: ann}}, Grant: []byte("{}")}, nil
				}
				return resp, nil
			})},
		{name: "calls a refusal its own fault", caught: "connect/denied",
			spoil: finishing(func(resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if mail.KindOf(err) == mail.KindForbidden {
					err = mail.Errorf(mail.KindInternal, "finish connect", "access_denied")
				}
				return resp, err
			})},
		{name: "opens no account", caught: "connect/finish",
			spoil: finishing(func(resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
				if err == nil {
					resp.Accounts = nil
				}
				return resp, err
			})},
		{name: "gives an owner a new subject each time", caught: "connect/again",
			spoil: func(ctx context.Context, b *bent, whole *memory.Provider) {
				var n atomic.Int32
				finishing(func(resp *provider.FinishConnectResponse, err error) (*provider.FinishConnectResponse, error) {
					if err == nil {
						resp.Accounts[0].Subject = fmt.Sprint(n.Add(1))
					}
					return resp, err
				})(ctx, b, whole)
			}},
		{name: "does without a required setting", caught: "configure/missing",
			settings: map[string]string{required: "us"}, sound: requiring(true),
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) { requiring(false)(b, whole) }},
		{name: "says not found where it means not open", caught: "account/not-open",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.search = func(ctx context.Context, req *provider.SearchRequest) (*provider.SearchResponse, error) {
					resp, err := whole.Search(ctx, req)
					if errors.Is(err, provider.ErrNotOpen) {
						err = mail.Errorf(mail.KindNotFound, "search", "no such account")
					}
					return resp, err
				}
			}},
		{name: "keeps a closed account open", caught: "account/open-close",
			spoil: func(_ context.Context, b *bent, _ *memory.Provider) {
				b.close = func(context.Context, *provider.CloseRequest) error { return nil }
			}},
		{name: "closes all accounts at once", caught: "account/two",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.close = func(ctx context.Context, _ *provider.CloseRequest) error {
					for n := range 10 {
						if err := whole.Close(ctx, &provider.CloseRequest{Account: fmt.Sprintf("account-%d", n)}); err != nil {
							return err
						}
					}
					return nil
				}
			}},
		{name: "opens an account without a grant", caught: "account/junk-grant",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.open = func(ctx context.Context, req *provider.OpenRequest) error {
					if err := whole.Open(ctx, req); err == nil {
						return nil
					}
					_, err := whole.OpenAccount(req.Account, req.Address)
					return err
				}
			}},
		{name: "answers nothing for what it cannot do", caught: "account/unsupported",
			opts: memory.Options{Without: []provider.Capability{provider.CapSearch}},
			spoil: func(_ context.Context, b *bent, _ *memory.Provider) {
				b.search = func(context.Context, *provider.SearchRequest) (*provider.SearchResponse, error) {
					return &provider.SearchResponse{}, nil
				}
			}},
	}
}

// finishing changes the answer of FinishConnect.
func finishing(change func(*provider.FinishConnectResponse, error) (*provider.FinishConnectResponse, error)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.finish = func(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
			return change(whole.FinishConnect(ctx, req))
		}
	}
}

func brokenMailboxes() []broken {
	listing := func(change func([]mail.Mailbox) []mail.Mailbox) func(context.Context, *bent, *memory.Provider) {
		return func(_ context.Context, b *bent, whole *memory.Provider) {
			b.mailboxes = func(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
				resp, err := whole.Mailboxes(ctx, req)
				if err == nil {
					resp.Mailboxes = change(resp.Mailboxes)
				}
				return resp, err
			}
		}
	}
	return []broken{
		{name: "has no inbox", caught: "mailboxes/well-formed",
			spoil: listing(func(all []mail.Mailbox) []mail.Mailbox { return all[1:] })},
		{name: "gives one role to two mailboxes", caught: "mailboxes/roles",
			spoil: listing(func(all []mail.Mailbox) []mail.Mailbox {
				all[len(all)-1].Role = all[0].Role
				return all
			})},
		{name: "gives its mailboxes new ids each time", caught: "mailboxes/stable",
			spoil: func(ctx context.Context, b *bent, whole *memory.Provider) {
				var n atomic.Int32
				listing(func(all []mail.Mailbox) []mail.Mailbox {
					all[1].ID = fmt.Sprintf("%s-%d", all[1].ID, n.Add(1))
					return all
				})(ctx, b, whole)
			}},
		{name: "lists children before their parents", caught: "mailboxes/parents-first",
			spoil: listing(func(all []mail.Mailbox) []mail.Mailbox {
				var out []mail.Mailbox
				for _, m := range all {
					out = append([]mail.Mailbox{m}, out...)
				}
				return out
			})},
		{name: "makes every mailbox at the top", caught: "mailboxes/create",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.create = func(ctx context.Context, req *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
					again := *req
					again.ParentID = ""
					return whole.CreateMailbox(ctx, &again)
				}
			}},
		{name: "renames by making anew", caught: "mailboxes/rename",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.rename = func(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
					if err := whole.DeleteMailbox(ctx, &provider.DeleteMailboxRequest{Call: req.Call, ID: req.ID}); err != nil {
						return nil, err
					}
					made, err := whole.CreateMailbox(ctx, &provider.CreateMailboxRequest{Call: req.Call, ParentID: req.ParentID, Name: req.Name})
					if err != nil {
						return nil, err
					}
					return &provider.RenameMailboxResponse{Mailbox: made.Mailbox}, nil
				}
			}},
		{name: "leaves a mailbox where it was", caught: "mailboxes/reparent",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.rename = func(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
					again := *req
					again.ParentID = ""
					return whole.RenameMailbox(ctx, &again)
				}
			}},
		{name: "makes what it should rename", caught: "mailboxes/unknown",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.rename = func(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
					resp, err := whole.RenameMailbox(ctx, req)
					if mail.KindOf(err) == mail.KindNotFound {
						made, err := whole.CreateMailbox(ctx, &provider.CreateMailboxRequest{Call: req.Call, Name: req.Name})
						if err != nil {
							return nil, err
						}
						return &provider.RenameMailboxResponse{Mailbox: made.Mailbox}, nil
					}
					return resp, err
				}
			}},
		{name: "lists what was deleted", caught: "mailboxes/delete",
			spoil: func(ctx context.Context, b *bent, whole *memory.Provider) {
				var mu sync.Mutex
				var ever []mail.Mailbox
				listing(func(all []mail.Mailbox) []mail.Mailbox {
					mu.Lock()
					defer mu.Unlock()
					for _, m := range all {
						if !slices.ContainsFunc(ever, func(e mail.Mailbox) bool { return e.ID == m.ID }) {
							ever = append(ever, m)
						}
					}
					return slices.Clone(ever)
				})(ctx, b, whole)
			}},
		{name: "numbers a name that is taken", caught: "mailboxes/conflict",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var mu sync.Mutex
				n := 1
				b.create = func(ctx context.Context, req *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
					mu.Lock()
					defer mu.Unlock()
					resp, err := whole.CreateMailbox(ctx, req)
					if mail.KindOf(err) == mail.KindConflict {
						n++
						again := *req
						again.Name = fmt.Sprintf("%s (%d)", req.Name, n)
						return whole.CreateMailbox(ctx, &again)
					}
					return resp, err
				}
			}},
	}
}
