package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// signInLife is how long an owner may take at the provider's sign-in.
const signInLife = 10 * time.Minute

// maxOpenings is how many of a link's last openings can be come back from:
// whatever else opens a link, such as a mail scanner that follows it, ends no
// sign-in that is under way.
const maxOpenings = 4

// openings are kept as the consent's pending bytes.
type openings struct {
	Last []*opening `json:"last"`
}

// opening is what is remembered of one time that a link was opened.
type opening struct {
	// State is the hash of the state that the provider was given.
	State string `json:"state"`
	// Browser is the hash of what the browser that began was given.
	Browser string    `json:"browser"`
	Until   time.Time `json:"until"`
	// Plugin is the plugin's own pending bytes.
	Plugin []byte `json:"plugin,omitempty"`
	// Taken: the provider's answer has come.
	Taken bool `json:"taken,omitempty"`
}

func readOpenings(pending []byte) (*openings, error) {
	o := &openings{}
	if len(pending) > 0 && json.Unmarshal(pending, o) != nil {
		return nil, errors.New("connect: the pending consent is damaged") // the words of package json may quote it
	}
	return o, nil
}

// A state is the same for all openings of a link up to the first hyphen, by
// which the link is found, and says nothing of the link's token.
func newState(token string) string {
	return stateLink("token\x00" + token)[:32] + "-" + rand.Text() + rand.Text()
}

// stateLink is how a store's record is found by a state.
func stateLink(state string) string {
	link, _, _ := strings.Cut(state, "-")
	return hash(link)
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
// opened again until an account was connected through it. browser is a secret
// of the browser that opens it: the provider's answer is taken from there
// alone, so that nobody can have another person finish what they began
// (RFC 9700, 4.7).
func (s *Service) OpenLink(ctx context.Context, token, browser string) (string, error) {
	c, err := s.byLink(ctx, token)
	if err != nil {
		return "", err
	}
	p, err := s.providers.Provider(c.Provider)
	if err != nil {
		return "", err
	}
	state := newState(token)
	resp, err := p.BeginConnect(ctx, &provider.BeginConnectRequest{
		State: state, RedirectURL: s.redirectURL(c.Provider), LoginHint: c.LoginHint})
	if err != nil {
		s.refusedApplication(ctx, c.Provider, err)
		return "", fmt.Errorf("begin connect: %w", err)
	}
	o := &opening{State: hash(state), Browser: hash(browser), Until: s.now().Add(signInLife), Plugin: resp.Pending}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		// Somebody may have come back through the link meanwhile.
		c, err := tx.ConnectByLink(hash(token))
		if err := s.usable(c, err); err != nil {
			return err
		}
		all, err := readOpenings(c.Pending)
		if err != nil {
			return err
		}
		all.Last = append(all.Last, o)
		all.Last = all.Last[max(0, len(all.Last)-maxOpenings):]
		c.State = stateLink(state)
		return putOpenings(tx, c, all)
	})
	if err != nil {
		return "", err
	}
	return resp.URL, nil
}

func putOpenings(tx store.Tx, c *store.Connect, all *openings) (err error) {
	if c.Pending, err = json.Marshal(all); err != nil {
		return fmt.Errorf("pending consent: %w", err)
	}
	return tx.PutConnect(c)
}

// takeState gives back what OpenLink remembered for a state, if it may be gone
// on with, and notes that it was taken.
func (s *Service) takeState(tx store.Tx, c *store.Connect, state, browser string) (*opening, error) {
	all, err := readOpenings(c.Pending)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all.Last, func(o *opening) bool {
		return subtle.ConstantTimeCompare([]byte(o.State), []byte(hash(state))) == 1
	})
	if at < 0 {
		return nil, &mail.Error{Kind: mail.KindNotFound, Op: "connect", Code: "state_unknown",
			Message: "this sign-in is not known; open the link again"}
	}
	o := *all.Last[at]
	switch {
	case subtle.ConstantTimeCompare([]byte(o.Browser), []byte(hash(browser))) != 1:
		return nil, &mail.Error{Kind: mail.KindForbidden, Op: "connect", Code: "other_browser",
			Message: "this sign-in was begun in another browser; open the link again in this one"}
	case o.Taken:
		return nil, &mail.Error{Kind: mail.KindConflict, Op: "connect", Code: "state_used",
			Message: "this sign-in has ended already; open the link again"}
	case !o.Until.After(s.now()):
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: "connect", Code: "state_expired",
			Message: "your session has expired: connect again"}
	}
	all.Last[at].Taken, all.Last[at].Plugin = true, nil
	return &o, putOpenings(tx, c, all)
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
