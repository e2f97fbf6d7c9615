package mailbox

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// maxNameBytes bounds a mailbox's name.
const maxNameBytes = 255

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n\x00") {
		return "", mail.Errorf(mail.KindInvalid, "name mailbox", "a mailbox's name has 1 to %d bytes in one line", maxNameBytes)
	}
	return name, nil
}

// CreateMailbox makes a mailbox at the provider, below parent (our id, empty
// for the top).
func (s *Service) CreateMailbox(ctx context.Context, account, parent, name string) (*store.Mailbox, error) {
	name, err := checkName(name)
	if err != nil {
		return nil, err
	}
	acct, p, err := s.writable(ctx, account)
	if err != nil {
		return nil, err
	}
	unlock, err := s.listing.lock(ctx, account)
	if err != nil {
		return nil, err
	}
	defer unlock()
	req := &provider.CreateMailboxRequest{Call: write(acct), Name: name}
	if parent != "" {
		m, err := s.target(ctx, account, parent)
		if err != nil {
			return nil, err
		}
		req.ParentID = m.ProviderID
	}
	resp, err := p.CreateMailbox(ctx, req)
	if err != nil {
		return nil, err
	}
	return s.wroteMailbox(ctx, acct, &resp.Mailbox)
}

// RenameMailbox gives a mailbox another name, and another parent unless
// parent is nil.
func (s *Service) RenameMailbox(ctx context.Context, id, name string, parent *string) (*store.Mailbox, error) {
	name, err := checkName(name)
	if err != nil {
		return nil, err
	}
	m, err := s.mailboxByID(ctx, id)
	if err != nil {
		return nil, err
	}
	acct, p, err := s.writable(ctx, m.Account)
	if err != nil {
		return nil, err
	}
	unlock, err := s.listing.lock(ctx, m.Account)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if m, err = s.mailboxByID(ctx, id); err != nil {
		return nil, err // it went while this waited
	}
	req := &provider.RenameMailboxRequest{Call: write(acct), ID: m.ProviderID, ParentID: m.ParentProviderID, Name: name}
	if parent != nil {
		req.ParentID = ""
		if *parent != "" {
			above, err := s.target(ctx, m.Account, *parent)
			if err != nil {
				return nil, err
			}
			req.ParentID = above.ProviderID
		}
	}
	resp, err := p.RenameMailbox(ctx, req)
	if err != nil {
		return nil, err
	}
	return s.wroteMailbox(ctx, acct, &resp.Mailbox)
}

// DeleteMailbox removes a mailbox as the provider does, usually into its
// trash. What becomes of its messages the feeds tell.
func (s *Service) DeleteMailbox(ctx context.Context, id string) error {
	m, err := s.mailboxByID(ctx, id)
	if err != nil {
		return err
	}
	if m.Role != mail.RoleNone {
		return mail.Errorf(mail.KindInvalid, "delete mailbox", "the mailbox with the role %s cannot be deleted", m.Role)
	}
	acct, p, err := s.writable(ctx, m.Account)
	if err != nil {
		return err
	}
	unlock, err := s.listing.lock(ctx, m.Account)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.DeleteMailbox(ctx, &provider.DeleteMailboxRequest{Call: write(acct), ID: m.ProviderID}); err != nil {
		return err
	}
	if _, _, err := s.listMailboxes(ctx, acct, p); err != nil {
		// Deleted it is; the next round lists what is left.
		s.log.WarnContext(ctx, "mailboxes not listed after a deletion", "account", acct.ID, "error", err)
	}
	s.Touch(ctx, acct.ID)
	return nil
}

// wroteMailbox writes what the provider answered at once; the parents of a
// written mailbox are known.
func (s *Service) wroteMailbox(ctx context.Context, acct *store.Account, t *mail.Mailbox) (m *store.Mailbox, err error) {
	told := map[string]*mail.Mailbox{t.ID: t}
	err = s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		if above, err := tx.Mailbox(ID(acct.ID, t.ParentID)); err == nil {
			told[t.ParentID] = &mail.Mailbox{ID: above.ProviderID}
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := s.putMailbox(tx, b, acct, t, told); err != nil {
			return err
		}
		m, err = tx.Mailbox(ID(acct.ID, t.ID))
		return err
	})
	if err == nil {
		s.Touch(ctx, acct.ID)
	}
	return m, err
}

func (s *Service) mailboxByID(ctx context.Context, id string) (m *store.Mailbox, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		m, err = tx.Mailbox(id)
		return err
	})
	return m, notFound(err, "mailbox")
}

// writable gives an account that can be written to, and its plugin.
func (s *Service) writable(ctx context.Context, account string) (*store.Account, provider.Provider, error) {
	acct, err := s.account(ctx, account)
	if err != nil {
		return nil, nil, err
	}
	if acct.State == store.AccountGrantExpired {
		return nil, nil, &mail.Error{Kind: mail.KindGrantExpired, Op: "change mail", Message: "the owner must connect the account again"}
	}
	p, _, err := s.plug(acct)
	return acct, p, err
}

// role finds the account's mailbox with a role.
func (s *Service) role(ctx context.Context, account string, role mail.Role) (*store.Mailbox, error) {
	var found *store.Mailbox
	err := s.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(account)
		for _, m := range list {
			if m.Role == role {
				found = m
			}
		}
		return err
	})
	if err == nil && found == nil {
		err = mail.Errorf(mail.KindNotFound, "find mailbox", "the account has no mailbox with the role %s", role)
	}
	return found, err
}
