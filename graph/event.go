package graph

import (
	"context"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func (r eventResolver) AccountID(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Account), nil
}

func (r eventResolver) Account(ctx context.Context, e *event.Event) (*store.Account, error) {
	return maybeAccount(ctx, e.Account)
}

func (r eventResolver) MessageID(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Message), nil
}

func (r eventResolver) Message(ctx context.Context, e *event.Event) (*store.Message, error) {
	if e.Message == "" {
		return nil, nil
	}
	return loadersOf(ctx).messages.load(ctx, e.Message)
}

func (r eventResolver) MailboxID(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Mailbox), nil
}

func (r eventResolver) Mailbox(ctx context.Context, e *event.Event) (*store.Mailbox, error) {
	if e.Mailbox == "" {
		return nil, nil
	}
	byID, err := loadersOf(ctx).mailboxes.load(ctx, e.Account)
	return byID[e.Mailbox], err
}

func (r eventResolver) SubmissionID(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Submission), nil
}

func (r eventResolver) Submission(ctx context.Context, e *event.Event) (*store.Submission, error) {
	if e.Submission == "" {
		return nil, nil
	}
	return loadersOf(ctx).submissions.load(ctx, e.Submission)
}

func (r eventResolver) EndpointID(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Endpoint), nil
}

func (r eventResolver) Endpoint(ctx context.Context, e *event.Event) (*service.Endpoint, error) {
	if e.Endpoint == "" {
		return nil, nil
	}
	return r.endpoint(ctx, e.Endpoint)
}

// Percent begins at 0, which is told too.
func (r eventResolver) Percent(_ context.Context, e *event.Event) (*int, error) {
	if e.Type != event.EndpointFailing && e.Type != event.EndpointDisabled {
		return nil, nil
	}
	return &e.Percent, nil
}

func (r eventResolver) Provider(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Provider), nil
}

func (r eventResolver) DeadLetters(_ context.Context, e *event.Event) (*int64, error) {
	return optionalNumber(e.DeadLetters), nil
}

func (r eventResolver) AddedMailboxes(ctx context.Context, e *event.Event) ([]*store.Mailbox, error) {
	return mailboxesOf(ctx, e.Account, e.AddedMailboxes)
}

func (r eventResolver) RemovedMailboxes(ctx context.Context, e *event.Event) ([]*store.Mailbox, error) {
	return mailboxesOf(ctx, e.Account, e.RemovedMailboxes)
}

func (r eventResolver) Reason(_ context.Context, e *event.Event) (*string, error) {
	return optional(e.Reason), nil
}

func (r snapshotResolver) MessageID(_ context.Context, s *event.Snapshot) (*string, error) {
	return optional(s.MessageID), nil
}

func (r snapshotResolver) Size(_ context.Context, s *event.Snapshot) (*int64, error) {
	return optionalNumber(s.Size), nil
}
