package gmail

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/directory"
)

// A sendAs is an address that a mailbox may send as (DISC "SendAs"). The
// account's own is there without being stored, until it is changed.
type sendAs struct {
	Email              string   `json:"sendAsEmail"`
	DisplayName        string   `json:"displayName"`
	ReplyTo            string   `json:"replyToAddress"`
	Signature          string   `json:"signature"`
	IsPrimary          bool     `json:"isPrimary,omitempty"`
	IsDefault          bool     `json:"isDefault,omitempty"`
	TreatAsAlias       bool     `json:"treatAsAlias,omitempty"`
	SMTP               *smtpMsa `json:"smtpMsa,omitempty"`
	VerificationStatus string   `json:"verificationStatus,omitempty"`
}

// smtpMsa is a server that mail of an alias goes through. The sandbox keeps it,
// without its password, and sends by the small internet all the same.
type smtpMsa struct {
	Host         string `json:"host"`
	Port         int32  `json:"port"`
	Username     string `json:"username,omitempty"`
	Password     string `json:"password,omitempty"`
	SecurityMode string `json:"securityMode,omitempty"`
}

// What an alias of somebody else's domain waits for, and what it then is.
const (
	aliasPending  = "pending"
	aliasAccepted = "accepted"
)

// aliases are all addresses of a mailbox, the account's own first.
func (mb *mailbox) aliases() []*sendAs {
	if len(mb.out.Aliases) == 0 {
		mb.out.Aliases = []*sendAs{{Email: mb.user.Address, DisplayName: mb.user.Name, IsPrimary: true, IsDefault: true}}
	}
	return mb.out.Aliases
}

// alias finds an address; nil when the mailbox does not have it.
func (mb *mailbox) alias(address string) *sendAs {
	for _, a := range mb.aliases() {
		if strings.EqualFold(a.Email, address) {
			return a
		}
	}
	return nil
}

// AddAlias gives a user one more address to send as, verified already.
func (s *Server) AddAlias(address, alias, name string) error {
	mb := s.mailbox(address)
	if mb == nil {
		return fmt.Errorf("add alias of %s: %w", address, directory.ErrNoMailbox)
	}
	return s.locked(mb, func() error {
		if mb.alias(alias) != nil {
			return fmt.Errorf("add alias: %s has %s already", address, alias)
		}
		mb.out.Aliases = append(mb.aliases(), &sendAs{Email: alias, DisplayName: name, TreatAsAlias: true, VerificationStatus: aliasAccepted})
		return nil
	})
}

// withAlias finds the address that the path names.
func (c *call) withAlias(f func(*sendAs) error) (any, error) {
	var out sendAs
	err := c.locked(func() error {
		a := c.mb.alias(c.path["sendAsEmail"])
		if a == nil {
			return errNotFound()
		}
		if err := f(a); err != nil {
			return err
		}
		out = *a
		return nil
	})
	return out, err
}

func (c *call) listAliases() (any, error) {
	var out struct {
		SendAs []sendAs `json:"sendAs"`
	}
	err := c.locked(func() error {
		for _, a := range c.mb.aliases() {
			out.SendAs = append(out.SendAs, *a)
		}
		return nil
	})
	return out, err
}

func (c *call) getAlias() (any, error) { return c.withAlias(func(*sendAs) error { return nil }) }

// aliasInput is a SendAs in a request; what is not there is nil.
type aliasInput struct {
	Email              *string  `json:"sendAsEmail"`
	DisplayName        *string  `json:"displayName"`
	ReplyTo            *string  `json:"replyToAddress"`
	Signature          *string  `json:"signature"`
	IsPrimary          *bool    `json:"isPrimary"`
	IsDefault          *bool    `json:"isDefault"`
	TreatAsAlias       *bool    `json:"treatAsAlias"`
	SMTP               *smtpMsa `json:"smtpMsa"`
	VerificationStatus *string  `json:"verificationStatus"`
}

