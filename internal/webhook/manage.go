package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Limits of an endpoint's settings.
const (
	MaxAttempts    = 12
	MaxInFlight    = 256
	MaxPerSecond   = 10_000
	maxDescription = 1000
	maxAccounts    = 1000
)

// Create is the input of CreateEndpoint.
type Create struct {
	URL string
	// Events is nil for every type; a list without any is refused.
	Events []event.Type
	// Accounts by id, nil for all; a list without any is refused.
	Accounts    []string
	Description string
	// Unordered gives up the order of an account's deliveries for speed after
	// failures.
	Unordered bool
	// Payload is thin where it is empty.
	Payload  Payload
	Backfill bool
	// Attempts, 0 for the default schedule of about three days; 6 is the short
	// one of about three quarters of an hour.
	Attempts int
	// Signature is SignatureHMAC where it is empty.
	Signature Signature
	// Secret is one that the owner has already; empty for a new one.
	Secret string
	// InFlight and PerSecond bound the attempts under way and begun, 0 for the
	// defaults of the outbox.
	InFlight  int
	PerSecond float64
	// Halt: what has used up its attempts is no dead letter, and what comes
	// after it in its account waits.
	Halt bool
	// Headers are added to every request.
	Headers []Header
	// ClientCertificate and ClientKey, in PEM, are shown to receivers that ask
	// for a certificate.
	ClientCertificate, ClientKey string
	// OAuth gives every request a token; nil gives none.
	OAuth *OAuth
	// Verify sends a signed ping first: an endpoint that does not accept it is
	// not made.
	Verify bool
}

