package submission

import (
	"context"
	"io"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Letter is a whole message in its envelope, as a mail program submits it.
type Letter struct {
	Account string
	// From is the reverse path, empty for a message that wants no report (RFC
	// 5321, 4.5.5).
	From string
	// Recipients are who gets it, and nobody else does.
	Recipients []Recipient
	// ReturnHeaders wants no more than the header in reports (RFC 3461, 4.3),
	// EnvelopeID is named in them (RFC 3461, 4.4).
	ReturnHeaders bool
	EnvelopeID    string
	// Raw is the message, Size its length and Digest the SHA-256 of it.
	Raw    io.ReadSeeker
	Size   int64
	Digest [32]byte
	// Wait is how long Take waits for the provider's verdict.
	Wait time.Duration
	// Relaxed does not hold authors against the account's identities.
	Relaxed bool
}

// Recipient is one of an envelope.
type Recipient struct {
	Address string
	// Never, Failure and Success are when to report (RFC 3461, 4.1); without any
	// it is Failure.
	Never, Failure, Success bool
	// Original is who it was for in the sender's eyes (RFC 3461, 4.2), with its
	// type: "rfc822;ann@example.com".
	Original string
}

// Take stores a letter to be sent, and waits for the provider's verdict as long
// as the letter says.
func (s *Service) Take(ctx context.Context, l Letter) (*store.Submission, error) {
	return nil, mail.Errorf(mail.KindInternal, "submit message", "not yet")
}

// Limit is how large a message an account can send, 0 where that is not known.
func (s *Service) Limit(ctx context.Context, account string) (int64, error) {
	_, info, err := s.account(ctx, account)
	if err != nil {
		return 0, err
	}
	return info.Limits.MaxMessageBytes, nil
}

// Largest is the largest Limit of all providers that can send.
func (s *Service) Largest(ctx context.Context) int64 { return 0 }

// MaySend refuses an address that an account may not send from.
func (s *Service) MaySend(ctx context.Context, account, from string) error {
	acct, _, err := s.account(ctx, account)
	if err != nil {
		return err
	}
	return s.maySend(ctx, acct, from)
}
