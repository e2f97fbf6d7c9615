package providertest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// preparing changes the request of Prepare.
func preparing(change func(*provider.PrepareRequest)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.prepare = func(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
			again := *req
			change(&again)
			return whole.Prepare(ctx, &again, raw)
		}
	}
}

// resender keeps what it prepared, and can send it once more.
type resender struct {
	whole *memory.Provider
	mu    sync.Mutex
	kept  map[string]letterKept
	sent  map[string]bool
	n     int
}

type letterKept struct {
	req *provider.PrepareRequest
	raw []byte
}

func (r *resender) prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	b, err := io.ReadAll(raw)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.kept[req.OperationID] = letterKept{req, b}
	r.mu.Unlock()
	return r.whole.Prepare(ctx, req, bytes.NewReader(b))
}

// onceMore prepares and sends the same letter under another operation.
func (r *resender) onceMore(ctx context.Context, operation string) (*provider.SendResponse, error) {
	r.mu.Lock()
	kept := r.kept[operation]
	r.n++
	again := *kept.req
	again.OperationID = fmt.Sprintf("%s again %d", operation, r.n)
	r.mu.Unlock()
	resp, err := r.whole.Prepare(ctx, &again, bytes.NewReader(kept.raw))
	if err != nil {
		return nil, err
	}
	return r.whole.Send(ctx, &provider.SendRequest{Call: again.Call, OperationID: again.OperationID, Prepared: resp.Prepared})
}

func newResender(whole *memory.Provider) *resender {
	return &resender{whole: whole, kept: map[string]letterKept{}, sent: map[string]bool{}}
}

func brokenSending() []broken {
	return []broken{
		{name: "sends twice", caught: "send/once",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				r := newResender(whole)
				b.prepare = r.prepare
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					if resp, err := whole.Send(ctx, req); err != nil {
						return resp, err
					}
					return r.onceMore(ctx, req.OperationID)
				}
			}},
		{name: "sends again when asked again", caught: "send/twice",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				r := newResender(whole)
				b.prepare = r.prepare
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					r.mu.Lock()
					again := r.sent[req.OperationID]
					r.sent[req.OperationID] = true
					r.mu.Unlock()
					if again {
						return r.onceMore(ctx, req.OperationID)
					}
					return whole.Send(ctx, req)
				}
			}},
		{name: "says sent and sends nothing", caught: "send/once",
			spoil: func(_ context.Context, b *bent, _ *memory.Provider) {
				b.send = func(_ context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					return &provider.SendResponse{ProviderID: req.Prepared.ProviderID}, nil
				}
				b.probe = func(context.Context, *provider.ProbeRequest) (*provider.ProbeResponse, error) {
					return &provider.ProbeResponse{Outcome: provider.OutcomeSent}, nil
				}
			}},
		{name: "prepares twice", caught: "send/prepare-repeat",
			spoil: func(ctx context.Context, b *bent, whole *memory.Provider) {
				var n atomic.Int32
				preparing(func(r *provider.PrepareRequest) { r.OperationID = fmt.Sprint(r.OperationID, n.Add(1)) })(ctx, b, whole)
			}},
		{name: "prepares what broke off", caught: "send/prepare-cut",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.prepare = func(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
					all, _ := io.ReadAll(raw)
					again := *req
					again.Size = int64(len(all))
					return whole.Prepare(ctx, &again, bytes.NewReader(all))
				}
			}},
		{name: "takes a draft for a sent message", caught: "send/prepare",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.probe = func(ctx context.Context, req *provider.ProbeRequest) (*provider.ProbeResponse, error) {
					resp, err := whole.Probe(ctx, req)
					if err == nil {
						resp.Outcome = provider.OutcomeSent
					}
					return resp, err
				}
			}},
		{name: "drops Bcc", caught: "send/bcc",
			spoil: preparing(func(r *provider.PrepareRequest) { r.Envelope.Recipients = r.Envelope.Recipients[:1] })},
		{name: "writes to the headers, not to the envelope", caught: "send/envelope",
			spoil: preparing(func(r *provider.PrepareRequest) {
				r.Envelope.Recipients = append(slices.Clone(r.Envelope.Recipients), bob)
			})},
		{name: "tells another Message-ID", caught: "send/message-id",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					resp, err := whole.Send(ctx, req)
					if err == nil {
						resp.MessageID = "made-up@example.com"
					}
					return resp, err
				}
			}},
		{name: "takes every draft of a Message-ID for its own", caught: "send/own-draft",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.prepare = func(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
					resp, err := whole.Prepare(ctx, req, raw)
					if err != nil || req.FirstAttempt.IsZero() {
						return resp, err
					}
					var left []string
					err = whole.Enumerate(ctx, &provider.EnumerateRequest{Call: req.Call, Mailbox: string(mail.RoleDrafts)}, func(b *provider.EnumerateBatch) error {
						for _, m := range b.Messages {
							if m.MessageID == req.MessageID && m.ProviderID != resp.Prepared.ProviderID {
								left = append(left, m.ProviderID)
							}
						}
						return nil
					})
					if err == nil && len(left) > 0 {
						_, err = whole.Purge(ctx, &provider.DeleteRequest{Call: req.Call, IDs: left})
					}
					return resp, err
				}
			}},
		{name: "sends half of a large message", caught: "send/large",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.prepare = func(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
					again := *req
					again.Size = min(req.Size, 3<<20)
					return whole.Prepare(ctx, &again, io.LimitReader(raw, again.Size))
				}
			}},
		{name: "sends a draft that is gone", caught: "send/gone-draft",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				r := newResender(whole)
				b.prepare = r.prepare
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					resp, err := whole.Send(ctx, req)
					if mail.KindOf(err) == mail.KindNotFound {
						return r.onceMore(ctx, req.OperationID)
					}
					return resp, err
				}
			}},
		{name: "calls a lost answer unavailable", caught: "send/lost-answer",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					resp, err := whole.Send(ctx, req)
					if mail.KindOf(err) == mail.KindOutcomeUnknown {
						err = mail.Errorf(mail.KindUnavailable, "send", "%v", err)
					}
					return resp, err
				}
			}},
		{name: "sends again after a lost answer", caught: "send/lost-answer",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				r := newResender(whole)
				b.prepare = r.prepare
				b.send = func(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
					resp, err := whole.Send(ctx, req)
					if mail.KindOf(err) == mail.KindOutcomeUnknown {
						return r.onceMore(ctx, req.OperationID)
					}
					return resp, err
				}
			}},
		{name: "searches no subjects", caught: "search/finds",
			spoil: searching(func(r *provider.SearchRequest) {
				if r.Subject != "" {
					r.Subject = "no such subject"
				}
			})},
		{name: "searches every mailbox", caught: "search/restricts",
			spoil: searching(func(r *provider.SearchRequest) { r.Mailbox = "" })},
		{name: "forgets the page", caught: "search/pages",
			spoil: searching(func(r *provider.SearchRequest) { r.PageToken = "" })},
	}
}

