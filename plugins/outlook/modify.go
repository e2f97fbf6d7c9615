package outlook

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Modify changes keywords by PATCH and the mailbox by move, in batches. The
// results carry the state that came of it: $draft cannot be changed, and stays
// what it is.
func (p *Provider) Modify(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "modify messages")
	if err != nil {
		return nil, err
	}
	defer done()
	if len(req.AddMailboxes) > 1 || (len(req.AddMailboxes) == 0 && len(req.RemoveMailboxes) > 0) {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "one_mailbox",
			Message: "a message here is in exactly one mailbox: name the one that it shall move to"}
	}
	ch := newChange(req)
	w := newWork(req.IDs)
	switch {
	case ch.reads():
		err = c.patchRead(ctx, w, ch)
	case len(ch.patch) > 0:
		err = c.each(ctx, w, func(i int) (msgraph.Item, bool) {
			return msgraph.Item{Method: http.MethodPatch, Path: messagePath(w.ids[i]), Body: ch.patch}, true
		})
	case len(req.AddMailboxes) == 0:
		err = c.readStates(ctx, w)
	}
	if err == nil && len(req.AddMailboxes) == 1 {
		err = c.move(ctx, w, req.AddMailboxes[0])
	}
	if err == nil && len(req.AddKeywords)+len(req.RemoveKeywords) > 0 {
		c.readUntold(ctx, w)
	}
	return w.response(err)
}

// Delete moves messages to Deleted Items. (DELETE would do the same the first
// time, and delete for good the second.)
func (p *Provider) Delete(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "delete messages")
	if err != nil {
		return nil, err
	}
	defer done()
	w := newWork(req.IDs)
	return w.response(c.move(ctx, w, wellKnownTrash))
}

// Purge removes messages for good: into the Purges folder that no client
// sees. permanentDelete is missing in national clouds; there a message is
// deleted, and deleted again from Deleted Items.
func (p *Provider) Purge(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "purge messages")
	if err != nil {
		return nil, err
	}
	defer done()
	w := newWork(req.IDs)
	return w.response(c.purge(ctx, w))
}

func (c *call) purge(ctx context.Context, w *work) error {
	err := c.each(ctx, w, func(i int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodPost, Path: messagePath(w.ids[i]) + "/permanentDelete"}, true
	})
	lacking := map[int]bool{}
	for i := range w.results {
		if e := msgraph.As(w.results[i].Err); e != nil && lacksVerb(e) {
			lacking[i] = true
		}
	}
	for range 2 {
		if err != nil || len(lacking) == 0 {
			break
		}
		err = c.each(ctx, w, func(i int) (msgraph.Item, bool) {
			return msgraph.Item{Method: http.MethodDelete, Path: messagePath(w.ids[i])}, lacking[i]
		})
		for i := range lacking {
			if w.results[i].Err != nil {
				delete(lacking, i)
			}
		}
	}
	for i := range w.results {
		if e := msgraph.As(w.results[i].Err); e != nil && e.Kind() == mail.KindNotFound && !lacksVerb(e) && e.Code != "ErrorInvalidIdMalformed" {
			w.results[i] = provider.Result{ID: w.ids[i], Message: mail.Message{ProviderID: w.ids[i]}}
		}
	}
	return err
}

// lacksVerb: this Graph has no such action. "Resource not found for the
// segment 'permanentDelete'" is a 400 or a 404 of the gateway.
func lacksVerb(e *msgraph.Error) bool {
	return e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented ||
		strings.Contains(e.Message, "for the segment")
}

func (c *call) readStates(ctx context.Context, w *work) error {
	return c.each(ctx, w, func(i int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodGet, Path: messagePath(w.ids[i]) + stateQuery()}, true
	})
}

// move takes the messages whose turn has not failed yet to a folder. Moving a
// message to where it is changes nothing, so that a repeat does no harm.
func (c *call) move(ctx context.Context, w *work, folder string) error {
	ok := make([]bool, len(w.ids))
	for i := range ok {
		ok[i] = w.results[i].Err == nil && w.states[i].ParentFolderID != folder
	}
	return c.each(ctx, w, func(i int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodPost, Path: messagePath(w.ids[i]) + "/move", Body: map[string]string{"destinationId": folder}}, ok[i]
	})
}

// work is a list of messages and how far each has come.
type work struct {
	ids     []string
	states  []msgraph.Message
	results []provider.Result
}

func newWork(ids []string) *work {
	w := &work{ids: ids, states: make([]msgraph.Message, len(ids)), results: make([]provider.Result, len(ids))}
	for i, id := range ids {
		w.results[i].ID = id
	}
	return w
}

// each sends one item for each message that wants one, and files the states
// and errors that come back. The error is one that ends the call.
func (c *call) each(ctx context.Context, w *work, item func(i int) (msgraph.Item, bool)) error {
	var batch []msgraph.Item
	var of []int
	for i := range w.ids {
		if it, ok := item(i); ok {
			batch, of = append(batch, it), append(of, i)
		}
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, batch)
	for j := range answers {
		i := of[j]
		r := &w.results[i]
		if r.Err = answers[j].Err; r.Err != nil || len(answers[j].Body) == 0 {
			continue
		}
		var g msgraph.Message
		if r.Err = answers[j].Decode(c.op, &g); r.Err != nil {
			continue
		}
		switch {
		case verbTold(&g):
		case batch[j].Method == http.MethodGet:
			// Asked for, and not there.
			g.Properties = verbProperty(verbNone)
		default:
			// Answers to changes do not tell; what was read before still holds.
			g.Properties = w.states[i].Properties
		}
		w.states[i] = g
		r.Message, r.Fields = message(&g)
		r.Fields &^= mail.FieldEnvelope
	}
	return err
}

// response gives the results. Where nothing was done at all the call has
// failed as a whole.
func (w *work) response(err error) (*provider.ModifyResponse, error) {
	if err != nil {
		done := slices.ContainsFunc(w.results, func(r provider.Result) bool { return r.Err == nil })
		if !done {
			return nil, err
		}
	}
	return &provider.ModifyResponse{Results: w.results}, nil
}
