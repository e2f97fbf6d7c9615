package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// signInLife is how long an owner may take at the provider's sign-in.
const signInLife = 10 * time.Minute

// opening is what is remembered of the last time a link was opened. It is kept
// as the consent's pending bytes, around the plugin's own.
type opening struct {
	// Browser is the hash of what the browser that began was given.
	Browser string    `json:"browser"`
	Until   time.Time `json:"until"`
	Plugin  []byte    `json:"plugin"`
}

// Asking says who asks an owner for what.
type Asking struct {
	// Application is the host that the owner returns to, empty where nobody
	// said.
	Application string
	// Provider is its name for people.
	Provider string
	// Address is the one that is expected, if any.
	Address string
}

// Asking tells what a link is about.
func (s *Service) Asking(ctx context.Context, token string) (Asking, error) {
	c, err := s.byLink(ctx, token)
	if err != nil {
		return Asking{}, err
	}
	info, err := s.providers.Info(c.Provider)
	if err != nil {
		return Asking{}, err
	}
	a := Asking{Provider: info.Title, Address: c.ExpectedAddress}
	if u, err := url.Parse(c.ReturnURL); err == nil {
		a.Application = u.Host
	}
	return a, nil
}

func (s *Service) byLink(ctx context.Context, token string) (*store.Connect, error) {
	var c *store.Connect
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		c, err = tx.ConnectByLink(hash(token))
		return err
	})
	return c, s.usable(c, err)
}

// OpenLink gives the URL of the provider's sign-in for a link. A link may be
// opened again until somebody came back through it; the latest opening counts.
// browser is a secret of the browser that opens it: the provider's answer is
// taken from there alone, so that nobody can have another person finish what
// they began (RFC 9700, 4.7).
func (s *Service) OpenLink(ctx context.Context, token, browser string) (string, error) {
	c, err := s.byLink(ctx, token)
	if err != nil {
		return "", err
	}
	p, err := s.providers.Provider(c.Provider)
	if err != nil {
		return "", err
	}
	state := rand.Text() + rand.Text()
	resp, err := p.BeginConnect(ctx, &provider.BeginConnectRequest{
		State: state, RedirectURL: s.redirectURL(c.Provider), LoginHint: c.LoginHint})
	if err != nil {
		return "", fmt.Errorf("begin connect: %w", err)
	}
	pending, err := json.Marshal(opening{Browser: hash(browser), Until: s.now().Add(signInLife), Plugin: resp.Pending})
	if err != nil {
		return "", fmt.Errorf("begin connect: %w", err)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		// Somebody may have come back through the link meanwhile.
		c, err := tx.ConnectByLink(hash(token))
		if err := s.usable(c, err); err != nil {
			return err
		}
		c.State, c.Pending = hash(state), pending
		return tx.PutConnect(c)
	})
	if err != nil {
		return "", err
	}
	return resp.URL, nil
}

// opened gives back what OpenLink remembered, if it may be gone on with.
func (s *Service) opened(c *store.Connect, browser string) (*opening, error) {
	var o opening
	if err := json.Unmarshal(c.Pending, &o); err != nil {
		return nil, errors.New("connect: the pending consent is damaged") // the words of package json may quote it
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(o.Browser), []byte(hash(browser))) != 1:
		return nil, &mail.Error{Kind: mail.KindForbidden, Op: "connect", Code: "other_browser",
			Message: "this sign-in was begun in another browser; open the link again in this one"}
	case !o.Until.After(s.now()):
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: "connect", Code: "state_expired",
			Message: "your session has expired: connect again"}
	}
	return &o, nil
}

// Again is an error after which the owner can begin again at URL: the
// application that asked hears of it there, as of every other outcome.
type Again struct {
	URL string
	Err error
}

func (e *Again) Error() string { return e.Err.Error() }

// Unwrap gives what went wrong.
func (e *Again) Unwrap() error { return e.Err }
