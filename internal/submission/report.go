package submission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Inbox takes reports to the inbox of an account.
type Inbox interface {
	// Deliver stores a message of size bytes. Again with the same operation, and
	// it is not stored twice.
	Deliver(ctx context.Context, account, operation string, at time.Time, raw io.Reader, size int64) error
}

const (
	// reportLimit bounds one try to deliver a report, and reportPerMiB is how much
	// longer one may take that returns a large message.
	reportLimit  = time.Minute
	reportPerMiB = 5 * time.Second
	// reportFor is how long after its submission's end a report is tried.
	reportFor = 72 * time.Hour
)

// wantsReport reports whether the sender of a submission that has ended is to be
// told by mail.
func (s *Service) wantsReport(sub *store.Submission) bool {
	return sub.Report != nil && s.opts.Inbox != nil && len(reported(sub)) > 0
}

// reported are the recipients of whom a report tells. Success means that the
// provider has taken the message, no more (RFC 3461, 5.2.2: "relayed").
func reported(sub *store.Submission) []store.ReportRecipient {
	return slices.DeleteFunc(slices.Clone(sub.Report.Recipients), func(r store.ReportRecipient) bool {
		return !(sub.State == store.SubmissionFailed && r.Failure || sub.State == store.SubmissionSent && r.Success)
	})
}

// report takes a submission that has ended through telling its sender, if that
// is to be done. When ctx ends it stays as it is, to be gone on with.
func (s *Service) report(ctx context.Context, sub *store.Submission) {
	if sub.Report == nil || sub.Report.State != store.ReportDue {
		return
	}
	limited, cancel := context.WithTimeout(ctx, reportLimit+time.Duration(sub.Size>>20)*reportPerMiB)
	err := s.deliver(limited, sub)
	cancel()
	if ctx.Err() != nil {
		return
	}
	now := s.now()
	sub.Attempts++
	switch kind := mail.KindOf(err); {
	case err == nil:
		sub.Report.State = store.ReportDone
	case now.Sub(sub.DoneAt) >= reportFor || kind == mail.KindNotFound || kind == mail.KindInvalid:
		sub.Report.State = store.ReportLeft
		s.log.WarnContext(ctx, "report of a submission not delivered", "submission", sub.ID, "account", sub.Account, "kind", kind, "error", err)
	default:
		next := now.Add(max(backoff(sub.Attempts), mail.RetryAfter(err)))
		if sub.Step != store.StepDiscard || next.Before(sub.NextAt) || !sub.NextAt.After(now) {
			sub.NextAt = next
		}
		s.log.InfoContext(ctx, "report of a submission not delivered yet", "submission", sub.ID, "account", sub.Account, "kind", kind, "error", err)
	}
	s.noteEnded(ctx, sub)
}

// noteEnded writes what became of the last things that an ended submission has to
// do; once there are none its bytes go.
func (s *Service) noteEnded(ctx context.Context, sub *store.Submission) {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Submission(sub.ID); err != nil {
			return err
		}
		return tx.PutSubmission(sub)
	})
	if err != nil {
		s.log.WarnContext(ctx, "what became of an ended submission is not noted", "submission", sub.ID, "error", err)
		return
	}
	if !sub.Waits() {
		s.dropBytes(ctx, sub)
	}
}

// deliver writes the report (RFC 3464) and puts it into the inbox. What failed is
// returned as a whole where that was not declined, however large it is: there
// may be no other copy, as a program that stored its own was told that there is
// one. Only where the inbox cannot take it the header has to do.
func (s *Service) deliver(ctx context.Context, sub *store.Submission) error {
	var acct *store.Account
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		acct, err = tx.Account(sub.Account)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return &mail.Error{Kind: mail.KindNotFound, Op: "report submission", Message: "no such account", Err: err}
	}
	if err != nil {
		return err
	}
	blob, err := s.store.Blobs().Open(ctx, sub.Account, sub.Blob)
	if err != nil {
		return err
	}
	defer blob.Close()
	if sub.State == store.SubmissionFailed && !sub.Report.HeadersOnly {
		err := s.deliverAs(ctx, acct, sub, "message/rfc822", blob, blob.Size())
		if mail.KindOf(err) != mail.KindTooLarge {
			return err
		}
	}
	block, err := io.ReadAll(io.NewSectionReader(blob, 0, min(blob.Size(), maxHeader)))
	if err != nil {
		return err
	}
	_, rest := header.Split(block)
	block = block[:len(block)-len(rest)]
	return s.deliverAs(ctx, acct, sub, "text/rfc822-headers", bytes.NewReader(block), int64(len(block)))
}

