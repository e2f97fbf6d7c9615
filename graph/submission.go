package graph

import (
	"context"
	"strings"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func (r submissionResolver) Account(ctx context.Context, s *store.Submission) (*store.Account, error) {
	return maybeAccount(ctx, s.Account)
}

func (r submissionResolver) MessageID(_ context.Context, s *store.Submission) (*string, error) {
	return optional(s.MessageID), nil
}

// Message is the copy among the sent messages, once the mirror has it.
func (r submissionResolver) Message(ctx context.Context, s *store.Submission) (*store.Message, error) {
	if s.SentProviderID == "" {
		return nil, nil
	}
	return loadersOf(ctx).messages.load(ctx, event.HashID("m", s.Account, s.SentProviderID))
}

func (r submissionResolver) Error(_ context.Context, s *store.Submission) (*string, error) {
	return optional(s.Error), nil
}

// ErrorCode is the kind of error, which stands in front of its words.
func (r submissionResolver) ErrorCode(_ context.Context, s *store.Submission) (*generated.ErrorCode, error) {
	kind, _, ok := strings.Cut(s.Error, ":")
	if !ok {
		return nil, nil
	}
	code, _ := codeOf(mail.Kind(kind))
	return &code, nil
}

func (r mutationResolver) SubmitMessage(ctx context.Context, in generated.SubmitMessageInput) (*store.Submission, error) {
	out, err := outgoing(generated.SaveDraftInput{
		From: in.From, To: in.To, Cc: in.Cc, Bcc: in.Bcc, ReplyTo: in.ReplyTo,
		Subject: in.Subject, Text: in.Text, HTML: in.HTML, Attachments: in.Attachments, Raw: in.Raw,
		Reply: in.Reply, Forward: in.Forward,
	})
	if err != nil {
		return nil, err
	}
	if _, err := r.account(ctx, in.Account); err != nil {
		return nil, err
	}
	return r.services.Submissions.Submit(ctx, service.SubmitInput{
		Account: in.Account, Message: out, SendAt: value(in.SendAt), IdempotencyKey: value(in.IdempotencyKey),
	})
}

func (r mutationResolver) CancelSubmission(ctx context.Context, id string) (*store.Submission, error) {
	return r.services.Submissions.Cancel(ctx, id)
}

func (r mutationResolver) SaveDraft(ctx context.Context, in generated.SaveDraftInput) (*store.Message, error) {
	out, err := outgoing(in)
	if err != nil {
		return nil, err
	}
	if _, err := r.account(ctx, in.Account); err != nil {
		return nil, err
	}
	return r.services.Drafts.SaveDraft(ctx, in.Account, value(in.Replaces), out)
}

func (r mutationResolver) DeleteDraft(ctx context.Context, id string) (string, error) {
	return id, r.services.Drafts.DeleteDraft(ctx, id)
}

// outgoing reads a composed message. What contradicts itself is refused here;
// whether it can be sent is its service's business.
func outgoing(in generated.SaveDraftInput) (service.Outgoing, error) {
	out := service.Outgoing{
		From: in.From, To: plain(in.To), Cc: plain(in.Cc), Bcc: plain(in.Bcc), ReplyTo: plain(in.ReplyTo),
		Subject: value(in.Subject), Text: value(in.Text), HTML: value(in.HTML),
		Reply: value(in.Reply), Forward: value(in.Forward),
	}
	if out.Reply != "" && out.Forward != "" {
		return out, invalid("a message replies or forwards, not both")
	}
	if strings.ContainsAny(out.Subject, "\r\n\x00") {
		return out, invalid("the subject is one line")
	}
	if in.Raw != nil {
		if in.Subject != nil || in.Text != nil || in.HTML != nil || len(in.Attachments) > 0 {
			return out, invalid("raw stands alone: without subject, text, html and attachments")
		}
		out.Raw = in.Raw.Reader
	}
	for _, a := range in.Attachments {
		if strings.ContainsAny(a.Name+value(a.ContentID)+value(a.Type), "\r\n\x00") {
			return out, invalid("name, type and contentId of an attachment are one line each")
		}
		out.Attachments = append(out.Attachments, attachment(a))
	}
	return out, nil
}

func attachment(a *generated.AttachmentInput) service.OutgoingAttachment {
	mediaType := value(a.Type)
	if mediaType == "" {
		mediaType = a.Content.Type
	}
	return service.OutgoingAttachment{
		Name: a.Name, Type: mediaType, ContentID: strings.Trim(value(a.ContentID), "<>"),
		Size: a.Content.Size, Content: a.Content.Reader,
	}
}

// plain gives addresses by value.
func plain(list []*mail.Address) []mail.Address {
	out := make([]mail.Address, 0, len(list))
	for _, a := range list {
		out = append(out, *a)
	}
	return out
}
