package outlook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Copy copies messages, twenty to a batch. A copy inherits the properties of
// its original: with an operation id the originals are marked before, so that
// a second call finds the copies that the first has made. The mark names the
// original too, for one operation makes many copies.
func (p *Provider) Copy(ctx context.Context, req *provider.CopyRequest) (*provider.ModifyResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "copy messages")
	if err != nil {
		return nil, err
	}
	defer done()
	w := newWork(req.IDs)
	todo := make([]bool, len(req.IDs))
	for i := range todo {
		todo[i] = true
	}
	if req.OperationID != "" {
		if err := c.findCopies(ctx, w, req, todo); err != nil {
			return nil, err
		}
		err = c.each(ctx, w, func(i int) (msgraph.Item, bool) {
			return msgraph.Item{Method: http.MethodPatch, Path: messagePath(w.ids[i]),
				Body: map[string]any{"singleValueExtendedProperties": operationProperty(copyMark(req.OperationID, w.ids[i]))}}, todo[i]
		})
		if err != nil {
			return w.response(err)
		}
		for i := range todo {
			todo[i] = todo[i] && w.results[i].Err == nil
		}
	}
	err = c.each(ctx, w, func(i int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodPost, Path: messagePath(w.ids[i]) + "/copy", Once: true,
			Body: map[string]string{"destinationId": req.Mailbox}}, todo[i]
	})
	return w.response(err)
}

func copyMark(operation, id string) string {
	sum := sha256.Sum256([]byte(id))
	return operation + ":" + hex.EncodeToString(sum[:8])
}

// findCopies files the copies that an earlier call has made. The original
// bears the mark too, and may be in the same folder.
func (c *call) findCopies(ctx context.Context, w *work, req *provider.CopyRequest, todo []bool) error {
	batch := make([]msgraph.Item, len(w.ids))
	for i, id := range w.ids {
		batch[i] = msgraph.Item{Method: http.MethodGet, Path: folderPath(req.Mailbox) + "/messages?" + msgraph.EncodeQuery(url.Values{
			"$filter": {operationFilter(copyMark(req.OperationID, id))}, "$select": {stateSelect}, "$expand": {expandVerb()}, "$top": {"2"},
		})}
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, batch)
	if err != nil {
		return err
	}
	for i := range answers {
		var page msgraph.Page[msgraph.Message]
		if err := answers[i].Decode(c.op, &page); err != nil {
			w.results[i].Err, todo[i] = err, false
			continue
		}
		for j := range page.Value {
			if page.Value[j].ID != w.ids[i] {
				w.results[i].Message, w.results[i].Fields = message(&page.Value[j])
				w.results[i].Fields &^= mail.FieldEnvelope
				todo[i] = false
			}
		}
	}
	return nil
}
