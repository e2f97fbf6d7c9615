package memory

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Delivery is a message that arrives from outside.
type Delivery struct {
	// Mailbox by id, role or name; the inbox by default.
	Mailbox  string
	Raw      []byte
	Date     time.Time
	Keywords []string
	// Quiet sends no notification.
	Quiet bool
}

// Sent is one submission that left the cloud.
type Sent struct {
	From        string
	Recipients  []string
	Raw         []byte
	MessageID   string
	OperationID string
	At          time.Time
}

// AddAccount makes an account with the usual mailboxes. The ids of these are
// their roles: "inbox", "sent". An account that exists stays as it is.
func (c *Cloud) AddAccount(address, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accounts[key(address)] != nil {
		return
	}
	a := &account{
		address: address, name: name,
		messages:   map[string]*message{},
		operations: map[string][]string{},
		sentOps:    map[string]string{},
		watches:    map[string]*watch{},
	}
	for _, m := range []struct {
		role mail.Role
		name string
	}{
		{mail.RoleInbox, "Inbox"}, {mail.RoleDrafts, "Drafts"}, {mail.RoleSent, "Sent"},
		{mail.RoleTrash, "Trash"}, {mail.RoleJunk, "Junk"}, {mail.RoleArchive, "Archive"},
	} {
		a.mailboxes = append(a.mailboxes, &mail.Mailbox{ID: string(m.role), Name: m.name, Role: m.role, Kind: c.opts.Kind})
	}
	c.accounts[key(address)] = a
}

// AddMailbox makes a mailbox below a parent ("" for the top) and gives its id.
func (c *Cloud) AddMailbox(address, parent, name string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.find(address)
	if err != nil {
		return "", err
	}
	m, err := c.createMailbox(a, parent, name)
	if err != nil {
		return "", err
	}
	return m.ID, nil
}

// Deliver puts a message into an account and gives its id.
func (c *Cloud) Deliver(address string, d Delivery) (string, error) {
	var id string
	err := c.outside(address, d.Quiet, func(a *account) error {
		box, err := a.locate(d.Mailbox)
		if err != nil {
			return err
		}
		id = c.put(a, box.ID, d.Raw, d.Date, d.Keywords).id
		return nil
	})
	return id, err
}

// GrantsEnd makes grants that are given from now on end at a time, for a
// reason; the zero time stands for none. It ends nothing by itself.
func (c *Cloud) GrantsEnd(at time.Time, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grantsEnd, c.grantsEndWhy = at, why
}

// SetKeywords replaces the keywords of a message.
func (c *Cloud) SetKeywords(address, id string, keywords ...string) error {
	return c.outside(address, false, func(a *account) error {
		m, err := a.message(id)
		if err != nil {
			return err
		}
		m.keywords = map[string]bool{}
		for _, k := range keywords {
			m.keywords[strings.ToLower(k)] = true
		}
		c.touched(a, m)
		return nil
	})
}

// Move takes a message out of all its mailboxes and into one, named by id,
// role or name.
func (c *Cloud) Move(address, id, to string) error {
	return c.outside(address, false, func(a *account) error {
		m, err := a.message(id)
		if err != nil {
			return err
		}
		box, err := a.locate(to)
		if err != nil {
			return err
		}
		c.place(a, m, map[string]bool{box.ID: true})
		return nil
	})
}

// Remove takes a message away for good.
func (c *Cloud) Remove(address, id string) error {
	return c.outside(address, false, func(a *account) error {
		m, err := a.message(id)
		if err != nil {
			return err
		}
		c.remove(a, m)
		return nil
	})
}

// ForgetCursors makes every cursor given so far too old.
func (c *Cloud) ForgetCursors(address string) error {
	return c.outside(address, true, func(a *account) error {
		a.epoch++
		a.log = nil
		return nil
	})
}