// deliverAs is deliver with what is returned, and its media type.
func (s *Service) deliverAs(ctx context.Context, acct *store.Account, sub *store.Submission, kind string, returned io.Reader, size int64) error {
	head, tail := s.reportText(acct, sub, kind)
	whole := io.MultiReader(strings.NewReader(head), returned, strings.NewReader(tail))
	return s.opts.Inbox.Deliver(ctx, sub.Account, "report-"+sub.ID, sub.DoneAt, whole, int64(len(head))+size+int64(len(tail)))
}

// reportText is the report before and after the message, or its header, that it
// returns. It is the same however often it is written.
func (s *Service) reportText(acct *store.Account, sub *store.Submission, returned string) (head, tail string) {
	failed := sub.State == store.SubmissionFailed
	list := reported(sub)
	_, domain, ok := strings.Cut(acct.Address, "@")
	if !ok || domain == "" {
		domain = "postern.invalid"
	}
	// The id has so many random bits that no message has this line in it.
	boundary := "report-" + sub.ID
	action, status, subject := "relayed", "2.0.0", "Sent: "
	if failed {
		action, status, subject = "failed", reportStatus(sub.Error), "Not sent: "
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("From: Postern <postmaster@%s>", domain)
	line("To: <%s>", oneLine(acct.Address))
	line("Subject: %s", encoded(clip(subject+oneLine(sub.Subject), 200)))
	line("Date: %s", sub.DoneAt.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	line("Message-ID: <%s@%s>", boundary, domain)
	if id := oneLine(sub.MessageID); id != "" && len(id) < 900 {
		line("In-Reply-To: <%s>", id)
		line("References: <%s>", id)
	}
	line("Auto-Submitted: auto-replied") // RFC 3834, 5
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=%q", boundary)
	line("")
	line("--%s", boundary)
	line("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit")
	line("")
	if failed {
		line("Your message was not sent to:")
	} else {
		line("Your message was handed on; no more is known about its delivery to:")
	}
	line("")
	for _, r := range list {
		line("  %s", oneLine(r.Address))
	}
	if failed {
		line("\r\nWhy: %s", clip(oneLine(sub.Error), 900))
		line("\r\nIt is not tried again. The message is attached, or its header.")
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: message/delivery-status")
	line("")
	line("Reporting-MTA: dns; %s", oneLine(s.opts.Host))
	if sub.Report.EnvelopeID != "" {
		line("Original-Envelope-Id: %s", xtext(sub.Report.EnvelopeID))
	}
	line("Arrival-Date: %s", sub.CreatedAt.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	for _, r := range list {
		line("")
		if r.Original != "" {
			line("Original-Recipient: %s", oneLine(r.Original))
		}
		kind := "rfc822"
		if strings.ContainsFunc(r.Address, func(r rune) bool { return r > 0x7f }) {
			kind = "utf-8" // RFC 6533, 3
		}
		line("Final-Recipient: %s; %s", kind, oneLine(r.Address))
		line("Action: %s", action)
		line("Status: %s", status)
		if failed {
			line("Diagnostic-Code: x-postern; %s", encoded(clip(oneLine(sub.Error), 900)))
		}
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: %s", returned)
	line("Content-Transfer-Encoding: 8bit")
	line("")
	return b.String(), "\r\n--" + boundary + "--\r\n"
}

// reportStatus is the status (RFC 3463) of a submission that failed with these
// words, which begin with the kind.
func reportStatus(reason string) string {
	kind, _, _ := strings.Cut(reason, ":")
	switch mail.Kind(kind) {
	case mail.KindForbidden:
		return "5.7.1"
	case mail.KindTooLarge:
		return "5.3.4"
	case mail.KindInvalid:
		return "5.6.0"
	case mail.KindGrantExpired:
		return "5.7.0"
	case mail.KindThrottled, mail.KindUnavailable, mail.KindOutcomeUnknown:
		return "5.4.7" // given up: the time is over
	}
	return "5.0.0"
}

// oneLine keeps words inside their field.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// encoded writes words for a field, each encoded word on a line of its own: none
// is longer than a line may be (RFC 5322, 2.1.1).
func encoded(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// xtext encodes a value as RFC 3461, 4, has it.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
