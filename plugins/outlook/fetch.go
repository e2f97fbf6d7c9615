package outlook

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// prefetch is how much of a message is read before it is handed on: a
	// message that is cut off within it is simply read again.
	prefetch = 1 << 20
	// maxRaw is more than any message that Exchange holds.
	maxRaw = 256 << 20
	// rawTries is how often the reading of one message is begun.
	rawTries = 3
)

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
	for start := 0; start < len(req.IDs); start += msgraph.BatchSize {
		ids := req.IDs[start:min(start+msgraph.BatchSize, len(req.IDs))]
		if err := c.fetchMetadata(ctx, ids, sink); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) fetchMetadata(ctx context.Context, ids []string, sink provider.FetchSink) error {
	query := fetchQuery()
	batch := make([]msgraph.Item, len(ids))
	for i, id := range ids {
		batch[i] = msgraph.Item{Method: http.MethodGet, Path: messagePath(id) + query}
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, batch)
	if err != nil {
		return err
	}
	for i := range answers {
		var g msgraph.Message
		err := answers[i].Decode(c.op, &g)
		if err == nil && g.ID == "" {
			err = &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: "bad_answer", Message: "the provider's answer is no message"}
		}
		if err != nil {
			if err := sink.Failed(ids[i], err); err != nil {
				return err
			}
			continue
		}
		m, _ := message(&g)
		if err := sink.Message(&m); err != nil {
			return err
		}
	}
	return nil
}

// fetchRaw reads several messages at once, as many as Graph allows, and hands
// them to the sink one at a time.
func (c *call) fetchRaw(ctx context.Context, ids []string, sink provider.FetchSink) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.conf.maxConcurrent)
	var turns provider.Turns
	for _, id := range ids {
		g.Go(func() error { return c.fetchOne(ctx, id, &turns, sink) })
	}
	return g.Wait()
}

func (c *call) fetchOne(ctx context.Context, id string, turns *provider.Turns, sink provider.FetchSink) error {
	var head []byte
	var body io.ReadCloser
	var err error
	for try := 1; ; try++ {
		head, body, err = c.openRaw(ctx, id)
		if err == nil || try == rawTries || mail.KindOf(err) != mail.KindUnavailable || ctx.Err() != nil {
			break
		}
	}
	if err == nil {
		defer body.Close()
	}
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
		rest := &watchedReader{r: io.MultiReader(bytes.NewReader(head), io.LimitReader(body, maxRaw))}
		// No content tag: $value tells none, and asking for it would be another
		// request for each message.
		if err := sink.Raw(id, "", rest); err != nil {
			if rest.err == nil {
				return err // the sink's own
			}
			return sink.Failed(id, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message was cut off", Err: rest.err})
		}
		return nil
	})
}

// openRaw begins to read the MIME of a message, which Exchange makes anew for
// each reader.
func (c *call) openRaw(ctx context.Context, id string) (head []byte, rest io.ReadCloser, err error) {
	body, err := c.graph.Stream(ctx, &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: messagePath(id) + "/$value", Priority: c.prio})
	if err != nil {
		return nil, nil, err
	}
	head, err = io.ReadAll(io.LimitReader(body, prefetch))
	if err != nil {
		_ = body.Close()
		return nil, nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message was cut off", Err: err}
	}
	if len(head) < prefetch {
		// All of it is here: let the next request have the slot.
		_ = body.Close()
		return head, io.NopCloser(bytes.NewReader(nil)), nil
	}
	return head, body, nil
}

// endsCall: errors that are no message's own. A fault that Graph itself
// answers with may be one of this message alone.
func endsCall(err error) bool {
	switch mail.KindOf(err) {
	case mail.KindGrantExpired, mail.KindMisconfigured, mail.KindThrottled:
		return true
	case mail.KindUnavailable:
		return msgraph.StatusOf(err) == 0
	}
	return false
}

// watchedReader remembers an error of its source, so that it can be told from
// one of the reader's.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
