package pluginhost

import (
	"context"
	"io"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// call is one call of a verb as the layers see it.
type call struct {
	verb    provider.Verb
	account string // empty where the verb concerns none
	// again prepares a repetition, and reports false where there can be none:
	// the caller was told something already, or its reader cannot go back.
	// nil means that nothing stands in the way.
	again func() bool
	// heard, where set, is told when a part of a stream has come, and when the
	// caller is done with it.
	heard func(done bool)
}

func (c *call) hear(done bool) {
	if c.heard != nil {
		c.heard(done)
	}
}

func (c *call) repeatable() bool { return c.again == nil || c.again() }

// doer carries out a call by handing f the provider to call.
type doer func(ctx context.Context, c *call, f func(context.Context, provider.Provider) error) error

// proxy is the provider.Provider of an instance: each verb becomes a call that
// goes through the layers of do.
type proxy struct{ do doer }

var _ provider.Provider = (*proxy)(nil)

// ask is a verb with an answer.
func ask[Resp any](ctx context.Context, p *proxy, c *call, f func(context.Context, provider.Provider) (*Resp, error)) (*Resp, error) {
	var resp *Resp
	err := p.do(ctx, c, func(ctx context.Context, to provider.Provider) (err error) {
		resp, err = f(ctx, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// tell is a verb with a stream: once the caller was told something, the call
// is not repeated. What judge refuses the caller is not told.
func tell[T any](c *call, judge, each func(T) error) func(T) error {
	told := false
	c.again = func() bool { return !told }
	return func(t T) error {
		c.hear(false)
		defer c.hear(true)
		if judge != nil {
			if err := judge(t); err != nil {
				return err
			}
		}
		told = true
		return each(t)
	}
}

// judged is an answer that judge has looked at.
func judged[Resp any](resp *Resp, err error, judge func(*Resp) error) (*Resp, error) {
	if err == nil {
		err = judge(resp)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// upload makes a call repeatable while nothing was read of raw, or where raw
// can go back.
func upload(c *call, raw io.Reader) io.Reader {
	counted := &countingReader{r: raw}
	c.again = func() bool {
		if counted.n == 0 {
			return true
		}
		s, ok := raw.(io.Seeker)
		if !ok {
			return false
		}
		if _, err := s.Seek(-counted.n, io.SeekCurrent); err != nil {
			return false
		}
		counted.n = 0
		return true
	}
	return counted
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (p *proxy) Describe(ctx context.Context) (*provider.Info, error) {
	return ask(ctx, p, &call{verb: provider.VerbDescribe}, func(ctx context.Context, to provider.Provider) (*provider.Info, error) {
		return to.Describe(ctx)
	})
}

// Configure and Session are the host's own business.
func (p *proxy) Configure(context.Context, *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	return nil, hostsOwn(provider.VerbConfigure)
}

func (p *proxy) Session(context.Context, provider.Host) error {
	return hostsOwn(provider.VerbSession)
}

func hostsOwn(v provider.Verb) error {
	return &mail.Error{Kind: mail.KindInvalid, Op: v.Words(), Message: "the plugin host does this itself"}
}

func (p *proxy) Check(ctx context.Context, req *provider.CheckRequest) (*provider.CheckResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbCheck}, func(ctx context.Context, to provider.Provider) (*provider.CheckResponse, error) {
		return to.Check(ctx, req)
	})
}

func (p *proxy) Open(ctx context.Context, req *provider.OpenRequest) error {
	return p.do(ctx, &call{verb: provider.VerbOpen, account: req.Account}, func(ctx context.Context, to provider.Provider) error {
		return to.Open(ctx, req)
	})
}

func (p *proxy) Close(ctx context.Context, req *provider.CloseRequest) error {
	return p.do(ctx, &call{verb: provider.VerbClose, account: req.Account}, func(ctx context.Context, to provider.Provider) error {
		return to.Close(ctx, req)
	})
}

func (p *proxy) BeginConnect(ctx context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbBeginConnect}, func(ctx context.Context, to provider.Provider) (*provider.BeginConnectResponse, error) {
		return to.BeginConnect(ctx, req)
	})
}

func (p *proxy) FinishConnect(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbFinishConnect}, func(ctx context.Context, to provider.Provider) (*provider.FinishConnectResponse, error) {
		return to.FinishConnect(ctx, req)
	})
}

func (p *proxy) Revoke(ctx context.Context, req *provider.RevokeRequest) error {
	return p.do(ctx, &call{verb: provider.VerbRevoke, account: req.Account}, func(ctx context.Context, to provider.Provider) error {
		return to.Revoke(ctx, req)
	})
}

func (p *proxy) Mailboxes(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbMailboxes, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.MailboxesResponse, error) {
		resp, err := to.Mailboxes(ctx, req)
		return judged(resp, err, judgeMailboxes)
	})
}