// CreateEndpoint makes an endpoint and gives it with its secret, which is not
// shown again. There is none where the receiver verifies with a public key.
func (s *Service) CreateEndpoint(ctx context.Context, in Create) (*Endpoint, string, error) {
	const op = "create endpoint"
	if err := checkLists(op, in.Events, in.Accounts); err != nil {
		return nil, "", err
	}
	if in.Payload == "" {
		in.Payload = PayloadThin
	}
	c := &config{
		URL: strings.TrimSpace(in.URL), Events: distinct(in.Events), Accounts: distinct(in.Accounts), Description: in.Description,
		Payload: in.Payload, Backfill: in.Backfill, Attempts: in.Attempts, Signature: in.Signature,
		InFlight: in.InFlight, PerSecond: in.PerSecond, Halt: in.Halt, Headers: in.Headers,
		ClientCertificate: in.ClientCertificate, ClientKey: in.ClientKey, OAuth: in.OAuth,
	}
	if c.Signature == "" {
		c.Signature = SignatureHMAC
	}
	if err := s.check(op, c); err != nil {
		return nil, "", err
	}
	now := s.opts.Now().UTC()
	key, err := firstKey(op, c.Signature, in.Secret, now)
	if err != nil {
		return nil, "", err
	}
	c.Keys = []signingKey{key}
	encoded, err := c.encode()
	if err != nil {
		return nil, "", err
	}
	r := &store.Endpoint{ID: newEndpointID(), Config: encoded, Ordered: !in.Unordered, CreatedAt: now}
	if in.Verify {
		if err := s.verify(ctx, op, r, now); err != nil {
			return nil, "", err
		}
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if err := accountsExist(tx, op, c.Accounts, nil); err != nil {
			return err
		}
		if err := tx.PutEndpoint(r); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		s.changed(tx, op, r.ID, func(string) {})
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	e, err := describe(r, now)
	return e, shown(key), err
}

// Update is the input of UpdateEndpoint; what is nil stays.
type Update struct {
	ID  string
	URL *string
	// Events and Accounts hold nil for all; a list without any is refused.
	Events      *[]event.Type
	Accounts    *[]string
	Description *string
	Ordered     *bool
	Payload     *Payload
	Backfill    *bool
	Attempts    *int
	// Signature changes the kind of key. A change to Ed25519 makes a key at
	// once, and the former ones sign on for webhooks.key_overlap; a new secret
	// must be shown, and so RotateSecret makes it.
	Signature *Signature
	InFlight  *int
	PerSecond *float64
	Halt      *bool
	// Headers replace all there are, as do certificate and key; empty ones
	// remove them.
	Headers                      *[]Header
	ClientCertificate, ClientKey *string
	// OAuth replaces what there is; one without a TokenURL takes it away.
	OAuth *OAuth
	// Enabled switches the endpoint on or off. Switched on, also where it is on,
	// it is tried at once: a pause that it asked for ends, and so does waiting
	// between attempts.
	Enabled *bool
}

// UpdateEndpoint changes an endpoint. Deliveries it is owed already keep their
// bodies.
func (s *Service) UpdateEndpoint(ctx context.Context, in Update) (*Endpoint, error) {
	const op = "update endpoint"
	var events []event.Type
	var accounts []string
	set(&events, in.Events)
	set(&accounts, in.Accounts)
	if err := checkLists(op, events, accounts); err != nil {
		return nil, err
	}
	then := s.queue.Refresh
	if in.Enabled != nil && *in.Enabled {
		then = s.queue.TryNow
	}
	return s.modify(ctx, op, in.ID, then, func(tx store.Tx, r *store.Endpoint, c *config) error {
		had := c.Accounts
		set(&c.URL, in.URL)
		c.URL = strings.TrimSpace(c.URL)
		set(&c.Events, in.Events)
		set(&c.Accounts, in.Accounts)
		c.Events, c.Accounts = distinct(c.Events), distinct(c.Accounts)
		set(&c.Description, in.Description)
		set(&r.Ordered, in.Ordered)
		set(&c.Payload, in.Payload)
		set(&c.Backfill, in.Backfill)
		set(&c.Attempts, in.Attempts)
		set(&c.InFlight, in.InFlight)
		set(&c.PerSecond, in.PerSecond)
		set(&c.Halt, in.Halt)
		set(&c.Headers, in.Headers)
		set(&c.ClientCertificate, in.ClientCertificate)
		set(&c.ClientKey, in.ClientKey)
		if in.OAuth != nil {
			if c.OAuth = in.OAuth; in.OAuth.TokenURL == "" {
				c.OAuth = nil
			}
		}
		if in.Signature != nil && *in.Signature != c.Signature {
			if err := s.resign(op, c, *in.Signature); err != nil {
				return err
			}
		}
		if err := s.check(op, c); err != nil {
			return err
		}
		if in.Accounts != nil {
			if err := accountsExist(tx, op, c.Accounts, had); err != nil {
				return err
			}
		}
		if in.URL != nil {
			r.PausedUntil = time.Time{} // that was said by somebody else
		}
		switch {
		case in.Enabled == nil:
		case *in.Enabled:
			enable(r)
		case !r.Disabled:
			r.Disabled, r.Reason = true, "disabled by its owner"
		}
		return nil
	})
}

// enable lets an endpoint have what it is owed. That it failed stays said until
// an attempt has succeeded; one that was disabled is granted as many failures
// more as it takes to disable one, and what is told on the way is told again.
func enable(r *store.Endpoint) {
	if r.Disabled {
		r.Failures, r.Told = 0, min(r.Told, 1)
	}
	r.Disabled, r.Reason, r.PausedUntil = false, "", time.Time{}
}

// modify changes an endpoint in one transaction; then tells the outbox.
func (s *Service) modify(ctx context.Context, op, id string, then func(id string), fn func(store.Tx, *store.Endpoint, *config) error) (e *Endpoint, err error) {
	err = s.store.Update(ctx, func(tx store.Tx) error {
		r, err := endpoint(tx, op, id)
		if err != nil {
			return err
		}
		c, err := decodeConfig(r.Config)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		if err := fn(tx, r, c); err != nil {
			return err
		}
		if r.Config, err = c.encode(); err != nil {
			return err
		}
		r.Edition++
		if err := tx.PutEndpoint(r); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		s.changed(tx, op, id, then)
		e, err = describe(r, s.opts.Now())
		return err
	})
	return e, err
}

// DeleteEndpoint removes an endpoint; what it was owed goes in the background.
func (s *Service) DeleteEndpoint(ctx context.Context, id string) error {
	const op = "delete endpoint"
	return s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := endpoint(tx, op, id); err != nil {
			return err
		}
		if err := outbox.Remove(tx, id); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		s.changed(tx, op, id, s.queue.Forget)
		return nil
	})
}

