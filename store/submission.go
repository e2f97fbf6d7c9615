package store

import "time"

// SubmissionState is where a submission stands.
type SubmissionState string

// States of a submission.
const (
	SubmissionScheduled SubmissionState = "scheduled"
	SubmissionSending   SubmissionState = "sending"
	SubmissionSent      SubmissionState = "sent"
	SubmissionFailed    SubmissionState = "failed"
	SubmissionCancelled SubmissionState = "cancelled"
)

// Submission is a message on its way out.
type Submission struct {
	ID      string
	Account string
	State   SubmissionState
	// Step is the last step that was begun: "", "prepare", "ready", "send",
	// "restored", StepDiscard, or what became of the last.
	Step string
	// Blob is the raw message, synced to disk before the submission exists.
	Blob       string
	Size       int64
	From       string
	Recipients []string
	Subject    string
	MessageID  string
	// GivenMessageID is the Message-ID that the message was given with, where
	// somebody may look for it by that: the provider may send under another.
	GivenMessageID string
	// InReplyTo and Thread are our ids of what is answered, or forwarded where
	// Forward is set.
	InReplyTo string
	Forward   bool
	Thread    string
	// Prepared is the draft at the provider, as its plugin described it.
	DraftID       string
	DraftState    []byte
	SentMessageID string
	// SentProviderID names the copy in Sent once it is known.
	SentProviderID string
	IdempotencyKey string
	// Fingerprint is a digest of what was given, by which a repeated Submit is
	// told from another message under the same key.
	Fingerprint string
	SendAt      time.Time
	NextAt      time.Time
	Attempts    int
	Error       string
	CreatedAt   time.Time
	DoneAt      time.Time
	// Report is what its sender is told by mail; nil is nothing.
	Report *Report
}

// Report is what the sender of a submission wants to be told by mail (RFC
// 3461), and where that stands.
type Report struct {
	State ReportState
	// HeadersOnly leaves the body of the message out.
	HeadersOnly bool
	EnvelopeID  string
	Recipients  []ReportRecipient
}

// ReportRecipient says of one recipient when to report.
type ReportRecipient struct {
	Address string
	// Original is who it was for in the sender's eyes, with its type.
	Original         string
	Failure, Success bool
}

// ReportState is where a report stands.
type ReportState string

// States of a report. ReportOpen is one about which nothing is to be told yet;
// it stays so where there never is.
const (
	ReportOpen ReportState = ""
	ReportDue  ReportState = "due"
	ReportDone ReportState = "done"
	ReportLeft ReportState = "left" // it could not be delivered
)

// StepDiscard is the step of one that has ended and whose draft has still to
// be deleted.
const StepDiscard = "discard"

// Ended reports whether nothing more can become of it.
func (s *Submission) Ended() bool {
	return s.State != SubmissionScheduled && s.State != SubmissionSending
}

// Waits reports whether there is something left to do: until it has ended, its
// draft is deleted if it is not to be sent, and its sender was told.
func (s *Submission) Waits() bool {
	return !s.Ended() || s.Step == StepDiscard || s.Report != nil && s.Report.State == ReportDue
}

// Submissions is the noun of messages on their way out.
type Submissions interface {
	Submission(id string) (*Submission, error)
	// PutSubmission keeps the index of due times (NextAt of those that wait),
	// of idempotency keys, and of drafts by account and DraftID.
	PutSubmission(s *Submission) error
	// SubmissionByKey finds a submission by its account's idempotency key.
	SubmissionByKey(account, key string) (*Submission, error)
	// SubmissionByMessageID finds an unfinished or recent submission by its
	// Message-ID or its GivenMessageID, so that its draft stays hidden, and a
	// copy of it is known.
	SubmissionByMessageID(account, messageID string) (*Submission, error)
	// SubmissionByDraft finds a submission by its draft at the provider.
	SubmissionByDraft(account, draftID string) (*Submission, error)
	// DueSubmissions lists those due at or before t, earliest first. Of those that
	// cannot be read its error tells, beside the list of the others.
	DueSubmissions(t time.Time, limit int) ([]*Submission, error)
	NextSubmission() (time.Time, error)
	// TrimSubmissions drops those done before t that wait for nothing.
	TrimSubmissions(t time.Time, limit int) (dropped int, err error)
}
