package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// ConnectInput begins a consent.
type ConnectInput struct {
	Provider string
	// ReturnURL is where the owner ends up, with ?status=connected|error&
	// account=&code=. Empty shows a page of ours.
	ReturnURL       string
	ExternalID      string
	LoginHint       string
	ExpectedAddress string
}

// Link is what to send the owner.
type Link struct {
	URL     string
	Expires time.Time
}

// hash is how links and states are stored: who reads the store cannot use
// them.
func hash(secret string) string {
	sum := sha256.Sum256([]byte("connect\x00" + secret))
	return hex.EncodeToString(sum[:])
}

// BeginConnect makes a link at which an owner consents.
func (s *Service) BeginConnect(ctx context.Context, in ConnectInput) (Link, error) {
	info, err := s.providers.Info(in.Provider)
	if err != nil {
		return Link{}, err
	}
	if !info.Has(provider.CapConnect) {
		return Link{}, mail.Errorf(mail.KindInvalid, "begin connect", "provider %q has no sign-in", in.Provider)
	}
	if in.ReturnURL != "" {
		if err := checkReturnURL(in.ReturnURL); err != nil {
			return Link{}, err
		}
	}
	token := rand.Text() + rand.Text()
	c := &store.Connect{
		Link: hash(token), Provider: in.Provider, ReturnURL: in.ReturnURL, ExternalID: in.ExternalID,
		LoginHint: in.LoginHint, ExpectedAddress: in.ExpectedAddress, ExpiresAt: s.now().Add(s.opts.LinkLife),
	}
	if c.LoginHint == "" {
		c.LoginHint = in.ExpectedAddress
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.ExpireConnects(s.now(), 100); err != nil {
			return err
		}
		return tx.PutConnect(c)
	})
	if err != nil {
		return Link{}, err
	}
	return Link{URL: s.opts.PublicURL.JoinPath("connect", token).String(), Expires: c.ExpiresAt}, nil
}

func checkReturnURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https", u.Fragment != "":
		return mail.Errorf(mail.KindInvalid, "begin connect", "redirectUrl must be an absolute http or https URL without a fragment")
	case u.User != nil:
		return mail.Errorf(mail.KindInvalid, "begin connect", "redirectUrl must not hold credentials")
	}
	return nil
}

// usable says why a pending consent cannot be gone on with.
func (s *Service) usable(c *store.Connect, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &mail.Error{Kind: mail.KindNotFound, Op: "connect", Code: "link_unknown", Message: "this link is not known; ask for a new one"}
	case err != nil:
		return err
	case !c.UsedAt.IsZero():
		return &mail.Error{Kind: mail.KindConflict, Op: "connect", Code: "link_used", Message: "this link was used already; ask for a new one"}
	case !c.ExpiresAt.After(s.now()):
		err := &mail.Error{Kind: mail.KindInvalid, Op: "connect", Code: "link_expired", Message: "this link has expired; ask for a new one"}
		if c.ReturnURL == "" {
			return err
		}
		return &Again{URL: withOutcome(c.ReturnURL, &Finished{Err: err}), Err: err}
	}
	return nil
}

func (s *Service) redirectURL(providerName string) string {
	return s.opts.PublicURL.JoinPath("oauth", providerName, "callback").String()
}

// Finished is the end of a consent.
type Finished struct {
	// Return is where to send the owner, empty where a page of ours is shown.
	Return  string
	Account string
	Address string
	// Err is why no account was connected, or why an administrator did not
	// allow the application.
	Err error
	// ApprovalURL is where an administrator can allow the application, where
	// the owner may not: it can be handed on.
	ApprovalURL string
	// Approval is set where it was an administrator who came back, and nothing
	// was to be connected.
	Approval *Approval
}

