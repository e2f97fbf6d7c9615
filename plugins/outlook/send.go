package outlook

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Send sends a draft. Graph answers 202 without a body; the draft's immutable
// id is the sent message's too. A connection that is cut leaves the outcome
// open, which Probe settles; nothing here sends a second time.
func (p *Provider) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "send message")
	if err != nil {
		return nil, err
	}
	defer done()
	err = c.graph.Do(ctx, &msgraph.Request{
		Op: c.op, Method: http.MethodPost, Path: messagePath(req.Prepared.ProviderID) + "/send", Priority: c.prio, Once: true,
	}, nil)
	switch mail.KindOf(err) {
	case "":
		return &provider.SendResponse{ProviderID: req.Prepared.ProviderID, MessageID: parsePrepared(&req.Prepared).MessageID}, nil
	case mail.KindNotFound:
		// The draft is gone: by an earlier sending, or by somebody's hand.
		probe, perr := c.probe(ctx, req.OperationID, &req.Prepared)
		switch {
		case perr != nil || probe.Outcome == provider.OutcomeUnknown:
			return nil, &mail.Error{Kind: mail.KindOutcomeUnknown, Op: c.op, Code: errCode(err), Message: "the draft is gone; whether it was sent is not known yet", Err: err}
		case probe.Outcome == provider.OutcomeSent:
			return &provider.SendResponse{ProviderID: probe.ProviderID, MessageID: probe.MessageID}, nil
		}
	}
	return nil, err
}

// Probe looks for what became of a draft: by its immutable id, then by the
// operation's mark, then by Message-ID.
func (p *Provider) Probe(ctx context.Context, req *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "probe message")
	if err != nil {
		return nil, err
	}
	defer done()
	return c.probe(ctx, req.OperationID, &req.Prepared)
}

func (c *call) probe(ctx context.Context, operation string, prep *provider.Prepared) (*provider.ProbeResponse, error) {
	st := parsePrepared(prep)
	outbox, err := c.folder(ctx, wellKnownOutbox)
	if err != nil && mail.KindOf(err) != mail.KindNotFound {
		return nil, err
	}
	verdict := func(m *msgraph.Message) *provider.ProbeResponse {
		r := &provider.ProbeResponse{Outcome: provider.OutcomeSent, ProviderID: m.ID, MessageID: header.BareID(m.InternetMessageID)}
		switch {
		case m.ParentFolderID != "" && m.ParentFolderID == outbox.ID:
			r.Outcome = provider.OutcomeUnknown // on its way: it may still fail
		case m.IsDraft != nil && *m.IsDraft:
			r.Outcome = provider.OutcomeNotSent
		}
		return r
	}
	if prep.ProviderID != "" {
		var m msgraph.Message
		err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: messagePath(prep.ProviderID), Priority: c.prio,
			Query: url.Values{"$select": {"id,isDraft,parentFolderId,internetMessageId"}}}, &m)
		if err == nil {
			return verdict(&m), nil
		}
		if mail.KindOf(err) != mail.KindNotFound {
			return nil, err
		}
	}
	// An immutable id may be unknown for a moment after sending.
	if operation == "" {
		operation = st.Operation
	}
	for _, filter := range c.probeFilters(operation, st.MessageID) {
		var page msgraph.Page[msgraph.Message]
		err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: "/me/messages", Priority: c.prio,
			Query: url.Values{"$filter": {filter}, "$select": {draftSelect}, "$top": {"10"}}}, &page)
		if err != nil {
			return nil, err
		}
		// A sent copy speaks for itself, whatever drafts lie beside it.
		if i := slices.IndexFunc(page.Value, func(m msgraph.Message) bool { return m.IsDraft != nil && !*m.IsDraft }); i >= 0 {
			return verdict(&page.Value[i]), nil
		}
	}
	return &provider.ProbeResponse{Outcome: provider.OutcomeUnknown}, nil
}

// probeFilters: mail that was received has the Message-ID of what was sent,
// too, where somebody writes to himself; it proves the sending as well.
func (c *call) probeFilters(operation, messageID string) []string {
	var out []string
	if operation != "" {
		out = append(out, operationFilter(operation))
	}
	if messageID != "" {
		out = append(out, "internetMessageId eq "+odataString("<"+messageID+">"))
	}
	return out
}
