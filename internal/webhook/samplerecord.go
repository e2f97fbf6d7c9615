package webhook

import (
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Ids of things that do not exist.
const (
	sampleAccount    = "a-example"
	sampleMessage    = "m-example"
	sampleMailbox    = "f-example"
	sampleArchive    = "f-archive"
	sampleSubmission = "s-example"
	sampleProvider   = "example"
)

// sampleEvent is an event of a type as the journal has them.
func sampleEvent(t event.Type, endpoint string, now time.Time) event.Event {
	e := event.Event{Type: t, Account: sampleAccount}
	switch kind, _, _ := strings.Cut(string(t), "."); kind {
	case "message":
		e.Message = sampleMessage
		e.Snapshot = &event.Snapshot{
			ProviderID: "provider-example", Thread: "t-example", Mailboxes: []string{sampleMailbox}, Keywords: []string{mail.Seen},
			Subject: "An example", From: []mail.Address{{Name: "Eve Example", Email: "eve@example.com"}},
			To: []mail.Address{{Name: "Ada Example", Email: "ada@example.com"}}, MessageID: "example@example.com",
			SentAt: now, ReceivedAt: now, Preview: "This message does not exist.", Size: 1024,
		}
		switch t {
		case event.MessageCreated:
			e.AddedMailboxes, e.AddedKeywords = e.Snapshot.Mailboxes, e.Snapshot.Keywords
		case event.MessageDeleted:
			e.RemovedMailboxes = e.Snapshot.Mailboxes
		default: // somebody has read it and moved it
			e.AddedKeywords, e.RemovedKeywords = []string{mail.Seen}, []string{mail.Flagged}
			e.AddedMailboxes, e.RemovedMailboxes = e.Snapshot.Mailboxes, []string{sampleArchive}
		}
	case "mailbox":
		e.Mailbox = sampleMailbox
	case "submission":
		e.Submission = sampleSubmission
		if t == event.SubmissionFailed {
			e.Reason = "over_quota: an example of a reason"
		} else {
			e.Message = sampleMessage
		}
	case "endpoint":
		e.Account, e.Endpoint = "", endpoint
		switch t {
		case event.EndpointFailing:
			e.Percent = 50
		case event.EndpointDisabled:
			e.Percent, e.Reason = 100, "no attempt has succeeded for 120h0m0s; the last one: answered 503 Service Unavailable"
		case event.EndpointDeadLetters:
			e.DeadLetters = 10
		}
	case "provider":
		e.Account, e.Provider = "", sampleProvider
		if t == event.ProviderMisconfigured {
			e.Reason = "an example of a reason: the client secret has expired"
		}
	default:
		if t == event.AccountGrantExpired {
			e.Reason = "an example of a reason: the owner has withdrawn the consent"
		}
	}
	return e
}

// sampleRecords are what the store would have had when a sample's event was
// journalled. Only the endpoint is there, and only its description is its own.
type sampleRecords struct {
	t        event.Type
	endpoint *store.Endpoint
	now      time.Time
}

// sampleWriter renders with the code that real bodies are rendered with.
func sampleWriter(r sampleRecords) *writer {
	return &writer{records: r, sample: true, accounts: map[string]*accountJSON{},
		full: func(string) (Full, bool) {
			return Full{
				Headers: []mail.Header{{Name: "Subject", Value: "An example"}},
				Text:    "This message does not exist.\n", HTML: "<p>This message does not exist.</p>",
			}, true
		},
		link: func(string) string { return "" }, // nothing is cut
	}
}

func (r sampleRecords) Account(string) (*store.Account, error) {
	a := &store.Account{ID: sampleAccount, Address: "ada@example.com", Provider: sampleProvider, ExternalID: "customer-1", State: store.AccountReady}
	switch r.t {
	case event.AccountGrantExpired:
		a.State = store.AccountGrantExpired
	case event.AccountConnected:
		a.State = store.AccountSyncing
	}
	return a, nil
}

// Mailbox is not there when it is told that it is gone.
func (r sampleRecords) Mailbox(id string) (*store.Mailbox, error) {
	if r.t == event.MailboxDeleted {
		return nil, store.ErrNotFound
	}
	return &store.Mailbox{ID: id, Account: sampleAccount, Name: "Examples", Parent: sampleArchive, Kind: mail.KindFolder}, nil
}

// Message is never asked for: events about messages have a snapshot.
func (r sampleRecords) Message(string) (*store.Message, error) { return nil, store.ErrNotFound }

func (r sampleRecords) Submission(id string) (*store.Submission, error) {
	return &store.Submission{ID: id, Account: sampleAccount, MessageID: "example@example.com", Subject: "An example",
		From: "ada@example.com", Recipients: []string{"eve@example.com"}}, nil
}

func (r sampleRecords) Endpoint(id string) (*store.Endpoint, error) {
	e := &store.Endpoint{ID: id, Config: r.endpoint.Config, Ordered: r.endpoint.Ordered, CreatedAt: r.endpoint.CreatedAt, LastOKAt: r.now}
	if r.t != event.EndpointRecovered {
		e.Failing, e.Failures = r.now.Add(-time.Hour), 20
	}
	return e, nil
}
