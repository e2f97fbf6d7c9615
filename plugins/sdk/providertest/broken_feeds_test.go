package providertest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// eachBatch changes every batch of a feed on its way.
func eachBatch(change func(req *provider.ChangesRequest, b *mail.Batch)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
			return whole.Changes(ctx, req, func(batch *mail.Batch) error {
				change(req, batch)
				return each(batch)
			})
		}
	}
}

// without drops items from a feed that goes on.
func without(drop func(mail.Item) bool) func(*provider.ChangesRequest, *mail.Batch) {
	return func(req *provider.ChangesRequest, b *mail.Batch) {
		if len(req.Cursor) > 0 {
			b.Items = slices.DeleteFunc(b.Items, drop)
		}
	}
}

func brokenFeeds() []broken {
	labels := memory.Options{Kind: mail.KindLabel}
	return []broken{
		{name: "loses a removal", caught: "changes/removal",
			spoil: eachBatch(without(func(i mail.Item) bool { return i.Kind != mail.ItemPresent }))},
		{name: "loses a removal from a label", caught: "changes/removal", opts: labels,
			spoil: eachBatch(without(func(i mail.Item) bool { return i.Kind == mail.ItemGone }))},
		{name: "loses a delivery", caught: "changes/delivered",
			spoil: eachBatch(without(func(i mail.Item) bool { return i.Kind == mail.ItemPresent }))},
		{name: "calls a move gone", caught: "changes/move",
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) {
				for i := range b.Items {
					if b.Items[i].Kind == mail.ItemAbsent {
						b.Items[i].Kind = mail.ItemGone
					}
				}
			})},
		{name: "leaves a moved message in its old label", caught: "changes/move", opts: labels,
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) {
				for i := range b.Items {
					m := &b.Items[i].Message
					if b.Items[i].Kind == mail.ItemPresent && !slices.Contains(m.Mailboxes, "inbox") {
						m.Mailboxes = append(m.Mailboxes, "inbox")
					}
				}
			})},
		{name: "forgets keywords in the feed", caught: "changes/keywords",
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) {
				for i := range b.Items {
					b.Items[i].Fields &^= mail.FieldKeywords
				}
			})},
		{name: "hides what its own verbs did", caught: "changes/own-writes",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				var mu sync.Mutex
				own := map[string]bool{}
				b.modify = func(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
					mu.Lock()
					defer mu.Unlock()
					for _, id := range req.IDs {
						own[id] = true
					}
					return whole.Modify(ctx, req)
				}
				eachBatch(without(func(i mail.Item) bool {
					mu.Lock()
					defer mu.Unlock()
					return own[i.Message.ProviderID]
				}))(nil, b, whole)
			}},
		{name: "misses one of many", caught: "changes/converge",
			spoil: eachBatch(func(req *provider.ChangesRequest, b *mail.Batch) {
				if len(req.Cursor) > 0 && len(b.Items) > 2 {
					b.Items = b.Items[1:]
				}
			})},
		{name: "tells everything again", caught: "changes/quiet",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					again := *req
					again.Cursor = nil
					return whole.Changes(ctx, &again, each)
				}
			}},
		{name: "repeats a cursor forever", caught: "changes/done",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					for {
						err := whole.Changes(ctx, req, func(batch *mail.Batch) error {
							batch.Done = false
							if len(req.Cursor) > 0 {
								batch.Next = req.Cursor
							}
							return each(batch)
						})
						if err != nil {
							return err
						}
					}
				}
			}},
		{name: "is never done", caught: "changes/done",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					var told []*mail.Batch
					err := whole.Changes(ctx, req, func(batch *mail.Batch) error {
						told = append(told, batch)
						return nil
					})
					for _, batch := range told {
						if batch.Done && len(batch.Items) == 0 {
							return each(batch)
						}
						batch.Done = false
						if err := each(batch); err != nil {
							return err
						}
					}
					for n := 0; err == nil; n++ {
						err = each(&mail.Batch{Next: fmt.Appendf(nil, "page %d", n), AsOf: time.Now()})
					}
					return err
				}
			}},
		{name: "ends without being done", caught: "changes/done",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					return whole.Changes(ctx, req, func(batch *mail.Batch) error {
						again := *batch
						again.Done = batch.Done && len(batch.Items) == 0
						return each(&again)
					})
				}
			}},
		{name: "goes on when it is done", caught: "changes/done",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					return whole.Changes(ctx, req, func(batch *mail.Batch) error {
						again := *batch
						again.Done = true
						return each(&again)
					})
				}
			}},
		{name: "is done too early", caught: "changes/done",
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) { b.Done = true })}, // which ends memory's feed
		{name: "gives no cursor", caught: "changes/done",
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) { b.Next = nil })},
		{name: "says that it is from the future", caught: "changes/done",
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) { b.AsOf = b.AsOf.Add(time.Hour) })},
		{name: "lets the cursor run ahead", caught: "changes/resume",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					var all []*mail.Batch
					if err := whole.Changes(ctx, req, func(batch *mail.Batch) error {
						all = append(all, batch)
						return nil
					}); err != nil {
						return err
					}
					for i, batch := range all {
						if i+1 < len(all) {
							batch.Next = all[i+1].Next // a page too far
						}
						if err := each(batch); err != nil {
							return err
						}
					}
					return nil
				}
			}},
		{name: "takes an old cursor for a new one", caught: "changes/expired",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					err := whole.Changes(ctx, req, each)
					if mail.KindOf(err) == mail.KindCursorExpired {
						again := *req
						again.Cursor = nil
						return whole.Changes(ctx, &again, each)
					}
					return err
				}
			}},
		{name: "takes any cursor", caught: "changes/junk-cursor",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					err := whole.Changes(ctx, req, each)
					if mail.KindOf(err) == mail.KindInvalid {
						return each(&mail.Batch{Next: req.Cursor, Done: true, AsOf: time.Now()})
					}
					return err
				}
			}},
		{name: "promises a listing and gives none", caught: "changes/first",
			spoil: eachBatch(func(req *provider.ChangesRequest, b *mail.Batch) {
				if len(req.Cursor) == 0 {
					b.Items = nil
				}
			})},
		{name: "lists what it did not promise", caught: "changes/first", opts: labels,
			spoil: eachBatch(func(req *provider.ChangesRequest, b *mail.Batch) {
				if len(req.Cursor) == 0 {
					b.Items = []mail.Item{{Kind: mail.ItemGone, Message: mail.Message{ProviderID: "msg-0"}}}
				}
			})},
		{name: "begins its feed with the oldest", caught: "changes/newest-first",
			spoil: eachBatch(func(_ *provider.ChangesRequest, b *mail.Batch) { slices.Reverse(b.Items) })},
		{name: "does not stop its feed", caught: "changes/stops",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.changes = func(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
					return whole.Changes(ctx, req, func(batch *mail.Batch) error {
						if err := each(batch); err != nil {
							return each(batch)
						}
						return nil
					})
				}
			}},
		{name: "enumerates unsorted", caught: "enumerate/newest-first",
			spoil: eachListing(func(b *provider.EnumerateBatch) { slices.Reverse(b.Messages) })},
		{name: "enumerates all but one", caught: "enumerate/truth",
			spoil: eachListing(func(b *provider.EnumerateBatch) { b.Messages = b.Messages[1:] })},
		{name: "lists keywords that are not there", caught: "enumerate/fields",
			spoil: eachListing(func(b *provider.EnumerateBatch) {
				for i := range b.Messages {
					b.Messages[i].Keywords = nil
				}
			})},
		{name: "lists a mailbox that is gone", caught: "enumerate/unknown-mailbox",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.enumerate = func(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
					err := whole.Enumerate(ctx, req, each)
					if mail.KindOf(err) == mail.KindNotFound {
						return nil
					}
					return err
				}
			}},
		{name: "wraps the callback's error away", caught: "enumerate/stops",
			spoil: func(_ context.Context, b *bent, whole *memory.Provider) {
				b.enumerate = func(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
					if err := whole.Enumerate(ctx, req, each); err != nil {
						return mail.Errorf(mail.KindInternal, "enumerate", "failed: %v", err)
					}
					return nil
				}
			}},
	}
}

// eachListing changes every batch of a listing on its way.
func eachListing(change func(*provider.EnumerateBatch)) func(context.Context, *bent, *memory.Provider) {
	return func(_ context.Context, b *bent, whole *memory.Provider) {
		b.enumerate = func(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
			return whole.Enumerate(ctx, req, func(batch *provider.EnumerateBatch) error {
				change(batch)
				return each(batch)
			})
		}
	}
}