// Callback takes what the provider sent the owner's browser back with. The
// error it returns concerns requests that belong to no consent of ours, or not
// to this browser, and leaves the consent as it was; everything else is in
// Finished.
func (s *Service) Callback(ctx context.Context, providerName, browser string, params map[string][]string) (*Finished, error) {
	state := url.Values(params).Get("state")
	if state == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: "connect", Code: "state_missing", Message: "the answer names no state"}
	}
	if isApproval(state) {
		return s.approved(ctx, providerName, state, params)
	}
	var c *store.Connect
	var o *opening
	// Taking the state is one transaction: of two equal callbacks one wins. The
	// link itself is used up once an account is connected: after a denial or a
	// passing fault it can be opened again.
	err := s.store.Update(ctx, func(tx store.Tx) (err error) {
		c, err = tx.ConnectByState(stateLink(state))
		if err := s.usable(c, err); err != nil {
			return err
		}
		if c.Provider != providerName {
			return &mail.Error{Kind: mail.KindInvalid, Op: "connect", Code: "state_foreign", Message: "the state belongs to another provider"}
		}
		o, err = s.takeState(tx, c, state, browser)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := &Finished{Return: c.ReturnURL}
	f.Account, f.Address, f.Err = s.finish(ctx, c, o.Plugin, params)
	f.ApprovalURL = s.awaitApproval(ctx, c, f.Err)
	if f.Return != "" {
		f.Return = withOutcome(f.Return, f)
	}
	return f, nil
}

func withOutcome(raw string, f *Finished) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	q := u.Query()
	if f.Err != nil {
		q.Set("status", "error")
		q.Set("code", ErrorCode(f.Err))
	} else {
		q.Set("status", "connected")
		q.Set("account", f.Account)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// ErrorCode is the code that the return URL carries: our own code where there
// is one, else the kind of the error.
func ErrorCode(err error) string {
	var e *mail.Error
	if errors.As(err, &e) && e.Code == strings.ToLower(e.Code) && e.Code != "" && !strings.ContainsAny(e.Code, " :") {
		return e.Code
	}
	if mail.KindOf(err) == mail.KindForbidden {
		return "access_denied"
	}
	return string(mail.KindOf(err))
}

func (s *Service) finish(ctx context.Context, c *store.Connect, pending []byte, params map[string][]string) (account, address string, err error) {
	p, err := s.providers.Provider(c.Provider)
	if err != nil {
		return "", "", err
	}
	resp, err := p.FinishConnect(ctx, &provider.FinishConnectRequest{
		Pending: pending, RedirectURL: s.redirectURL(c.Provider), Params: params,
		ApprovalState: approvalState(c.Link)})
	if err != nil {
		s.refusedApplication(ctx, c.Provider, err)
		return "", "", fmt.Errorf("finish connect: %w", err)
	}
	s.works(ctx, c.Provider, "", true)
	if len(resp.Accounts) == 0 {
		return "", "", mail.Errorf(mail.KindInternal, "finish connect", "the provider named no account")
	}
	if want := c.ExpectedAddress; want != "" {
		if !slices.ContainsFunc(resp.Accounts, func(a provider.ConnectedAccount) bool { return strings.EqualFold(a.Address, want) }) {
			return "", "", &mail.Error{Kind: mail.KindConflict, Op: "connect", Code: "address_mismatch", Message: "another address was signed in with than the one expected"}
		}
	}
	var ids []string
	err = s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		ids = ids[:0]
		if err := s.useLink(tx, c.Link); err != nil {
			return err
		}
		g := &store.Grant{ID: event.HashID("g", c.Provider, resp.Accounts[0].Subject), Provider: c.Provider,
			Granted: resp.Granted, Bytes: resp.Grant, UpdatedAt: s.now()}
		for _, ca := range resp.Accounts {
			id := ID(c.Provider, ca.Subject, ca.Address)
			g.Accounts = append(g.Accounts, id)
			ids = append(ids, id)
		}
		if err := tx.PutGrant(g); err != nil {
			return err
		}
		for i, ca := range resp.Accounts {
			if err := s.connected(tx, b, ids[i], c, ca, g.ID, resp); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", "", err
	}
	for i, ca := range resp.Accounts {
		open := &provider.OpenRequest{Account: ids[i], Subject: ca.Subject, Address: ca.Address, Grant: resp.Grant}
		if err := p.Open(ctx, open); err != nil {
			// The account is connected; it is opened when it is first used.
			s.log.WarnContext(ctx, "plugin did not open the account", "account", ids[i], "error", err)
		}
		if !resp.ExpiresAt.IsZero() {
			s.log.WarnContext(ctx, "the consent ends whatever is done", "account", ids[i], "provider", c.Provider,
				"ends", resp.ExpiresAt, "reason", resp.ExpiresReason)
		}
		s.senders.anew(ids[i])
		s.mirror.Touch(ctx, ids[i])
		s.watches.due(ids[i])
	}
	return ids[0], resp.Accounts[0].Address, nil
}

// useLink uses a link up; of two sign-ins through it the first wins.
func (s *Service) useLink(tx store.Tx, link string) error {
	c, err := tx.ConnectByLink(link)
	if errors.Is(err, store.ErrNotFound) {
		return nil // expired and dropped while the provider was asked
	}
	if err == nil && !c.UsedAt.IsZero() {
		return s.usable(c, nil)
	}
	if err != nil {
		return err
	}
	c.UsedAt = s.now()
	return tx.PutConnect(c)
}

// connected writes one account of a new grant. One that was there before
// keeps everything and is told as recovered.
func (s *Service) connected(tx store.Tx, b *journal.Batch, id string, c *store.Connect, ca provider.ConnectedAccount, grant string, resp *provider.FinishConnectResponse) error {
	a, err := tx.Account(id)
	kind := event.AccountRecovered
	switch {
	case errors.Is(err, store.ErrNotFound):
		kind = event.AccountConnected
		a = &store.Account{ID: id, Provider: c.Provider, Subject: ca.Subject, Mirror: store.MirrorMetadata,
			State: store.AccountConnecting, CreatedAt: s.now(),
			// Dates of messages have seconds: what arrives in this one counts
			// as arrived after connecting.
			ConnectedAt: s.now().Truncate(time.Second)}
	case err != nil:
		return err
	case a.State == store.AccountGrantExpired || a.State == store.AccountError:
		a.State = store.AccountReady
		if a.SyncedAt.IsZero() {
			a.State = store.AccountSyncing
		}
		if a.Paused {
			a.State = store.AccountPaused
		}
	default:
		kind = "" // connected again while all was well
	}
	a.Grant, a.Address, a.Name, a.StateReason = grant, ca.Address, ca.Name, ""
	a.GrantEnds, a.GrantEndsWhy = resp.ExpiresAt, resp.ExpiresReason
	if c.ExternalID != "" {
		a.ExternalID = c.ExternalID
	}
	if err := tx.PutAccount(a); err != nil || kind == "" {
		return err
	}
	_, err = b.Add(&event.Event{Type: kind, Account: id})
	return err
}
