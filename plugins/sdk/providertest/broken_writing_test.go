package providertest_test

import (
	"bytes"
	"context"
	"io"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// modifying changes the request or the answer of Modify.
func modifying(before func(*provider.ModifyRequest), after func(*provider.ModifyResponse)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.modify = func(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
			again := *req
			if before != nil {
				before(&again)
			}
			resp, err := whole.Modify(ctx, &again)
			if err == nil && after != nil {
				after(resp)
			}
			return resp, err
		}
	}
}

// appending changes the request and the bytes of Append.
func appending(change func(*provider.AppendRequest, io.Reader) io.Reader) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.append = func(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
			again := *req
			return whole.Append(ctx, &again, change(&again, raw))
		}
	}
}

func brokenWriting() []broken {
	return []broken{
		{name: "forgets keywords", caught: "modify/keywords",
			spoil: modifying(func(r *provider.ModifyRequest) {
				r.AddKeywords = slices.Clip(r.AddKeywords)[:min(1, len(r.AddKeywords))]
			}, nil)},
		{name: "drops free keywords", caught: "modify/free-keyword",
			spoil: modifying(func(r *provider.ModifyRequest) {
				r.AddKeywords = slices.DeleteFunc(slices.Clone(r.AddKeywords), func(k string) bool { return k[0] != '$' })
			}, nil)},
		{name: "toggles", caught: "modify/idempotent",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.modify = func(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
					again := *req
					list, err := whole.Cloud().Messages(ann)
					if err != nil {
						return nil, err
					}
					for _, m := range list {
						if m.ProviderID == req.IDs[0] && len(req.AddKeywords) > 0 && m.HasKeyword(req.AddKeywords[0]) {
							again.AddKeywords, again.RemoveKeywords = nil, req.AddKeywords
						}
					}
					return whole.Modify(ctx, &again)
				}
			}},
		{name: "gives results out of order", caught: "modify/results",
			spoil: modifying(nil, func(r *provider.ModifyResponse) { slices.Reverse(r.Results) })},
		{name: "gives no result for what failed", caught: "modify/results",
			spoil: modifying(nil, func(r *provider.ModifyResponse) {
				r.Results = slices.DeleteFunc(r.Results, func(r provider.Result) bool { return r.Err != nil })
			})},
		{name: "calls every change a success", caught: "modify/results",
			spoil: modifying(nil, func(r *provider.ModifyResponse) {
				for i := range r.Results {
					r.Results[i].Err = nil
				}
			})},
		{name: "changes one batch of many", caught: "modify/many",
			spoil: modifying(func(r *provider.ModifyRequest) { r.IDs = r.IDs[:min(len(r.IDs), 20)] }, func(r *provider.ModifyResponse) {
				for n := len(r.Results); n == 20 && n < 25; n++ {
					r.Results = append(r.Results, r.Results[0])
				}
			})},
		{name: "copies where it should move", caught: "modify/move", opts: memory.Options{Kind: mail.KindLabel},
			spoil: modifying(func(r *provider.ModifyRequest) { r.RemoveMailboxes = nil }, nil)},
		{name: "loses a message on its way to nowhere", caught: "modify/unknown-mailbox",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.modify = func(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
					resp, err := whole.Modify(ctx, req)
					if err == nil && resp.Results[0].Err != nil {
						return resp, whole.Cloud().Move(ann, req.IDs[0], "trash")
					}
					return resp, err
				}
			}},
		{name: "moves where it should copy", caught: "copy/keeps-original",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.copy = func(ctx context.Context, req *provider.CopyRequest) (*provider.ModifyResponse, error) {
					return whole.Modify(ctx, &provider.ModifyRequest{Call: req.Call, IDs: req.IDs, AddMailboxes: []string{req.Mailbox}})
				}
			}},
		{name: "purges where it should delete", caught: "delete/trash",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) { b.delete = whole.Purge }},
		{name: "deletes in its own order", caught: "delete/results",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.delete = func(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
					resp, err := whole.Delete(ctx, req)
					if err == nil {
						slices.Reverse(resp.Results)
					}
					return resp, err
				}
			}},
		{name: "deletes where it should purge", caught: "purge/gone",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) { b.purge = whole.Delete }},
		{name: "stores an operation again", caught: "append/repeat",
			spoil: appending(func(r *provider.AppendRequest, raw io.Reader) io.Reader { r.OperationID = ""; return raw })},
		{name: "loses the date", caught: "append/stores",
			spoil: appending(func(r *provider.AppendRequest, raw io.Reader) io.Reader { r.ReceivedAt = time.Time{}; return raw })},
		{name: "stores half of a large message", caught: "append/large",
			spoil: appending(func(r *provider.AppendRequest, raw io.Reader) io.Reader {
				r.Size = min(r.Size, 3<<20)
				return io.LimitReader(raw, r.Size)
			})},
		{name: "adds a line to what it stores", caught: "append/exact",
			spoil: appending(func(r *provider.AppendRequest, raw io.Reader) io.Reader {
				const line = "X-Stored: yes\r\n"
				r.Size += int64(len(line))
				return io.MultiReader(bytes.NewReader([]byte(line)), raw)
			})},
		{name: "stores what broke off", caught: "append/cut",
			spoil: appending(func(r *provider.AppendRequest, raw io.Reader) io.Reader {
				b, _ := io.ReadAll(raw)
				r.Size = int64(len(b))
				return bytes.NewReader(b)
			})},
		{name: "calls a large message invalid", caught: "append/too-large",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.append = func(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
					resp, err := whole.Append(ctx, req, raw)
					if mail.KindOf(err) == mail.KindTooLarge {
						err = mail.Errorf(mail.KindInvalid, "append", "%v", err)
					}
					return resp, err
				}
			}, opts: memory.Options{MaxMessageBytes: 1 << 20}},
		{name: "stores in the inbox what has no mailbox", caught: "append/unknown-mailbox",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.append = func(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
					all, err := io.ReadAll(raw)
					if err != nil {
						return nil, err
					}
					resp, err := whole.Append(ctx, req, bytes.NewReader(all))
					if mail.KindOf(err) == mail.KindNotFound {
						again := *req
						again.Mailbox = "inbox"
						return whole.Append(ctx, &again, bytes.NewReader(all))
					}
					return resp, err
				}
			}},
		{name: "does not tell what was appended", caught: "append/told",
			spoil: func(ctx context.Context, b *bent, whole *memory.Provider) {
				eachBatch(without(func(i mail.Item) bool { return i.Mailbox == "archive" }))(ctx, b, whole)
			}},
		{name: "returns plain errors", caught: "errors/kinds",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.enumerate = func(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
					if err := whole.Enumerate(ctx, req, each); err != nil {
						return io.ErrUnexpectedEOF
					}
					return nil
				}
			}},
	}
}