func (p *proxy) CreateMailbox(ctx context.Context, req *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbCreateMailbox, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.CreateMailboxResponse, error) {
		return to.CreateMailbox(ctx, req)
	})
}

func (p *proxy) RenameMailbox(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbRenameMailbox, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.RenameMailboxResponse, error) {
		return to.RenameMailbox(ctx, req)
	})
}

func (p *proxy) DeleteMailbox(ctx context.Context, req *provider.DeleteMailboxRequest) error {
	return p.do(ctx, &call{verb: provider.VerbDeleteMailbox, account: req.Account}, func(ctx context.Context, to provider.Provider) error {
		return to.DeleteMailbox(ctx, req)
	})
}

func (p *proxy) Enumerate(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
	c := &call{verb: provider.VerbEnumerate, account: req.Account}
	each = tell(c, judgeEnumerated, each)
	return p.do(ctx, c, func(ctx context.Context, to provider.Provider) error { return to.Enumerate(ctx, req, each) })
}

func (p *proxy) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	c := &call{verb: provider.VerbChanges, account: req.Account}
	each = tell(c, judgeBatch, each)
	return p.do(ctx, c, func(ctx context.Context, to provider.Provider) error { return to.Changes(ctx, req, each) })
}

func (p *proxy) Listen(ctx context.Context, req *provider.ListenRequest, each func(*provider.Hint) error) error {
	c := &call{verb: provider.VerbListen}
	each = tell(c, nil, each)
	return p.do(ctx, c, func(ctx context.Context, to provider.Provider) error { return to.Listen(ctx, req, each) })
}

// Fetch is repeated for the messages that were not answered yet.
func (p *proxy) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	k := &resumingSink{sink: sink, answered: map[string]bool{}, asked: map[string]bool{}}
	for _, id := range req.IDs {
		k.asked[id] = true
	}
	c := &call{verb: provider.VerbFetch, account: req.Account, again: func() bool { return !k.spoilt }}
	k.call = c
	return p.do(ctx, c, func(ctx context.Context, to provider.Provider) error {
		left := *req
		if len(k.answered) > 0 {
			left.IDs = nil
			for _, id := range req.IDs {
				if !k.answered[id] {
					left.IDs = append(left.IDs, id)
				}
			}
			if len(left.IDs) == 0 {
				return nil
			}
		}
		return to.Fetch(ctx, &left, k)
	})
}

// resumingSink remembers what was answered. A message that broke off, or an
// error of the caller's own sink, spoils a repetition.
type resumingSink struct {
	sink            provider.FetchSink
	call            *call
	asked, answered map[string]bool
	spoilt          bool
}

// expect refuses bytes and refusals of what nobody has asked for, or twice.
func (k *resumingSink) expect(id string) error {
	if !k.asked[id] || k.answered[id] {
		return badAnswer(provider.VerbFetch, "a message that was not asked for")
	}
	return nil
}

func (k *resumingSink) done(id string, err error) error {
	k.answered[id] = true
	k.spoilt = k.spoilt || err != nil
	return err
}

