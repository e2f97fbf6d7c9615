package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Limits of a full payload, in bytes.
const (
	maxText    = 128 << 10
	maxHeaders = 32 << 10
)

// timestamp is RFC 3339 in UTC with milliseconds.
const timestamp = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(timestamp)
	return &s
}

// bodyJSON is the body of every webhook.
type bodyJSON struct {
	Type      event.Type   `json:"type"`
	Timestamp *string      `json:"timestamp"`
	ID        string       `json:"id"`
	Account   *accountJSON `json:"account"`
	Sequence  uint64       `json:"sequence"`
	Cursor    string       `json:"cursor"`
	// Test: nothing of this has happened.
	Test bool `json:"test,omitempty"`
	Data any  `json:"data"`
}

type accountJSON struct {
	ID         string  `json:"id"`
	Address    string  `json:"address"`
	ExternalID *string `json:"externalId"`

	provider string
	state    store.AccountState
}

type messageJSON struct {
	Message          string        `json:"message"`
	ProviderID       string        `json:"providerId"`
	Thread           string        `json:"thread"`
	Mailboxes        []string      `json:"mailboxes"`
	Keywords         []string      `json:"keywords"`
	AddedKeywords    []string      `json:"addedKeywords"`
	RemovedKeywords  []string      `json:"removedKeywords"`
	AddedMailboxes   []string      `json:"addedMailboxes"`
	RemovedMailboxes []string      `json:"removedMailboxes"`
	Backfill         bool          `json:"backfill"`
	Envelope         *envelopeJSON `json:"envelope,omitempty"`
	Preview          *string       `json:"preview,omitempty"`
	*contentJSON
}

type envelopeJSON struct {
	Subject        string        `json:"subject"`
	From           []addressJSON `json:"from"`
	To             []addressJSON `json:"to"`
	Cc             []addressJSON `json:"cc"`
	MessageID      string        `json:"messageId"`
	SentAt         *string       `json:"sentAt"`
	ReceivedAt     *string       `json:"receivedAt"`
	HasAttachments bool          `json:"hasAttachments"`
	// Size is null until it is known.
	Size *int64 `json:"size"`
}

type addressJSON struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

type headerJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// contentJSON is what a full payload has beside the thin one.
type contentJSON struct {
	Headers   []headerJSON `json:"headers,omitempty"`
	Text      string       `json:"text,omitempty"`
	HTML      string       `json:"html,omitempty"`
	Truncated bool         `json:"truncated"`
	Link      string       `json:"link,omitempty"`
}

type mailboxJSON struct {
	Mailbox string           `json:"mailbox"`
	Name    string           `json:"name,omitempty"`
	Parent  *string          `json:"parent"`
	Role    *mail.Role       `json:"role"`
	Kind    mail.MailboxKind `json:"kind,omitempty"`
}

type accountStateJSON struct {
	Provider string             `json:"provider"`
	State    store.AccountState `json:"state,omitempty"`
	Reason   string             `json:"reason,omitempty"`
}

type submissionJSON struct {
	Submission string   `json:"submission"`
	Message    *string  `json:"message"`
	MessageID  string   `json:"messageId"`
	Subject    string   `json:"subject"`
	From       string   `json:"from"`
	Recipients []string `json:"recipients"`
	Error      string   `json:"error,omitempty"`
}

