package submission

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"

	sdk "github.com/postern-mail/postern/plugins/sdk/mail"
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
	Digest [sha256.Size]byte
	// Wait is how long Take waits for the provider's verdict; it ends when Hurry is
	// closed, too.
	Wait  time.Duration
	Hurry <-chan struct{}
	// Relaxed does not hold authors against the account's identities.
	Relaxed bool
}

// Recipient is one of an envelope. Its address is without quotes, as
// net/mail.Address has it.
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
// as the letter says. What it gives without an error is sent, or will be, or is
// reported on; what it refuses is not sent. A letter that was given before, to
// the byte and under the same Message-ID, is not sent a second time.
func (s *Service) Take(ctx context.Context, l Letter) (*store.Submission, error) {
	acct, info, err := s.account(ctx, l.Account)
	if err != nil {
		return nil, err
	}
	if acct.State == store.AccountGrantExpired {
		return nil, sdk.Errorf(sdk.KindGrantExpired, "submit message", "the account's access has expired; connect it again")
	}
	rcpts, report, err := l.envelope()
	if err != nil {
		return nil, err
	}
	h, err := readOpening(l.Raw, l.Size)
	if err != nil {
		return nil, err
	}
	k := l.keyed(h.messageID)
	var old *store.Submission
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		old, err = s.byKey(tx, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	if old != nil {
		return s.again(ctx, old, &l)
	}
	if !l.Relaxed {
		if err := s.authored(ctx, acct, h); err != nil {
			return nil, err
		}
	}
	sub := &store.Submission{From: l.From, Recipients: rcpts, Subject: h.subject, Report: report}
	if sub.From == "" {
		sub.From = acct.Address
	}
	head := h.complete(acct, sub, l.From, s.now())
	if err := fits(info, int64(len(head))+l.Size-h.size); err != nil {
		return nil, err
	}
	if _, err := l.Raw.Seek(h.size, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	w := s.verdicts.expect(sub.ID, true)
	out, err := s.accept(ctx, k, sub, time.Time{}, io.MultiReader(bytes.NewReader(head), l.Raw))
	if err != nil || out != sub {
		w.leave()
		if err != nil {
			return nil, err
		}
		return s.again(ctx, out, &l)
	}
	s.nudge()
	return s.answer(ctx, w, sub, &l)
}

// again answers a letter that was taken before.
func (s *Service) again(ctx context.Context, old *store.Submission, l *Letter) (*store.Submission, error) {
	s.log.InfoContext(ctx, "a message that was submitted before is not sent again", "submission", old.ID, "account", old.Account, "state", old.State)
	if old.Ended() {
		return old, nil
	}
	w := s.verdicts.expect(old.ID, true)
	// It may have ended before it was waited for.
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		old, err = tx.Submission(old.ID)
		return err
	})
	if err != nil || old.Ended() {
		if !w.leave() {
			if err == nil && unsent(old) {
				err = sdk.Errorf(sdk.KindUnavailable, "submit message", "the message was given before and was not sent; try again")
			}
			return old, err
		}
	}
	return s.answer(ctx, w, old, l)
}

// unsent: it has ended without being sent, and no report tells its sender so.
// Whoever gives it once more must not be answered as if it were sent.
func unsent(sub *store.Submission) bool {
	switch sub.State {
	case store.SubmissionFailed:
		return sub.Report == nil || sub.Report.State == store.ReportOpen
	case store.SubmissionCancelled:
		return true
	}
	return false
}

// keyed is what tells a letter that is given again from another one. Without a
// Message-ID nothing does: the same words may be meant to be sent twice.
func (l *Letter) keyed(messageID string) keyed {
	k := keyed{account: l.Account, retry: true}
	if messageID == "" {
		return k
	}
	to := make([]string, len(l.Recipients))
	for i, r := range l.Recipients {
		to[i] = strings.ToLower(r.Address)
	}
	slices.Sort(to)
	b, _ := json.Marshal([]any{messageID, strings.ToLower(l.From), slices.Compact(to), l.Digest[:]}) // strings and bytes: cannot fail
	k.print = hex.EncodeToString(digest(b))
	k.key = "smtp " + k.print
	return k
}

// envelope gives every recipient once, and what is to be reported.
func (l *Letter) envelope() (to []string, report *store.Report, err error) {
	report = &store.Report{HeadersOnly: l.ReturnHeaders, EnvelopeID: l.EnvelopeID}
	for _, r := range l.Recipients {
		if !Deliverable(r.Address) {
			return nil, nil, sdk.Errorf(sdk.KindInvalid, "submit message", "%q is not an address", r.Address)
		}
		if slices.ContainsFunc(to, func(have string) bool { return strings.EqualFold(have, r.Address) }) {
			continue
		}
		to = append(to, r.Address)
		one := store.ReportRecipient{Address: r.Address, Original: r.Original, Failure: r.Failure, Success: r.Success}
		if !r.Never && !r.Failure && !r.Success {
			one.Failure = true
		}
		if one.Failure || one.Success {
			report.Recipients = append(report.Recipients, one)
		}
	}
	switch {
	case len(to) == 0:
		return nil, nil, sdk.Errorf(sdk.KindInvalid, "submit message", "the message has no recipient")
	case len(to) > MaxRecipients:
		return nil, nil, sdk.Errorf(sdk.KindInvalid, "submit message", "the message has %d recipients, %d are allowed", len(to), MaxRecipients)
	}
	if l.From == "" || len(report.Recipients) == 0 {
		report = nil // RFC 5321, 6.1: nobody is told of what has no reverse path
	}
	return to, report, nil
}

// Deliverable reports whether an address, without quotes, is one that a header
// can hold as it is.
func Deliverable(address string) bool {
	if strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	a, err := mail.ParseAddress((&mail.Address{Address: address}).String())
	return err == nil && a.Address == address
}

// Limit is how large a message an account can send, 0 where that is not known.
func (s *Service) Limit(ctx context.Context, account string) (int64, error) {
	_, info, err := s.account(ctx, account)
	if err != nil {
		return 0, err
	}
	return info.Limits.MaxMessageBytes, nil
}

// Largest is the largest Limit of all providers, 0 where one knows none.
func (s *Service) Largest() (limit int64) {
	if s.opts.Instances == nil {
		return 0
	}
	for _, name := range s.opts.Instances() {
		info, err := s.providers.Info(name)
		if err != nil {
			continue // it is away, and who logs in is told the truth
		}
		if info.Limits.MaxMessageBytes == 0 {
			return 0
		}
		limit = max(limit, info.Limits.MaxMessageBytes)
	}
	return limit
}

// MaySend refuses an address that an account may not send from.
func (s *Service) MaySend(ctx context.Context, account, from string) error {
	acct, _, err := s.account(ctx, account)
	if err != nil {
		return err
	}
	return s.maySend(ctx, acct, from)
}