// apply changes what the request has; with whole, what it does not have becomes
// empty.
func (in aliasInput) apply(mb *mailbox, a *sendAs, whole bool) error {
	if in.ReplyTo != nil && *in.ReplyTo != "" {
		if _, err := mail.ParseAddress(*in.ReplyTo); err != nil {
			return errInvalid("Invalid replyToAddress")
		}
	}
	if in.IsDefault != nil && !*in.IsDefault && a.IsDefault && !whole {
		return errInvalid("Invalid isDefault: an account has exactly one default send-as address")
	}
	if in.SMTP != nil {
		switch {
		case a.IsPrimary:
			return errInvalid("Invalid smtpMsa: the primary address has none")
		case in.SMTP.Host == "" || in.SMTP.Port <= 0 || in.SMTP.Port > 65535:
			return errInvalid("Invalid smtpMsa")
		}
	}
	text := func(to *string, from *string) {
		if from != nil {
			*to = *from
		} else if whole {
			*to = ""
		}
	}
	text(&a.DisplayName, in.DisplayName)
	text(&a.ReplyTo, in.ReplyTo)
	text(&a.Signature, in.Signature)
	if !a.IsPrimary {
		if in.TreatAsAlias != nil || whole {
			a.TreatAsAlias = in.TreatAsAlias != nil && *in.TreatAsAlias
		}
		if in.SMTP != nil || whole {
			if a.SMTP = in.SMTP; a.SMTP != nil {
				a.SMTP.Password = "" // write only
			}
		}
	}
	if in.IsDefault != nil && *in.IsDefault {
		for _, other := range mb.aliases() {
			other.IsDefault = false
		}
		a.IsDefault = true
	}
	return nil
}

func (c *call) updateAlias() (any, error) { return c.changeAlias(true) }
func (c *call) patchAlias() (any, error)  { return c.changeAlias(false) }

func (c *call) changeAlias(whole bool) (any, error) {
	var in aliasInput
	if err := c.body(&in, maxJSON); err != nil {
		return nil, err
	}
	return c.withAlias(func(a *sendAs) error { return in.apply(c.mb, a, whole) })
}

// createAlias adds an address. One of the account's own domain is ready; any
// other is sent a mail, and waits to be verified.
func (c *call) createAlias() (any, error) {
	var in aliasInput
	if err := c.body(&in, maxJSON); err != nil {
		return nil, err
	}
	if in.Email == nil || !plainAddress(*in.Email) {
		return nil, errInvalid("Invalid sendAsEmail")
	}
	a := &sendAs{Email: *in.Email, VerificationStatus: aliasPending}
	if strings.EqualFold(domainOf(a.Email), domainOf(c.mb.user.Address)) {
		a.VerificationStatus = aliasAccepted
	}
	err := c.locked(func() error {
		if c.mb.alias(a.Email) != nil {
			return &Error{Code: http.StatusConflict, Status: "ALREADY_EXISTS", Reason: "alreadyExists", Message: "Send-as alias already exists"}
		}
		if err := in.apply(c.mb, a, true); err != nil {
			return err
		}
		c.mb.out.Aliases = append(c.mb.aliases(), a)
		slices.SortStableFunc(c.mb.out.Aliases[1:], func(a, b *sendAs) int { return cmp.Compare(a.Email, b.Email) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	if a.VerificationStatus == aliasPending {
		c.askAlias(a.Email)
	}
	return *a, nil
}

func (c *call) deleteAlias() (any, error) {
	_, err := c.withAlias(func(a *sendAs) error {
		if a.IsPrimary {
			return errInvalid("The primary send-as address cannot be deleted")
		}
		c.mb.out.Aliases = slices.DeleteFunc(slices.Clone(c.mb.out.Aliases), func(o *sendAs) bool { return o == a })
		if a.IsDefault {
			c.mb.out.Aliases[0].IsDefault = true
		}
		return nil
	})
	return nil, err
}

// verifyAlias sends the mail to an address once more.
func (c *call) verifyAlias() (any, error) {
	_, err := c.withAlias(func(a *sendAs) error {
		if a.VerificationStatus != aliasPending {
			return errPrecondition("Precondition check failed.")
		}
		return nil
	})
	if err == nil {
		c.askAlias(c.path["sendAsEmail"])
	}
	return nil, err
}

// askAlias asks the owner of an address to agree.
func (c *call) askAlias(address string) {
	if c.s.opts.Sender == nil {
		return
	}
	raw := fmt.Appendf(nil, "From: Gmail Team <gmail-noreply@google.com>\r\nTo: %s\r\nSubject: Gmail Confirmation - Send Mail as %s\r\nDate: %s\r\nMessage-ID: <%s@mail.gmail.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n%s has requested to add %s to their Gmail account.\r\n",
		address, address, c.now.Format(dateLayout), messageToken(), c.mb.user.Address, address)
	if err := c.s.opts.Sender.Submit(context.WithoutCancel(c.ctx()), c.mb.user, []string{address}, raw); err != nil {
		c.s.opts.Log.Warn("verification was not sent", "user", c.mb.user.ID, "error", err)
	}
}

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// plainAddress reports whether s is an address and nothing more (RFC 5322, 3.4.1).
func plainAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}
