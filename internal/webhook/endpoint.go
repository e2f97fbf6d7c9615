package webhook

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// Payload says how much a body tells.
type Payload string

// Payloads.
const (
	// PayloadThin: ids, mailboxes, keywords, what changed; envelope and preview
	// of new messages.
	PayloadThin Payload = "thin"
	// PayloadFull: headers, text and HTML too, up to a limit.
	PayloadFull Payload = "full"
)

// State is how an endpoint is doing.
type State string

// States of an endpoint, in the words of the API.
const (
	StateActive State = "active"
	// StateFailing: its last attempt failed. It may have asked for a pause.
	StateFailing  State = "failing"
	StateDisabled State = "disabled"
)

// Endpoint is an endpoint as its owner sees it. Its secret is shown when it is
// made or rotated, and never again.
type Endpoint struct {
	ID          string
	URL         string
	Events      []event.Type
	Accounts    []string
	Description string
	Ordered     bool
	Payload     Payload
	Backfill    bool
	// Attempts is the number of attempts a delivery gets, 0 for the default.
	Attempts int
	// InFlight and PerSecond are 0 for the defaults.
	InFlight  int
	PerSecond float64
	// Halt: its accounts' deliveries wait for one that has used up its attempts.
	Halt bool
	// Headers are the names of those that are added; ClientCertificate is PEM.
	Headers           []string
	ClientCertificate string
	// OAuth has no secret here; nil where there is none.
	OAuth *OAuth
	// Signature is the kind of its current key, Keys those that sign now, newest
	// first.
	Signature Signature
	Keys      []Key
	CreatedAt time.Time

	State State
	// Reason says why it is disabled.
	Reason string
	// FailingSince is zero while all is well; Failures counts since then.
	FailingSince  time.Time
	Failures      int
	LastSuccessAt time.Time
	PausedUntil   time.Time
}

// config is what the store keeps for us, in Endpoint.Config.
type config struct {
	URL         string       `json:"url"`
	Events      []event.Type `json:"events,omitempty"`
	Accounts    []string     `json:"accounts,omitempty"`
	Description string       `json:"description,omitempty"`
	Payload     Payload      `json:"payload"`
	Backfill    bool         `json:"backfill,omitempty"`
	Attempts    int          `json:"attempts,omitempty"`
	InFlight    int          `json:"inFlight,omitempty"`
	PerSecond   float64      `json:"perSecond,omitempty"`
	Halt        bool         `json:"halt,omitempty"`
	Headers     []Header     `json:"headers,omitempty"`
	// ClientCertificate and ClientKey are PEM.
	ClientCertificate string `json:"clientCertificate,omitempty"`
	ClientKey         string `json:"clientKey,omitempty"`
	OAuth             *OAuth `json:"oauth,omitempty"`
	// Signature is the kind of the next key.
	Signature Signature `json:"signature,omitempty"`
	// Keys sign, newest first.
	Keys []signingKey `json:"keys"`
}

func (c *config) encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode endpoint: %w", err)
	}
	return b, nil
}

func decodeConfig(b []byte) (*config, error) {
	c := &config{}
	if err := json.Unmarshal(b, c); err != nil {
		// The error of package json may quote what it read.
		return nil, fmt.Errorf("decode endpoint: the record is damaged")
	}
	for i := range c.Keys {
		if err := c.Keys[i].decode(); err != nil {
			return nil, fmt.Errorf("decode endpoint: %w", err)
		}
	}
	if c.Signature == "" {
		c.Signature = SignatureHMAC
	}
	return c, nil
}

// wants reports whether the endpoint asked for an event.
func (t *target) wants(e *event.Event) bool {
	c := t.config
	switch {
	case e.Internal:
		return false
	case e.Type == event.Ping:
		return e.Endpoint == t.id
	case e.Endpoint == t.id:
		return false // what there is to say of it is said to others
	case e.Backfill && !c.Backfill:
		return false
	case len(c.Events) > 0 && !slices.Contains(c.Events, e.Type):
		return false
	}
	return len(c.Accounts) == 0 || slices.Contains(c.Accounts, e.Account)
}

// describe makes the owner's view of a record.
func describe(r *store.Endpoint, now time.Time) (*Endpoint, error) {
	c, err := decodeConfig(r.Config)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		ID: r.ID, URL: c.URL, Events: c.Events, Accounts: c.Accounts, Description: c.Description,
		Ordered: r.Ordered, Payload: c.Payload, Backfill: c.Backfill, Attempts: c.Attempts, CreatedAt: r.CreatedAt,
		State: StateActive, Reason: r.Reason, FailingSince: r.Failing, Failures: r.Failures, LastSuccessAt: r.LastOKAt,
	}
	e.Signature, e.InFlight, e.PerSecond, e.ClientCertificate = c.Signature, c.InFlight, c.PerSecond, c.ClientCertificate
	e.Halt = c.Halt
	if c.OAuth != nil {
		e.OAuth = &OAuth{TokenURL: c.OAuth.TokenURL, ClientID: c.OAuth.ClientID, Scopes: c.OAuth.Scopes}
	}
	for _, h := range c.Headers {
		e.Headers = append(e.Headers, h.Name)
	}
	for _, k := range c.active(now) {
		e.Keys = append(e.Keys, k.describe())
	}
	if r.PausedUntil.After(now) && !r.Disabled {
		e.PausedUntil = r.PausedUntil
	}
	switch {
	case r.Disabled:
		e.State = StateDisabled
	case !r.Failing.IsZero():
		e.State = StateFailing
	}
	return e, nil
}

// Limits gives what an endpoint grants its deliveries. It is
// outbox.Options.Limits.
func Limits(r *store.Endpoint) outbox.Limits {
	var c config
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return outbox.Limits{}
	}
	return outbox.Limits{Attempts: c.Attempts, InFlight: c.InFlight, PerSecond: c.PerSecond, Halt: c.Halt}
}

func newEndpointID() string { return "ep_" + strings.ToLower(rand.Text()) }
