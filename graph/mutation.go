package graph

import (
	"context"
	"strings"
	"time"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/store"
)

func (r mutationResolver) BeginConnect(ctx context.Context, in generated.BeginConnectInput) (*service.ConnectLink, error) {
	link, err := r.services.Accounts.BeginConnect(ctx, service.ConnectInput{
		Provider:        in.Provider,
		ReturnURL:       value(in.RedirectURL),
		ExternalID:      value(in.ExternalID),
		LoginHint:       value(in.LoginHint),
		ExpectedAddress: value(in.ExpectedAddress),
	})
	return &link, err
}

func (r mutationResolver) UpdateAccount(ctx context.Context, in generated.UpdateAccountInput) (*store.Account, error) {
	return r.services.Accounts.UpdateAccount(ctx, in.ID, service.AccountChange{Mirror: in.Mirror, Paused: in.Paused, ExternalID: in.ExternalID})
}

func (r mutationResolver) DisconnectAccount(ctx context.Context, id string, revoke, erase *bool) (string, error) {
	return id, r.services.Accounts.DisconnectAccount(ctx, id, revoke == nil || *revoke, value(erase))
}

func (r mutationResolver) SyncAccount(ctx context.Context, id string) (*store.Account, error) {
	if err := r.services.Accounts.SyncAccount(ctx, id); err != nil {
		return nil, err
	}
	return r.account(ctx, id)
}

func (r mutationResolver) CreateMailbox(ctx context.Context, in generated.CreateMailboxInput) (*store.Mailbox, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	return r.services.Mailboxes.CreateMailbox(ctx, in.Account, value(in.Parent), in.Name)
}

func (r mutationResolver) RenameMailbox(ctx context.Context, in generated.RenameMailboxInput) (*store.Mailbox, error) {
	if in.Name != nil {
		if err := checkName(*in.Name); err != nil {
			return nil, err
		}
	}
	var parent *string
	if to, ok := in.Parent.ValueOK(); ok {
		top := value(to)
		parent = &top
	}
	if in.Name == nil && parent == nil {
		return nil, invalid("renameMailbox takes a name, a parent, or both")
	}
	return r.services.Mailboxes.RenameMailbox(ctx, in.ID, in.Name, parent)
}

func (r mutationResolver) DeleteMailbox(ctx context.Context, id string) (string, error) {
	return id, r.services.Mailboxes.DeleteMailbox(ctx, id)
}

// checkName refuses what no provider takes as a name.
func checkName(name string) error {
	if strings.TrimSpace(name) == "" || len(name) > 1000 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid("a mailbox's name is one line of 1 to 1000 bytes")
	}
	return nil
}

// maxIDs is how many messages or deliveries one mutation takes.
const maxIDs = 1000

func (r mutationResolver) UpdateMessages(ctx context.Context, ids []string, addKeywords, removeKeywords, addToMailboxes, removeFromMailboxes []string) (*generated.UpdateMessagesPayload, error) {
	u := service.MessageUpdate{AddMailboxes: addToMailboxes, RemoveMailboxes: removeFromMailboxes}
	var err error
	if u.AddKeywords, err = keywords(addKeywords); err != nil {
		return nil, err
	}
	if u.RemoveKeywords, err = keywords(removeKeywords); err != nil {
		return nil, err
	}
	return r.results(ctx, ids, func(ids []string) ([]service.MessageResult, error) {
		return r.services.Mailer.UpdateMessages(ctx, ids, u)
	})
}

func (r mutationResolver) MoveMessages(ctx context.Context, ids []string, to string) (*generated.UpdateMessagesPayload, error) {
	return r.results(ctx, ids, func(ids []string) ([]service.MessageResult, error) {
		return r.services.Mailer.MoveMessages(ctx, ids, to)
	})
}

func (r mutationResolver) CopyMessages(ctx context.Context, ids []string, to string) (*generated.UpdateMessagesPayload, error) {
	return r.results(ctx, ids, func(ids []string) ([]service.MessageResult, error) {
		return r.services.Mailer.CopyMessages(ctx, ids, to)
	})
}

func (r mutationResolver) DeleteMessages(ctx context.Context, ids []string, permanently *bool) (*generated.UpdateMessagesPayload, error) {
	return r.results(ctx, ids, func(ids []string) ([]service.MessageResult, error) {
		return r.services.Mailer.DeleteMessages(ctx, ids, value(permanently))
	})
}

// results changes each message once, and answers for every id as it was given.
func (r mutationResolver) results(ctx context.Context, ids []string, change func(ids []string) ([]service.MessageResult, error)) (*generated.UpdateMessagesPayload, error) {
	if len(ids) > maxIDs {
		return nil, invalid("at most %d messages at once", maxIDs)
	}
	payload := &generated.UpdateMessagesPayload{Results: make([]*generated.MessageResult, 0, len(ids))}
	if len(ids) == 0 {
		return payload, nil
	}
	byID := make(map[string]*generated.MessageResult, len(ids))
	once := make([]string, 0, len(ids))
	for _, id := range ids {
		if byID[id] == nil {
			once = append(once, id)
			byID[id] = &generated.MessageResult{ID: id}
		}
		payload.Results = append(payload.Results, byID[id])
	}
	done, err := change(once)
	if err != nil {
		return nil, err
	}
	for _, d := range done {
		result := byID[d.ID]
		if result == nil {
			continue
		}
		if d.Err == nil {
			result.Message = d.Message
			continue
		}
		f := r.describe(ctx, d.Err)
		result.Error = &generated.MessageError{Code: f.code, Message: f.message, RetryAfter: retryAfter(f.retryAfter)}
	}
	return payload, nil
}

func retryAfter(d time.Duration) *int { return optionalNumber(retrySeconds(d)) }

// keywords reads keywords: lower case, of the characters that RFC 8621, 4.1.1
// allows.
func keywords(list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, k := range list {
		if k == "" || len(k) > 255 || strings.ContainsFunc(k, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`(){]%*"\`, r) }) {
			return nil, invalid("%q is not a keyword: 1 to 255 characters of ASCII without space and ( ) { ] %% * \" \\", k)
		}
		out = append(out, strings.ToLower(k))
	}
	return out, nil
}
