package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Enumerate lists a mailbox, newest first. Labels give what a list of ids can
// carry; folders give everything.
func (p *Provider) Enumerate(ctx context.Context, req *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
	var ids []string
	err := p.call(ctx, "enumerate", req.Call, func(a *account) error {
		if a.mailbox(req.Mailbox) == nil {
			return mail.Errorf(mail.KindNotFound, "enumerate", "no such mailbox")
		}
		for _, m := range a.newestFirst(req.Mailbox) {
			ids = append(ids, m.id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for page := range slices.Chunk(ids, p.pageSize()) {
		batch := &provider.EnumerateBatch{Fields: mail.FieldKeywords | mail.FieldMailboxes}
		err := p.call(ctx, "enumerate", req.Call, func(a *account) error {
			for _, id := range page {
				m := a.messages[id]
				if m == nil || !m.mailboxes[req.Mailbox] {
					continue // it left while we were listing
				}
				d := m.describe()
				if p.cloud.opts.Kind == mail.KindLabel {
					d = mail.Message{ProviderID: d.ProviderID, Mailboxes: d.Mailboxes, Keywords: d.Keywords, Version: d.Version}
				} else {
					batch.Fields |= mail.FieldEnvelope
				}
				batch.Messages = append(batch.Messages, d)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := each(batch); err != nil {
			return err
		}
	}
	return nil
}

// Fetch reads metadata or bytes.
func (p *Provider) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	for _, id := range req.IDs {
		var d mail.Message
		var raw []byte
		var missing error
		err := p.call(ctx, "fetch", req.Call, func(a *account) error {
			m, err := a.message(id)
			if err != nil {
				missing = err
				return nil
			}
			d, raw = m.describe(), m.raw
			return nil
		})
		switch {
		case err != nil:
			return err
		case missing != nil:
			err = sink.Failed(id, missing)
		case req.Mode == provider.FetchRaw:
			err = sink.Raw(id, d.ContentTag, bytes.NewReader(raw))
		default:
			err = sink.Message(&d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// each runs one change per message and collects the results in order.
func (p *Provider) each(ctx context.Context, verb string, c provider.Call, ids []string, change func(*account, *message) (*message, error)) (*provider.ModifyResponse, error) {
	out := &provider.ModifyResponse{}
	err := p.call(ctx, verb, c, func(a *account) error {
		out.Results = nil
		for _, id := range ids {
			r := provider.Result{ID: id}
			m, err := a.message(id)
			if err == nil {
				m, err = change(a, m)
			}
			switch {
			case err != nil:
				r.Err = err
			case m != nil:
				r.Message = m.describe()
				r.Fields = mail.FieldKeywords | mail.FieldMailboxes | mail.FieldEnvelope
			}
			out.Results = append(out.Results, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Modify changes keywords and mailboxes.
func (p *Provider) Modify(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	info, err := p.Describe(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Concat(req.AddKeywords, req.RemoveKeywords) {
		if !info.HoldsKeyword(strings.ToLower(k)) {
			return nil, mail.Errorf(mail.KindInvalid, "modify", "the provider cannot hold this keyword")
		}
	}
	return p.each(ctx, "modify", req.Call, req.IDs, func(a *account, m *message) (*message, error) {
		boxes := maps.Clone(m.mailboxes)
		for _, id := range req.RemoveMailboxes {
			delete(boxes, id)
		}
		for _, id := range req.AddMailboxes {
			if a.mailbox(id) == nil {
				return nil, mail.Errorf(mail.KindNotFound, "modify", "no such mailbox")
			}
			if p.cloud.opts.Kind == mail.KindFolder {
				clear(boxes)
			}
			boxes[id] = true
		}
		if len(boxes) == 0 && p.cloud.opts.Kind == mail.KindFolder || p.cloud.opts.Kind == mail.KindFolder && len(req.AddMailboxes) > 1 {
			return nil, mail.Errorf(mail.KindInvalid, "modify", "a message is in exactly one folder")
		}
		changed := false
		for _, k := range req.AddKeywords {
			changed = changed || !m.keywords[strings.ToLower(k)]
			m.keywords[strings.ToLower(k)] = true
		}
		for _, k := range req.RemoveKeywords {
			changed = changed || m.keywords[strings.ToLower(k)]
			delete(m.keywords, strings.ToLower(k))
		}
		before := m.version
		p.cloud.place(a, m, boxes)
		if changed && m.version == before {
			p.cloud.touched(a, m)
		}
		return m, nil
	})
}

// Copy copies messages; a label is just put on. With an operation id it finds
// again what an earlier call made.
func (p *Provider) Copy(ctx context.Context, req *provider.CopyRequest) (*provider.ModifyResponse, error) {
	n := 0
	return p.each(ctx, "copy", req.Call, req.IDs, func(a *account, m *message) (*message, error) {
		if a.mailbox(req.Mailbox) == nil {
			return nil, mail.Errorf(mail.KindNotFound, "copy", "no such mailbox")
		}
		if p.cloud.opts.Kind == mail.KindLabel {
			boxes := maps.Clone(m.mailboxes)
			boxes[req.Mailbox] = true
			p.cloud.place(a, m, boxes)
			return m, nil
		}
		if made := a.operations[req.OperationID]; n < len(made) && a.messages[made[n]] != nil {
			n++
			return a.messages[made[n-1]], nil
		}
		n++
		made := p.cloud.put(a, req.Mailbox, m.raw, m.received, slices.Collect(maps.Keys(m.keywords)))
		if req.OperationID != "" {
			a.operations[req.OperationID] = append(a.operations[req.OperationID], made.id)
		}
		return made, nil
	})
}

// Delete moves messages to the trash.
func (p *Provider) Delete(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	return p.each(ctx, "delete", req.Call, req.IDs, func(a *account, m *message) (*message, error) {
		p.cloud.place(a, m, map[string]bool{string(mail.RoleTrash): true})
		return m, nil
	})
}

// Purge removes messages. One already gone is success.
func (p *Provider) Purge(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	out, err := p.each(ctx, "purge", req.Call, req.IDs, func(a *account, m *message) (*message, error) {
		p.cloud.remove(a, m)
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	for i, r := range out.Results {
		if mail.KindOf(r.Err) == mail.KindNotFound {
			out.Results[i].Err = nil
		}
	}
	return out, nil
}
