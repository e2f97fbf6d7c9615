package gmail

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"
	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// rawAtOnce is how many raw messages one call reads at once. They are held in
// memory, for they come as JSON.
const rawAtOnce = 3

// Fetch reads metadata by batches, raw bytes one by one.
func (p *Provider) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "fetch messages")
	if err != nil {
		return err
	}
	defer done()
	if req.Mode == provider.FetchRaw {
		return c.fetchRaw(ctx, req.IDs, sink)
	}
	size := c.conf.batchSize
	for start := 0; start < len(req.IDs); start += size {
		ids := req.IDs[start:min(start+size, len(req.IDs))]
		err := c.read(ctx, ids, metadataFields, func(i int, g *gmailapi.Message, err error) error {
			if err != nil {
				if endsCall(err) {
					return err
				}
				return sink.Failed(ids[i], err)
			}
			m := c.conf.message(g)
			return sink.Message(&m)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read asks for messages by batches, with those fields, and gives each answer in
// order.
func (c *call) read(ctx context.Context, ids []string, fields string, each func(i int, g *gmailapi.Message, err error) error) error {
	parts := make([]part, len(ids))
	for i, id := range ids {
		query := url.Values{"format": {"full"}, "fields": {fields}}
		if fields == stateFields {
			query.Set("format", "minimal")
		}
		parts[i] = part{cost: messagesGet, path: "messages/" + url.PathEscape(id), query: query}
	}
	answers, err := c.batch(ctx, parts)
	if err != nil {
		return err
	}
	for i := range answers {
		var g gmailapi.Message
		err := answers[i].decode(c.op, &g)
		if err == nil && g.Id != ids[i] {
			err = &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: codeBadAnswer, Message: "Gmail's answer is not the message that was asked for"}
		}
		if err := each(i, &g, err); err != nil {
			return err
		}
	}
	return nil
}

// fetchRaw reads several messages at once and hands them to the sink one at a
// time.
func (c *call) fetchRaw(ctx context.Context, ids []string, sink provider.FetchSink) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(rawAtOnce, c.conf.maxConcurrent))
	var turns provider.Turns
	for _, id := range ids {
		g.Go(func() error {
			raw, err := c.raw(ctx, id)
			if ctx.Err() != nil {
				return cancelled(c.op, ctx)
			}
			return turns.Take(func() error {
				if err != nil {
					if endsCall(err) {
						return err
					}
					return sink.Failed(id, err)
				}
				// The bytes of an id never change: a draft that is written anew is
				// another message.
				return sink.Raw(id, "", bytes.NewReader(raw))
			})
		})
	}
	return g.Wait()
}

// raw reads the bytes of a message as they are stored.
func (c *call) raw(ctx context.Context, id string) ([]byte, error) {
	var g *gmailapi.Message
	err := c.retry(ctx, job{units: c.conf.cost(messagesGet), weight: 1, limit: c.p.largestRaw, run: func(ctx context.Context) (err error) {
		g, err = c.gmail.Users.Messages.Get("me", id).Format("raw").Fields("id,raw").Context(ctx).Do()
		return err
	}})
	if err != nil {
		return nil, err
	}
	raw, ok := decodeRaw(g.Raw)
	if !ok || len(raw) == 0 {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: codeUndecodable, Message: "Gmail's bytes of the message cannot be decoded"}
	}
	return raw, nil
}

// decodeRaw reads base64 in the url alphabet, with padding or without; some
// clients have seen the standard alphabet (RFC 4648, 4 and 5).
func decodeRaw(s string) ([]byte, bool) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		if raw, err := enc.DecodeString(s); err == nil {
			return raw, true
		}
	}
	return nil, false
}

// endsCall: errors that are no message's own. A fault that Gmail itself answers
// with may be one of this message alone.
func endsCall(err error) bool {
	switch mail.KindOf(err) {
	case mail.KindGrantExpired, mail.KindMisconfigured, mail.KindThrottled, mail.KindForbidden:
		return true
	case mail.KindUnavailable:
		return statusOf(err) == 0
	}
	return false
}
