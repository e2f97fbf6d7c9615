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
}

// StepDiscard is the step of one that has ended and whose draft has still to
// be deleted.
const StepDiscard = "discard"

// Ended reports whether nothing more can become of it.
func (s *Submission) Ended() bool {
	return s.State != SubmissionScheduled && s.State != SubmissionSending
}

// Waits reports whether there is something left to do: until it has ended, and
// its draft is deleted if it is not to be sent.
func (s *Submission) Waits() bool { return !s.Ended() || s.Step == StepDiscard }

// Submissions is the noun of messages on their way out.
type Submissions interface {
	Submission(id string) (*Submission, error)
	// PutSubmission keeps the index of due times (NextAt of those that wait),
	// of idempotency keys, and of drafts by account and DraftID.
	PutSubmission(s *Submission) error
	// SubmissionByKey finds a submission by its account's idempotency key.
	SubmissionByKey(account, key string) (*Submission, error)
	// SubmissionByMessageID finds an unfinished or recent submission by its
	// Message-ID, so that its draft stays hidden.
	SubmissionByMessageID(account, messageID string) (*Submission, error)
	// SubmissionByDraft finds a submission by its draft at the provider.
	SubmissionByDraft(account, draftID string) (*Submission, error)
	// DueSubmissions lists those due at or before t, earliest first.
	DueSubmissions(t time.Time, limit int) ([]*Submission, error)
	NextSubmission() (time.Time, error)
	// TrimSubmissions drops those done before t that wait for nothing.
	TrimSubmissions(t time.Time, limit int) (dropped int, err error)
}
