package outlook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"time"

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
	began := c.p.now()
	err = c.each(ctx, w, func(i int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodPost, Path: messagePath(w.ids[i]) + "/copy", Once: true,
			Body: map[string]string{"destinationId": req.Mailbox}}, todo[i]
	})
	c.settleCopies(ctx, w, req.Mailbox, began)
	return w.response(err)
}

// copySlack is how much older than our request a copy may be told to be: Exchange
// tells whole seconds.
const copySlack = 2 * time.Second

// settleCopies looks for the copies of which no answer told whether they were
// made: by the original's Message-ID in the mailbox, made since the request. What
// is found is there; of what is not found nothing is known still, for it may come
// yet. Each copy counts for one original. What cannot be read stays in doubt.
func (c *call) settleCopies(ctx context.Context, w *work, mailbox string, began time.Time) {
	var open []int
	counted := map[string]bool{}
	for i := range w.ids {
		counted[w.ids[i]] = true
		if mail.KindOf(w.results[i].Err) == mail.KindOutcomeUnknown {
			open = append(open, i)
		} else {
			counted[w.results[i].Message.ProviderID] = true
		}
	}
	if len(open) == 0 || ctx.Err() != nil {
		return
	}
	originals := newWork(make([]string, len(open)))
	for j, i := range open {
		originals.ids[j] = w.ids[i]
	}
	_ = c.each(ctx, originals, func(j int) (msgraph.Item, bool) {
		return msgraph.Item{Method: http.MethodGet, Path: messagePath(originals.ids[j]) + "?" + msgraph.EncodeQuery(url.Values{"$select": {"id,internetMessageId"}})}, true
	})
	var batch []msgraph.Item
	var of []int
	for j, i := range open {
		id := originals.states[j].InternetMessageID
		if id == "" {
			continue
		}
		batch = append(batch, msgraph.Item{Method: http.MethodGet, Path: folderPath(mailbox) + "/messages?" + msgraph.EncodeQuery(url.Values{
			"$filter": {"internetMessageId eq " + odataString(id)}, "$select": {stateSelect + ",createdDateTime"}, "$expand": {expandVerb()}, "$top": {"50"},
		})})
		of = append(of, i)
	}
	answers, _ := c.graph.Batch(ctx, c.op, c.prio, batch)
	for j := range answers {
		var page msgraph.Page[msgraph.Message]
		if answers[j].Decode(c.op, &page) != nil {
			continue
		}
		for k := range page.Value {
			m := &page.Value[k]
			if counted[m.ID] || m.Created == nil || m.Created.Before(began.Add(-copySlack)) {
				continue
			}
			counted[m.ID] = true
			r := &w.results[of[j]]
			r.Err = nil
			r.Message, r.Fields = message(m)
			r.Fields &^= mail.FieldEnvelope
			break
		}
	}
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