type endpointJSON struct {
	Endpoint    string `json:"endpoint"`
	Description string `json:"description,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Percent is how far it is on its way to being disabled, nil where that is
	// not what is told.
	Percent      *int    `json:"percent,omitempty"`
	FailingSince *string `json:"failingSince,omitempty"`
	Failures     int     `json:"failures,omitempty"`
	DeadLetters  int64   `json:"deadLetters,omitempty"`
}

type providerJSON struct {
	Provider string `json:"provider"`
	Reason   string `json:"reason,omitempty"`
}

// records are what bodies tell beside the event itself. A store.Tx has them;
// samples are of records that do not exist.
type records interface {
	Account(id string) (*store.Account, error)
	Mailbox(id string) (*store.Mailbox, error)
	Message(id string) (*store.Message, error)
	Submission(id string) (*store.Submission, error)
	Endpoint(id string) (*store.Endpoint, error)
}

// writer renders events inside one transaction.
type writer struct {
	records  records
	full     func(message string) (Full, bool)
	link     func(message string) string
	accounts map[string]*accountJSON
	// sample: what is written about does not exist.
	sample bool
}

// writer gives one that tells what a transaction sees.
func (s *Service) writer(tx store.Tx) *writer {
	return &writer{records: tx, link: s.opts.Link, accounts: map[string]*accountJSON{}, full: func(message string) (Full, bool) {
		if s.opts.Content == nil {
			return Full{}, false
		}
		return s.opts.Content.Full(tx, message)
	}}
}

// body renders an event.
func (w *writer) body(e *event.Event, rendition Payload) ([]byte, error) {
	account, err := w.account(e.Account)
	if err != nil {
		return nil, err
	}
	data, err := w.data(e, account, rendition)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err = enc.Encode(bodyJSON{
		Type: e.Type, Timestamp: stamp(e.Time), ID: e.ID, Account: account,
		Sequence: e.Sequence, Cursor: e.Cursor().String(), Test: w.sample, Data: data,
	})
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// account looks an account up once per transaction. One that is gone already
// is told by its id.
func (w *writer) account(id string) (*accountJSON, error) {
	if id == "" {
		return nil, nil
	}
	if a := w.accounts[id]; a != nil {
		return a, nil
	}
	a := &accountJSON{ID: id}
	switch r, err := w.records.Account(id); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("read account: %w", err)
	default:
		a.Address, a.provider, a.state = r.Address, r.Provider, r.State
		if r.ExternalID != "" {
			a.ExternalID = &r.ExternalID
		}
	}
	w.accounts[id] = a
	return a, nil
}

func (w *writer) data(e *event.Event, account *accountJSON, rendition Payload) (any, error) {
	switch e.Type {
	case event.MessageCreated, event.MessageUpdated, event.MessageDeleted:
		return w.message(e, rendition)
	case event.MailboxCreated, event.MailboxUpdated, event.MailboxDeleted:
		return w.mailbox(e)
	case event.SubmissionSent, event.SubmissionFailed:
		return w.submission(e)
	case event.Ping:
		return endpointJSON{Endpoint: e.Endpoint, Reason: e.Reason}, nil
	case event.EndpointFailing, event.EndpointDisabled, event.EndpointRecovered, event.EndpointDeadLetters:
		return w.endpoint(e)
	case event.ProviderMisconfigured, event.ProviderRecovered:
		return providerJSON{Provider: e.Provider, Reason: e.Reason}, nil
	default:
		s := accountStateJSON{Reason: e.Reason}
		if account != nil {
			s.Provider, s.State = account.provider, account.state
		}
		return s, nil
	}
}

// message tells of a message: from the event's own snapshot where it has one,
// from the mirror otherwise.
func (w *writer) message(e *event.Event, rendition Payload) (any, error) {
	m := messageJSON{
		Message: e.Message, Backfill: e.Backfill,
		AddedKeywords: list(e.AddedKeywords), RemovedKeywords: list(e.RemovedKeywords),
		AddedMailboxes: list(e.AddedMailboxes), RemovedMailboxes: list(e.RemovedMailboxes),
		Mailboxes: []string{}, Keywords: []string{},
	}
	if s := e.Snapshot; s != nil {
		m.ProviderID, m.Thread = s.ProviderID, s.Thread
		m.Mailboxes, m.Keywords = list(s.Mailboxes), list(s.Keywords)
		m.Preview = &s.Preview
		m.Envelope = &envelopeJSON{
			Subject: s.Subject, From: addresses(s.From), To: addresses(s.To), Cc: addresses(s.Cc), MessageID: s.MessageID,
			SentAt: stamp(s.SentAt), ReceivedAt: stamp(s.ReceivedAt), HasAttachments: s.HasAttachments,
		}
		if s.Size > 0 {
			m.Envelope.Size = &s.Size
		}
	} else {
		switch r, err := w.records.Message(e.Message); {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("read message: %w", err)
		default:
			m.ProviderID, m.Thread = r.ProviderID, r.Thread
			m.Mailboxes, m.Keywords = list(r.In), list(r.AllKeywords())
		}
	}
	if rendition == PayloadFull {
		m.contentJSON = w.content(e.Message)
	}
	return m, nil
}

// content cuts what is known of a message to the limits.
func (w *writer) content(message string) *contentJSON {
	c := &contentJSON{Truncated: true}
	if full, ok := w.full(message); ok {
		c.Truncated = full.Truncated
		size := 0
		for _, h := range full.Headers {
			if size += len(h.Name) + len(h.Value); size > maxHeaders {
				c.Truncated = true
				break
			}
			c.Headers = append(c.Headers, headerJSON(h))
		}
		c.Text = cut(full.Text, &c.Truncated)
		c.HTML = cut(full.HTML, &c.Truncated)
	}
	if c.Truncated {
		c.Link = w.link(message)
	}
	return c
}

// cut shortens a text at a character's boundary.
func cut(s string, truncated *bool) string {
	if len(s) <= maxText {
		return s
	}
	*truncated = true
	n := maxText
	for n > maxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// endpoint tells of an endpoint to others: not its URL, which may hold what
// only its owner should know.
func (w *writer) endpoint(e *event.Event) (any, error) {
	j := endpointJSON{Endpoint: e.Endpoint, Reason: e.Reason, DeadLetters: e.DeadLetters}
	if e.Type == event.EndpointFailing || e.Type == event.EndpointDisabled {
		j.Percent = &e.Percent
	}
	switch r, err := w.records.Endpoint(e.Endpoint); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("read endpoint: %w", err)
	default:
		j.FailingSince, j.Failures = stamp(r.Failing), r.Failures
		if c, err := decodeConfig(r.Config); err == nil {
			j.Description = c.Description
		}
	}
	return j, nil
}

func (w *writer) mailbox(e *event.Event) (any, error) {
	m := mailboxJSON{Mailbox: e.Mailbox}
	switch r, err := w.records.Mailbox(e.Mailbox); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("read mailbox: %w", err)
	default:
		m.Name, m.Kind = r.Name, r.Kind
		if r.Parent != "" {
			m.Parent = &r.Parent
		}
		if r.Role != mail.RoleNone {
			m.Role = &r.Role
		}
	}
	return m, nil
}

func (w *writer) submission(e *event.Event) (any, error) {
	s := submissionJSON{Submission: e.Submission, Recipients: []string{}, Error: e.Reason}
	if e.Message != "" {
		s.Message = &e.Message
	}
	switch r, err := w.records.Submission(e.Submission); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("read submission: %w", err)
	default:
		s.MessageID, s.Subject, s.From, s.Recipients = r.MessageID, r.Subject, r.From, list(r.Recipients)
		if s.Error == "" {
			s.Error = r.Error
		}
	}
	return s, nil
}

// list makes an empty list of none, so that receivers find [] and never null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func addresses(from []mail.Address) []addressJSON {
	to := make([]addressJSON, len(from))
	for i, a := range from {
		to[i] = addressJSON(a)
	}
	return to
}
