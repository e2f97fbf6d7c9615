package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// read takes the whole message, no more than the cloud accepts and no less
// than was announced: a stream cut short must not become a message.
func (p *Provider) read(op string, size int64, raw io.Reader) ([]byte, error) {
	limit := p.cloud.opts.MaxMessageBytes
	var all bytes.Buffer
	if size > 0 && size <= limit {
		all.Grow(int(size) + bytes.MinRead)
	}
	_, err := all.ReadFrom(io.LimitReader(raw, limit+1))
	b := all.Bytes()
	switch {
	case err != nil:
		return nil, mail.Errorf(mail.KindUnavailable, op, "read message: %w", err)
	case int64(len(b)) > limit:
		return nil, mail.Errorf(mail.KindTooLarge, op, "a message may have %d octets", limit)
	case size > 0 && int64(len(b)) != size:
		return nil, mail.Errorf(mail.KindInvalid, op, "%d octets came, %d were announced", len(b), size)
	}
	return b, nil
}

// Append stores a message in a mailbox.
func (p *Provider) Append(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	if err := p.supports("append"); err != nil {
		return nil, err
	}
	b, err := p.read("append", req.Size, raw)
	if err != nil {
		return nil, err
	}
	out := &provider.AppendResponse{}
	err = p.call(ctx, "append", req.Call, func(a *account) error {
		if a.mailbox(req.Mailbox) == nil {
			return mail.Errorf(mail.KindNotFound, "append", "no such mailbox")
		}
		if m := a.made(req.OperationID); m != nil {
			out.Message = m.describe()
			return nil
		}
		m := p.cloud.put(a, req.Mailbox, b, req.ReceivedAt, req.Keywords)
		a.operations[req.OperationID] = []string{m.id}
		out.Message = m.describe()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// made finds the message that an operation made before.
func (a *account) made(operation string) *message {
	if operation == "" {
		return nil
	}
	for _, id := range a.operations[operation] {
		return a.messages[id]
	}
	return nil
}

// state goes from Prepare to Send: the envelope, which need not be that of the
// headers.
type state struct {
	Envelope provider.Envelope `json:"envelope"`
}

// Prepare stores the message as a draft.
func (p *Provider) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	if err := p.supports("prepare"); err != nil {
		return nil, err
	}
	b, err := p.read("prepare", req.Size, raw)
	if err != nil {
		return nil, err
	}
	if len(req.Envelope.Recipients) == 0 {
		return nil, mail.Errorf(mail.KindInvalid, "prepare", "nobody to send to")
	}
	st, err := json.Marshal(state{Envelope: req.Envelope})
	if err != nil {
		return nil, wrap("prepare", err)
	}
	out := &provider.PrepareResponse{}
	err = p.call(ctx, "prepare", req.Call, func(a *account) error {
		m := a.made(req.OperationID)
		if m == nil {
			m = p.cloud.put(a, string(mail.RoleDrafts), b, time.Time{}, []string{mail.Draft, mail.Seen})
			a.operations[req.OperationID] = []string{m.id}
		}
		out.Prepared = provider.Prepared{ProviderID: m.id, State: st, MessageID: m.parsed.MessageID}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Send sends a draft: it moves to Sent under its own id, and every recipient
// who lives in this cloud gets a copy. A draft already sent is not sent again.
func (p *Provider) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	var st state
	if err := json.Unmarshal(req.Prepared.State, &st); err != nil {
		return nil, mail.Errorf(mail.KindInvalid, "send", "this was not prepared here")
	}
	out := &provider.SendResponse{}
	err := p.call(ctx, "send", req.Call, func(a *account) error {
		m := a.messages[req.Prepared.ProviderID]
		if m == nil {
			if id := a.sentOps[req.OperationID]; id != "" {
				out.ProviderID, out.MessageID = id, req.Prepared.MessageID
				return nil
			}
			return mail.Errorf(mail.KindNotFound, "send", "the draft is gone")
		}
		out.ProviderID, out.MessageID = m.id, m.parsed.MessageID
		if m.sent {
			return nil
		}
		m.sent = true
		a.sentOps[req.OperationID] = m.id
		delete(m.keywords, mail.Draft)
		p.cloud.place(a, m, map[string]bool{string(mail.RoleSent): true})
		p.cloud.carry(st.Envelope, m, req.OperationID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// carry brings a message to its recipients. The caller holds mu.
func (c *Cloud) carry(env provider.Envelope, m *message, operation string) {
	raw := withoutBcc(m.raw)
	c.sent = append(c.sent, Sent{
		From: env.From, Recipients: slices.Clone(env.Recipients), Raw: raw,
		MessageID: m.parsed.MessageID, OperationID: operation, At: c.now(),
	})
	for _, rcpt := range env.Recipients {
		if to := c.accounts[key(rcpt)]; to != nil {
			c.put(to, string(mail.RoleInbox), raw, time.Time{}, nil)
		}
	}
}

// withoutBcc takes the Bcc field out (RFC 5322, 3.6.3).
func withoutBcc(raw []byte) []byte {
	head, body := split(raw)
	var out []byte
	drop := false
	for line := range bytes.Lines(head) {
		if line[0] != ' ' && line[0] != '\t' {
			drop = len(line) > 4 && bytes.EqualFold(line[:4], []byte("bcc:"))
		}
		if !drop {
			out = append(out, line...)
		}
	}
	return append(out, body...)
}

// Probe tells what became of a prepared message.
func (p *Provider) Probe(ctx context.Context, req *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	out := &provider.ProbeResponse{Outcome: provider.OutcomeNotSent}
	err := p.call(ctx, "probe", req.Call, func(a *account) error {
		id := a.sentOps[req.OperationID]
		if m := a.messages[req.Prepared.ProviderID]; m != nil && m.sent {
			id = m.id
		}
		if id != "" {
			out.Outcome, out.ProviderID, out.MessageID = provider.OutcomeSent, id, req.Prepared.MessageID
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