// ExpireTokens ends the access tokens of an account; grants still refresh.
func (c *Cloud) ExpireTokens(address string) error {
	return c.outside(address, true, func(a *account) error {
		for token, addr := range c.tokens {
			if addr == key(a.address) {
				delete(c.tokens, token)
			}
		}
		return nil
	})
}

// RevokeGrants ends all tokens and grants of an account, as an owner does who
// withdraws the consent.
func (c *Cloud) RevokeGrants(address string) error {
	if err := c.ExpireTokens(address); err != nil {
		return err
	}
	return c.outside(address, true, func(a *account) error {
		for secret, addr := range c.grants {
			if addr == key(a.address) {
				delete(c.grants, secret)
			}
		}
		return nil
	})
}

// DropWatches ends the push channels of an account without a word.
func (c *Cloud) DropWatches(address string) error {
	return c.outside(address, true, func(a *account) error {
		clear(a.watches)
		return nil
	})
}

// Signal sends a hint of this kind over the account's push channels.
func (c *Cloud) Signal(address string, kind provider.HintKind) error {
	return c.outside(address, false, func(a *account) error {
		c.owe(a, kind, "")
		return nil
	})
}

// FailNext lets the next call of a verb ("fetch", "modify"; "" for any) fail
// with this kind. Outcome_unknown is carried out first and fails then; every
// other kind fails before anything is done. Calls add up.
func (c *Cloud) FailNext(verb string, kind mail.Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[verb] = append(c.failures[verb], kind)
}

// OnCall sets a function that runs before every verb, outside all locks, and
// before every token request, under the name "token". It may block, and what
// it returns is the verb's error.
func (c *Cloud) OnCall(hook func(ctx context.Context, verb, address string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

// OnNotify sets who receives the HTTP requests that push channels make. It is
// called in the goroutine of the change, after it is done.
func (c *Cloud) OnNotify(notifier func(*provider.NotifyRequest) *provider.NotifyResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notifier = notifier
}

// Sent lists everything that was sent, oldest first.
func (c *Cloud) Sent() []Sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent)
}

// TokenRequests counts the requests for an access token by refreshing.
func (c *Cloud) TokenRequests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// Messages describes every message of an account, newest first.
func (c *Cloud) Messages(address string) ([]mail.Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.find(address)
	if err != nil {
		return nil, err
	}
	var out []mail.Message
	for _, m := range a.newestFirst("") {
		out = append(out, m.describe())
	}
	return out, nil
}

// Raw gives the bytes of a message.
func (c *Cloud) Raw(address, id string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.find(address)
	if err != nil {
		return nil, err
	}
	m, err := a.message(id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(m.raw), nil
}

// outside makes one change from outside and sends the notifications owed.
func (c *Cloud) outside(address string, quiet bool, change func(*account) error) error {
	c.mu.Lock()
	a, err := c.find(address)
	if err == nil {
		err = change(a)
	}
	owed := c.owed
	c.owed = nil
	c.mu.Unlock()
	if !quiet {
		c.notify(owed)
	}
	return err
}

// message gives a message by id.
func (a *account) message(id string) (*message, error) {
	m := a.messages[id]
	if m == nil {
		return nil, mail.Errorf(mail.KindNotFound, "find message", "no such message")
	}
	return m, nil
}

// place puts a message into exactly these mailboxes; without any a label's
// message goes to the archive. Nothing happens where it is there already.
func (c *Cloud) place(a *account, m *message, mailboxes map[string]bool) {
	if len(mailboxes) == 0 {
		mailboxes = map[string]bool{string(mail.RoleArchive): true}
	}
	var moved []string
	for id := range mailboxes {
		if !m.mailboxes[id] {
			moved = append(moved, id)
		}
	}
	for id := range m.mailboxes {
		if !mailboxes[id] {
			moved = append(moved, id)
		}
	}
	if len(moved) == 0 {
		return
	}
	m.mailboxes = mailboxes
	c.touched(a, m, moved...)
}

// remove takes a message away.
func (c *Cloud) remove(a *account, m *message) {
	delete(a.messages, m.id)
	c.touched(a, m)
}