func (k *resumingSink) Message(m *mail.Message) error {
	k.call.hear(false)
	defer k.call.hear(true)
	if err := judgeMessage(provider.VerbFetch, m); err != nil {
		return err
	}
	return k.done(m.ProviderID, k.sink.Message(m))
}

func (k *resumingSink) Raw(id, tag string, r io.Reader) error {
	k.call.hear(true)
	if err := k.expect(id); err != nil {
		return err
	}
	return k.done(id, k.sink.Raw(id, tag, &heardReader{r, k.call}))
}

// heardReader tells of each piece that comes.
type heardReader struct {
	r    io.Reader
	call *call
}

func (h *heardReader) Read(p []byte) (int, error) {
	h.call.hear(true)
	n, err := h.r.Read(p)
	h.call.hear(true)
	return n, err
}

func (k *resumingSink) Failed(id string, err error) error {
	k.call.hear(false)
	defer k.call.hear(true)
	if err := k.expect(id); err != nil {
		return err
	}
	return k.done(id, k.sink.Failed(id, err))
}

func (p *proxy) Modify(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbModify, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.ModifyResponse, error) {
		return to.Modify(ctx, req)
	})
}

func (p *proxy) Append(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	c := &call{verb: provider.VerbAppend, account: req.Account}
	raw = upload(c, raw)
	return ask(ctx, p, c, func(ctx context.Context, to provider.Provider) (*provider.AppendResponse, error) {
		return to.Append(ctx, req, raw)
	})
}

func (p *proxy) Copy(ctx context.Context, req *provider.CopyRequest) (*provider.ModifyResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbCopy, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.ModifyResponse, error) {
		return to.Copy(ctx, req)
	})
}

func (p *proxy) Delete(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbDelete, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.ModifyResponse, error) {
		return to.Delete(ctx, req)
	})
}

func (p *proxy) Purge(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbPurge, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.ModifyResponse, error) {
		return to.Purge(ctx, req)
	})
}

func (p *proxy) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	c := &call{verb: provider.VerbPrepare, account: req.Account}
	raw = upload(c, raw)
	return ask(ctx, p, c, func(ctx context.Context, to provider.Provider) (*provider.PrepareResponse, error) {
		return to.Prepare(ctx, req, raw)
	})
}

func (p *proxy) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbSend, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.SendResponse, error) {
		return to.Send(ctx, req)
	})
}

func (p *proxy) Probe(ctx context.Context, req *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbProbe, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.ProbeResponse, error) {
		return to.Probe(ctx, req)
	})
}

func (p *proxy) Identities(ctx context.Context, req *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbIdentities, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.IdentitiesResponse, error) {
		resp, err := to.Identities(ctx, req)
		return judged(resp, err, judgeIdentities)
	})
}

func (p *proxy) Search(ctx context.Context, req *provider.SearchRequest) (*provider.SearchResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbSearch, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.SearchResponse, error) {
		resp, err := to.Search(ctx, req)
		return judged(resp, err, judgeFound)
	})
}

func (p *proxy) Watch(ctx context.Context, req *provider.WatchRequest) (*provider.WatchResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbWatch, account: req.Account}, func(ctx context.Context, to provider.Provider) (*provider.WatchResponse, error) {
		return to.Watch(ctx, req)
	})
}

func (p *proxy) Unwatch(ctx context.Context, req *provider.UnwatchRequest) error {
	return p.do(ctx, &call{verb: provider.VerbUnwatch, account: req.Account}, func(ctx context.Context, to provider.Provider) error {
		return to.Unwatch(ctx, req)
	})
}

func (p *proxy) Notify(ctx context.Context, req *provider.NotifyRequest) (*provider.NotifyResponse, error) {
	return ask(ctx, p, &call{verb: provider.VerbNotify}, func(ctx context.Context, to provider.Provider) (*provider.NotifyResponse, error) {
		return to.Notify(ctx, req)
	})
}
