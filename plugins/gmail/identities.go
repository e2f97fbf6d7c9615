package gmail

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// sendersLife is how long what was learned of an account's aliases is believed
// when it sends.
const sendersLife = 5 * time.Minute

// senders are the addresses that an account was last known to send from.
type senders struct {
	mu    sync.Mutex
	known []mail.Identity
	at    time.Time
}

// Identities lists the account's address and those aliases that were verified
// ("Managing aliases", Gmail API). Gmail sends from no other: it puts the
// account's own address in its place, without a word.
func (p *Provider) Identities(ctx context.Context, req *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "list identities")
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := c.identities(ctx)
	if err != nil {
		return nil, err
	}
	return &provider.IdentitiesResponse{Identities: list}, nil
}

func (c *call) identities(ctx context.Context) ([]mail.Identity, error) {
	var answer *gmailapi.ListSendAsResponse
	err := c.do(ctx, sendAsList, func(ctx context.Context, s *gmailapi.Service) (err error) {
		answer, err = s.Users.Settings.SendAs.List("me").Context(ctx).Do()
		return err
	})
	var out []mail.Identity
	switch {
	case codeOf(err) == codeInsufficient:
		// The consent does not cover settings: the account's own is certain.
	case err != nil:
		return nil, err
	default:
		for _, a := range answer.SendAs {
			if a.SendAsEmail == "" || !a.IsPrimary && a.VerificationStatus != "accepted" {
				continue
			}
			one := mail.Identity{Email: a.SendAsEmail, Name: a.DisplayName, ReplyTo: a.ReplyToAddress, Default: a.IsDefault}
			if one.Default && slices.ContainsFunc(out, func(i mail.Identity) bool { return i.Default }) {
				one.Default = false
			}
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		out = []mail.Identity{{Email: c.acct.address, Default: true}}
	}
	s := &c.acct.senders
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.at = out, c.p.now()
	return out, nil
}

// maySend refuses what Gmail would send from another address than it says. One
// that is not known is asked about once more: it may be new.
func (c *call) maySend(ctx context.Context, envelopeFrom string, fields []header.Field) error {
	from := []string{}
	for i := range fields {
		if fields[i].Name != "from" {
			continue
		}
		list, ok := header.ParseAddresses(fields[i].Value())
		if !ok || len(list) == 0 {
			return &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "bad_from", Message: "the From field of the message cannot be read"}
		}
		for _, a := range list {
			from = append(from, a.Address)
		}
	}
	if len(from) > 1 {
		return &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "bad_from", Message: "Gmail sends from one address, and the message names several"}
	}
	if len(from) == 0 && envelopeFrom != "" {
		from = append(from, envelopeFrom)
	}
	s := &c.acct.senders
	s.mu.Lock()
	known, fresh := s.known, c.p.now().Sub(s.at) < sendersLife
	s.mu.Unlock()
	for _, address := range from {
		is := func(i mail.Identity) bool { return strings.EqualFold(i.Email, address) }
		if strings.EqualFold(address, c.acct.address) || fresh && slices.ContainsFunc(known, is) {
			continue
		}
		list, err := c.identities(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list, is) {
			return &mail.Error{Kind: mail.KindForbidden, Op: c.op, Code: "no_such_alias",
				Message: "the account may not send as " + clip(address, 100) + ": its owner must add it under Gmail's settings, Accounts, Send mail as"}
		}
	}
	return nil
}
