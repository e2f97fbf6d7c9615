package mailbox

import (
	"bytes"
	"context"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// SaveDraft stores a draft at the provider in place of an earlier one, which
// may be empty. The new one is there before the old one goes.
func (s *Service) SaveDraft(ctx context.Context, account, operation, replaces string, raw []byte) (*store.Message, error) {
	acct, p, err := s.writable(ctx, account)
	if err != nil {
		return nil, err
	}
	if replaces != "" {
		if _, err := s.draft(ctx, account, replaces); err != nil {
			return nil, err
		}
	}
	drafts, err := s.role(ctx, account, mail.RoleDrafts)
	if err != nil {
		return nil, err
	}
	resp, err := p.Append(ctx, &provider.AppendRequest{
		Call: write(acct), OperationID: operation, Mailbox: drafts.ProviderID,
		Keywords: []string{mail.Draft, mail.Seen}, ReceivedAt: s.now(), Size: int64(len(raw)),
	}, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	m, err := s.Stored(ctx, acct, &resp.Message)
	if err != nil {
		return nil, err
	}
	if replaces != "" {
		if err := s.DeleteDraft(ctx, replaces); err != nil {
			// The new one is stored, and that is what was asked for.
			s.log.WarnContext(ctx, "the replaced draft stays", "account", account, "message", replaces, "error", err)
		}
	}
	return m, nil
}

// DeleteDraft removes a draft for good.
func (s *Service) DeleteDraft(ctx context.Context, id string) error {
	if _, err := s.draft(ctx, "", id); err != nil {
		return err
	}
	rs, err := s.Delete(ctx, []string{id}, true)
	if err != nil {
		return err
	}
	return rs[0].Err
}

func (s *Service) draft(ctx context.Context, account, id string) (*store.Message, error) {
	m, err := s.message(ctx, id)
	if err != nil {
		return nil, err
	}
	if !m.HasKeyword(mail.Draft) || (account != "" && m.Account != account) {
		return nil, mail.Errorf(mail.KindInvalid, "change draft", "message %s is not a draft of this account", id)
	}
	return m, nil
}

// Stored writes a message that the provider has just stored for us.
func (s *Service) Stored(ctx context.Context, acct *store.Account, told *mail.Message) (m *store.Message, err error) {
	asOf := s.now()
	err = s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		a := s.applier(tx, b, acct, asOf)
		a.direct, a.own = true, true
		m, err = a.made(&mail.Item{Kind: mail.ItemPresent, Fields: allFields, Message: *told}, nil)
		return err
	})
	s.Touch(ctx, acct.ID)
	return m, err
}
