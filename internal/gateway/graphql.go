package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// This file and endpoints.go hand the services to the GraphQL door, in the
// small interfaces that it declares.

type auth struct{ *access.Access }

func (a auth) Authenticate(ctx context.Context, key string) (*service.Principal, error) {
	id, err := a.Access.Authenticate(ctx, key)
	if err != nil {
		return nil, err
	}
	return &service.Principal{ID: id, Name: id}, nil
}

type accounts struct {
	accounts *account.Service
	mirror   *mailbox.Service
	eraser   eraser
}

func (a accounts) BeginConnect(ctx context.Context, in service.ConnectInput) (service.ConnectLink, error) {
	link, err := a.accounts.BeginConnect(ctx, account.ConnectInput{
		Provider: in.Provider, ReturnURL: in.ReturnURL, ExternalID: in.ExternalID,
		LoginHint: in.LoginHint, ExpectedAddress: in.ExpectedAddress,
	})
	return service.ConnectLink{URL: link.URL, ExpiresAt: link.Expires}, err
}

func (a accounts) UpdateAccount(ctx context.Context, id string, ch service.AccountChange) (*store.Account, error) {
	return a.accounts.Update(ctx, id, account.Update{Mirror: ch.Mirror, Paused: ch.Paused, ExternalID: ch.ExternalID})
}

func (a accounts) DisconnectAccount(ctx context.Context, id string, revoke, erase bool) error {
	if !erase {
		return a.accounts.Disconnect(ctx, id, revoke, nil)
	}
	err := a.accounts.Disconnect(ctx, id, revoke, func(ctx context.Context) error { return a.eraser.erase(ctx, id) })
	if mail.KindOf(err) == mail.KindNotFound {
		return a.eraser.eraseFormer(ctx, id)
	}
	return err
}

func (a accounts) Identities(ctx context.Context, acct *store.Account) ([]mail.Identity, error) {
	return a.accounts.Identities(ctx, acct)
}

func (a accounts) SyncAccount(ctx context.Context, id string) error { return a.mirror.Sync(ctx, id) }

type mailer struct{ mirror *mailbox.Service }

func (m mailer) UpdateMessages(ctx context.Context, ids []string, u service.MessageUpdate) ([]service.MessageResult, error) {
	return results(m.mirror.Update(ctx, ids, mailbox.Change{
		AddKeywords: u.AddKeywords, RemoveKeywords: u.RemoveKeywords,
		AddMailboxes: u.AddMailboxes, RemoveMailboxes: u.RemoveMailboxes,
	}))
}

func (m mailer) MoveMessages(ctx context.Context, ids []string, to string) ([]service.MessageResult, error) {
	return results(m.mirror.Move(ctx, ids, to))
}

func (m mailer) CopyMessages(ctx context.Context, ids []string, to string) ([]service.MessageResult, error) {
	return results(m.mirror.Copy(ctx, ids, to))
}

func (m mailer) DeleteMessages(ctx context.Context, ids []string, permanently bool) ([]service.MessageResult, error) {
	return results(m.mirror.Delete(ctx, ids, permanently))
}

func results(rs []mailbox.Result, err error) ([]service.MessageResult, error) {
	out := make([]service.MessageResult, len(rs))
	for i, r := range rs {
		out[i] = service.MessageResult{ID: r.ID, Message: r.Message, Err: r.Err}
	}
	return out, err
}

type mailboxes struct {
	mirror *mailbox.Service
	store  store.Store
}

func (m mailboxes) CreateMailbox(ctx context.Context, account, parent, name string) (*store.Mailbox, error) {
	return m.mirror.CreateMailbox(ctx, account, parent, name)
}

func (m mailboxes) RenameMailbox(ctx context.Context, id string, name, parent *string) (*store.Mailbox, error) {
	if name == nil {
		var old *store.Mailbox
		err := m.store.View(ctx, func(tx store.Tx) (err error) {
			old, err = tx.Mailbox(id)
			return err
		})
		if err != nil {
			return nil, err
		}
		name = &old.Name
	}
	return m.mirror.RenameMailbox(ctx, id, *name, parent)
}

func (m mailboxes) DeleteMailbox(ctx context.Context, id string) error {
	return m.mirror.DeleteMailbox(ctx, id)
}

type reader struct{ mirror *mailbox.Service }

func (r reader) Content(ctx context.Context, message string) (*mime.Content, error) {
	return r.mirror.Content(ctx, message)
}

func (r reader) Search(ctx context.Context, account, query string, first int, after string) ([]string, string, error) {
	return r.mirror.Search(ctx, account, query, first, after)
}

type drafts struct {
	mirror *mailbox.Service
	submit *submission.Service
	hold   func() error
}

func (d drafts) SaveDraft(ctx context.Context, account, replaces string, out service.Outgoing) (*store.Message, error) {
	if err := d.hold(); err != nil {
		return nil, err
	}
	msg, raw, err := outgoing(out)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		if raw, err = d.submit.Compose(ctx, account, msg); err != nil {
			return nil, err
		}
	}
	return d.mirror.SaveDraft(ctx, account, newOperation(), replaces, raw)
}

func (d drafts) DeleteDraft(ctx context.Context, message string) error {
	return d.mirror.DeleteDraft(ctx, message)
}

// submissions takes messages on, while there is room to keep them. Those that
// were taken on go out in any case.
type submissions struct {
	submit *submission.Service
	hold   func() error
}

func (s submissions) Submit(ctx context.Context, in service.SubmitInput) (*store.Submission, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	msg, raw, err := outgoing(in.Message)
	if err != nil {
		return nil, err
	}
	return s.submit.Submit(ctx, submission.Input{
		Account: in.Account, Message: msg, Raw: raw, SendAt: in.SendAt, IdempotencyKey: in.IdempotencyKey})
}

func (s submissions) Cancel(ctx context.Context, id string) (*store.Submission, error) {
	return s.submit.Cancel(ctx, id)
}

// maxOutgoing bounds what a composed message holds in memory, in octets.
const maxOutgoing = 150 << 20

func outgoing(o service.Outgoing) (submission.Message, []byte, error) {
	left := int64(maxOutgoing)
	read := func(r io.Reader) ([]byte, error) {
		b, err := io.ReadAll(io.LimitReader(r, left+1))
		if left -= int64(len(b)); err == nil && left < 0 {
			err = mail.Errorf(mail.KindTooLarge, "compose message", "the message is larger than %d bytes", maxOutgoing)
		}
		return b, err
	}
	if o.Raw != nil {
		raw, err := read(o.Raw)
		if err == nil && len(raw) == 0 {
			err = mail.Errorf(mail.KindInvalid, "compose message", "raw is empty")
		}
		return submission.Message{To: o.To, Cc: o.Cc, Bcc: o.Bcc, InReplyTo: o.Reply, Forward: o.Forward}, raw, err
	}
	m := submission.Message{From: o.From, To: o.To, Cc: o.Cc, Bcc: o.Bcc, ReplyTo: o.ReplyTo, Subject: o.Subject,
		Text: o.Text, HTML: o.HTML, InReplyTo: o.Reply, Forward: o.Forward}
	for _, a := range o.Attachments {
		content, err := read(a.Content)
		if err != nil {
			return m, nil, fmt.Errorf("read attachment: %w", err)
		}
		m.Attachments = append(m.Attachments, submission.Attachment{Name: a.Name, Type: a.Type, ContentID: a.ContentID, Content: content})
	}
	return m, nil, nil
}

// describe gives a reason in words for the list of providers.
func describe(err error) string {
	var e *mail.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return strings.TrimSpace(err.Error())
}
