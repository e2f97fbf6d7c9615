package account

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// An organisation may let only its administrators allow applications. Whoever
// wanted to connect gets a link then, which anybody can hand on. The
// administrator who opens it comes back to us from another browser, perhaps
// days later; nothing is connected by that, so that all it takes is a state
// that nobody can guess. After that the owner's own next try succeeds.

// approvalLife is how long an administrator's answer is waited for.
const approvalLife = 30 * 24 * time.Hour

// approvalMark ends the states of such links. The states of sign-ins end with
// more letters than that.
const approvalMark = "-approval"

// approvalState is the state of the link for an administrator. It is the same
// however often the owner tries, so that a link that was handed on stays good.
func approvalState(link string) string {
	return stateLink("approval\x00" + link)[:32] + approvalMark
}

// Approval is what an administrator came back with.
type Approval struct {
	// Provider is its name for people, Application the host of who wanted to
	// connect, empty where nobody said.
	Provider, Application string
}

// awaitApproval remembers that an administrator may come back, and gives the
// link to hand on; empty where the provider gave none that can be opened.
func (s *Service) awaitApproval(ctx context.Context, c *store.Connect, err error) string {
	var e *mail.Error
	if !errors.As(err, &e) || e.Code != mail.CodeAdminConsent {
		return ""
	}
	if u, err := url.Parse(e.Link); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	werr := s.store.Update(ctx, func(tx store.Tx) error {
		return tx.PutConnect(&store.Connect{
			// No link that is handed out is kept under such a name: nobody can
			// sign in by what waits for an administrator.
			Link: c.Link + approvalMark, State: stateLink(approvalState(c.Link)), Provider: c.Provider,
			ReturnURL: c.ReturnURL, ExpiresAt: s.now().Add(approvalLife),
		})
	})
	if werr != nil {
		s.log.ErrorContext(ctx, "an administrator's way back not noted", "provider", c.Provider, "error", werr)
		return ""
	}
	return e.Link
}

// approved takes an administrator back.
func (s *Service) approved(ctx context.Context, providerName, state string, params map[string][]string) (*Finished, error) {
	var c *store.Connect
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		c, err = tx.ConnectByState(stateLink(state))
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (!c.ExpiresAt.After(s.now()) || c.Provider != providerName) {
		return nil, &mail.Error{Kind: mail.KindNotFound, Op: "connect", Code: "approval_unknown",
			Message: "nobody waits for this answer any more; whoever sent you the link can connect again, and send you another one if it still takes one"}
	}
	if err != nil {
		return nil, err
	}
	p, err := s.providers.Provider(c.Provider)
	if err != nil {
		return nil, err
	}
	info, err := s.providers.Info(c.Provider)
	if err != nil {
		return nil, err
	}
	f := &Finished{Approval: &Approval{Provider: info.Title}}
	if u, err := url.Parse(c.ReturnURL); err == nil {
		f.Approval.Application = u.Host
	}
	_, f.Err = p.FinishConnect(ctx, &provider.FinishConnectRequest{
		RedirectURL: s.redirectURL(c.Provider), Params: params, Approval: true})
	if f.Err == nil {
		s.log.InfoContext(ctx, "application allowed by an administrator", "provider", c.Provider)
	}
	return f, nil
}

func isApproval(state string) bool { return strings.HasSuffix(state, approvalMark) }