// GetEndpoint gives one endpoint.
func (s *Service) GetEndpoint(ctx context.Context, id string) (e *Endpoint, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		r, err := endpoint(tx, "read endpoint", id)
		if err != nil {
			return err
		}
		e, err = describe(r, s.opts.Now())
		return err
	})
	return e, err
}

// ListEndpoints gives all endpoints, oldest first.
func (s *Service) ListEndpoints(ctx context.Context) (list []*Endpoint, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		list = nil
		records, err := tx.Endpoints()
		if err != nil {
			return fmt.Errorf("list endpoints: %w", err)
		}
		for _, r := range records {
			e, err := describe(r, s.opts.Now())
			if err != nil {
				return fmt.Errorf("list endpoints: %w", err)
			}
			list = append(list, e)
		}
		return nil
	})
	sort.SliceStable(list, func(i, j int) bool { return list[i].CreatedAt.Before(list[j].CreatedAt) })
	return list, err
}

func endpoint(tx store.Tx, op, id string) (*store.Endpoint, error) {
	r, err := tx.Endpoint(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, mail.Errorf(mail.KindNotFound, op, "there is no endpoint %q", id)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return r, nil
}

// check looks at everything that needs no store.
func (s *Service) check(op string, c *config) error {
	if err := s.checkURL(op, c.URL); err != nil {
		return err
	}
	for _, t := range c.Events {
		if !t.Valid() {
			return mail.Errorf(mail.KindInvalid, op, "there is no event type %q", t)
		}
	}
	switch {
	case c.Payload != PayloadThin && c.Payload != PayloadFull:
		return mail.Errorf(mail.KindInvalid, op, "there is no payload %q, only thin and full", c.Payload)
	case !c.Signature.valid():
		return mail.Errorf(mail.KindInvalid, op, "there is no signature %q, only hmac and ed25519", c.Signature)
	case c.Attempts < 0 || c.Attempts > MaxAttempts:
		return mail.Errorf(mail.KindInvalid, op, "attempts must be between 1 and %d, or 0 for the default", MaxAttempts)
	case c.InFlight < 0 || c.InFlight > MaxInFlight:
		return mail.Errorf(mail.KindInvalid, op, "requests in flight must be between 1 and %d, or 0 for the default", MaxInFlight)
	case !(c.PerSecond >= 0 && c.PerSecond <= MaxPerSecond): // NaN too
		return mail.Errorf(mail.KindInvalid, op, "requests per second must be above 0 and at most %d, or 0 for no limit", MaxPerSecond)
	case len(c.Description) > maxDescription:
		return mail.Errorf(mail.KindInvalid, op, "the description is longer than %d characters", maxDescription)
	case len(c.Accounts) > maxAccounts:
		return mail.Errorf(mail.KindInvalid, op, "more than %d accounts; leave them out for all", maxAccounts)
	}
	if err := checkHeaders(op, c.Headers); err != nil {
		return err
	}
	if err := s.checkOAuth(op, c); err != nil {
		return err
	}
	return c.checkCertificate(op)
}

// checkLists refuses lists that name nothing: they would have to mean none,
// which is what switching an endpoint off is for, and must never mean all.
func checkLists(op string, events []event.Type, accounts []string) error {
	switch {
	case events != nil && len(events) == 0:
		return mail.Errorf(mail.KindInvalid, op, "events is empty: name at least one type, or leave it out (null in an update) for all")
	case accounts != nil && len(accounts) == 0:
		return mail.Errorf(mail.KindInvalid, op, "accounts is empty: name at least one, or leave it out (null in an update) for all")
	}
	return nil
}

// accountsExist refuses ids of accounts that are not there. Those that the
// endpoint had may be gone: what was read of it can be written back.
func accountsExist(tx store.Tx, op string, ids, had []string) error {
	for _, id := range ids {
		if slices.Contains(had, id) {
			continue
		}
		if _, err := tx.Account(id); errors.Is(err, store.ErrNotFound) {
			return mail.Errorf(mail.KindInvalid, op, "there is no account %q", id)
		} else if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// distinct sorts and drops repetitions; an empty list is nil.
func distinct[T ~string](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
