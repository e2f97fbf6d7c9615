package gmail

import (
	"context"
	"slices"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Send sends a draft, whose message is destroyed by that, and another one is in
// Sent. A connection that is cut leaves the outcome open, which Probe settles;
// nothing here sends a second time.
func (p *Provider) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "send message")
	if err != nil {
		return nil, err
	}
	defer done()
	st := parsePrepared(&req.Prepared)
	if st.Draft == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "no_draft", Message: "the message was not prepared"}
	}
	var g *gmailapi.Message
	err = c.do(ctx, draftsSend, func(ctx context.Context, s *gmailapi.Service) (err error) {
		g, err = s.Users.Drafts.Send("me", &gmailapi.Draft{Id: st.Draft}).Fields("id,threadId,labelIds").Context(ctx).Do()
		return err
	})
	switch mail.KindOf(err) {
	case "":
		return c.sent(ctx, g.Id), nil
	case mail.KindNotFound:
		// The draft is gone: by an earlier sending, or by somebody's hand.
		probe, perr := c.probe(ctx, &req.Prepared)
		switch {
		case perr != nil || probe.Outcome == provider.OutcomeUnknown:
			return nil, &mail.Error{Kind: mail.KindOutcomeUnknown, Op: c.op, Code: codeOf(err), Message: "the draft is gone; whether it was sent is not known yet", Err: err}
		case probe.Outcome == provider.OutcomeSent:
			return &provider.SendResponse{ProviderID: probe.ProviderID, MessageID: probe.MessageID}, nil
		}
	}
	return nil, err
}

// sent says what was sent. Under which Message-ID it left is asked for, and left
// out where no answer comes: it was sent all the same.
func (c *call) sent(ctx context.Context, id string) *provider.SendResponse {
	out := &provider.SendResponse{ProviderID: id}
	if id == "" {
		return out
	}
	g, err := c.headers(ctx, id, "Message-ID")
	if err != nil {
		c.p.log().DebugContext(ctx, "the Message-ID of a sent message was not read", "account", c.acct.id, "error", err)
		return out
	}
	out.MessageID = header.BareID(headerOf(g, "Message-ID"))
	return out
}

// Probe looks for what became of a draft: for the draft itself, then for a sent
// message that came since by the mailbox's history, then for one of the
// Message-ID by the search, which lags.
func (p *Provider) Probe(ctx context.Context, req *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "probe message")
	if err != nil {
		return nil, err
	}
	defer done()
	return c.probe(ctx, &req.Prepared)
}

func (c *call) probe(ctx context.Context, prep *provider.Prepared) (*provider.ProbeResponse, error) {
	st := parsePrepared(prep)
	there, err := c.draftThere(ctx, &st)
	if err != nil {
		return nil, err
	}
	if there {
		return &provider.ProbeResponse{Outcome: provider.OutcomeNotSent}, nil
	}
	t := &trace{st: &st, draft: prep.ProviderID}
	if st.Since != 0 {
		t.complete, _ = c.since(ctx, st.Since, t.record) // or the search tells
	}
	ids := t.candidates
	for _, id := range []string{st.MessageID, st.Original} {
		query, ok := idQuery(id)
		if !ok {
			continue
		}
		found, err := c.search(ctx, query, labelSent, true)
		if err != nil {
			return nil, err
		}
		ids = append(ids, found...)
	}
	for _, id := range ids {
		if slices.Contains(st.Before, id) {
			continue
		}
		g, err := c.headers(ctx, id, "Message-ID", originalID)
		switch {
		case mail.KindOf(err) == mail.KindNotFound:
			t.complete = false // it may have been ours
		case err != nil:
			return nil, err
		case slices.Contains(g.LabelIds, labelSent) && st.is(g):
			return &provider.ProbeResponse{Outcome: provider.OutcomeSent, ProviderID: id, MessageID: header.BareID(headerOf(g, "Message-ID"))}, nil
		}
	}
	if t.complete && t.deleted {
		// Gmail has told all that happened: the draft went, and nothing was sent.
		// Should that be wrong, sending again finds no draft.
		return &provider.ProbeResponse{Outcome: provider.OutcomeNotSent}, nil
	}
	return &provider.ProbeResponse{Outcome: provider.OutcomeUnknown}, nil
}

// draftThere asks for the draft, by its id or, where that is not known, by
// Message-ID.
func (c *call) draftThere(ctx context.Context, st *prepared) (bool, error) {
	if st.Draft == "" {
		query, ok := idQuery(st.MessageID)
		if !ok {
			return false, nil
		}
		drafts, err := c.drafts(ctx, query)
		return len(drafts) > 0, err
	}
	err := c.do(ctx, draftsGet, func(ctx context.Context, s *gmailapi.Service) error {
		_, err := s.Users.Drafts.Get("me", st.Draft).Format("minimal").Fields("id").Context(ctx).Do()
		return err
	})
	if mail.KindOf(err) == mail.KindNotFound {
		return false, nil
	}
	return err == nil, err
}

// is reports whether a message has the draft's Message-ID, or had it before
// Gmail gave it another.
func (st *prepared) is(g *gmailapi.Message) bool {
	for _, name := range []string{"Message-ID", originalID} {
		if id := header.BareID(headerOf(g, name)); id != "" && (id == st.MessageID || id == st.Original) {
			return true
		}
	}
	return false
}

// trace is what the history says of a draft.
type trace struct {
	st         *prepared
	draft      string // id of its message
	complete   bool
	deleted    bool
	candidates []string
}

func (t *trace) record(h *gmailapi.History) {
	add := func(m *gmailapi.Message) {
		if m != nil && m.Id != "" && (len(m.LabelIds) == 0 || slices.Contains(m.LabelIds, labelSent)) && !slices.Contains(t.candidates, m.Id) {
			t.candidates = append(t.candidates, m.Id)
		}
	}
	for _, e := range h.MessagesAdded {
		add(e.Message)
	}
	for _, e := range h.LabelsAdded {
		if slices.Contains(e.LabelIds, labelSent) {
			add(e.Message)
		}
	}
	for _, e := range h.MessagesDeleted {
		t.deleted = t.deleted || e.Message != nil && e.Message.Id == t.draft
	}
}