func searching(change func(*provider.SearchRequest)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.search = func(ctx context.Context, req *provider.SearchRequest) (*provider.SearchResponse, error) {
			again := *req
			change(&again)
			return whole.Search(ctx, &again)
		}
	}
}

func brokenWatching() []broken {
	watching := func(change func(*provider.WatchRequest, *provider.WatchResponse)) func(context.Context, *bent, *memory.Provider) {
		return func(_ context.Context, b *bent, whole *memory.Provider) {
			b.watch = func(ctx context.Context, req *provider.WatchRequest) (*provider.WatchResponse, error) {
				again := *req
				change(&again, nil)
				resp, err := whole.Watch(ctx, &again)
				if err == nil {
					change(nil, resp)
				}
				return resp, err
			}
		}
	}
	notifying := func(change func(*provider.NotifyRequest, *provider.NotifyResponse)) func(context.Context, *bent, *memory.Provider) {
		return func(_ context.Context, b *bent, whole *memory.Provider) {
			b.notify = func(ctx context.Context, req *provider.NotifyRequest) (*provider.NotifyResponse, error) {
				resp, err := whole.Notify(ctx, req)
				if err == nil {
					change(req, resp)
				}
				return resp, err
			}
		}
	}
	return []broken{
		{name: "watches until yesterday", caught: "watch/describes",
			spoil: watching(func(_ *provider.WatchRequest, resp *provider.WatchResponse) {
				if resp != nil {
					resp.Expires = time.Now().AddDate(0, 0, -1)
				}
			})},
		{name: "makes a new channel for each renewal", caught: "watch/renew",
			spoil: watching(func(req *provider.WatchRequest, _ *provider.WatchResponse) {
				if req != nil {
					req.ID = ""
				}
			})},
		{name: "cannot end what is over", caught: "watch/unwatch",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var done sync.Map
				b.unwatch = func(ctx context.Context, req *provider.UnwatchRequest) error {
					if _, again := done.LoadOrStore(req.ID, true); again {
						return mail.Errorf(mail.KindNotFound, "unwatch", "no such channel")
					}
					return whole.Unwatch(ctx, req)
				}
			}},
		{name: "believes every notification", caught: "notify/forged",
			spoil: notifying(func(req *provider.NotifyRequest, resp *provider.NotifyResponse) {
				if len(req.Body) > 0 {
					resp.Hints = []provider.Hint{{Kind: provider.HintChanged, LookupKey: "channel-1"}}
				}
			})},
		{name: "names no channel in its hints", caught: "notify/hints",
			spoil: notifying(func(_ *provider.NotifyRequest, resp *provider.NotifyResponse) {
				for i := range resp.Hints {
					resp.Hints[i].LookupKey = ""
				}
			})},
		{name: "checks by a key of its own", caught: "notify/other-key",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.configure = func(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
					again := *req
					again.NotifyKey = []byte("the same everywhere")
					return whole.Configure(ctx, &again)
				}
			}},
		{name: "hears nothing", caught: "listen/hints",
			spoil: func(_ context.Context, b *bent, _ *memory.Provider) {
				b.listen = func(ctx context.Context, _ *provider.ListenRequest, _ func(*provider.Hint) error) error {
					<-ctx.Done()
					return nil
				}
			}},
	}
}
