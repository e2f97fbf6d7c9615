package imapd

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/bridge/mechanism"
)

// mayLogin reports whether a secret may be sent over this connection: under TLS,
// or from this machine itself where the operator allowed that.
func (c *conn) mayLogin() bool {
	return c.tls || c.srv.opt.Cleartext && c.addr.IsLoopback()
}

func privacy() *session.Tagged {
	return &session.Tagged{Status: session.No, Code: "PRIVACYREQUIRED", Text: "Switch TLS on first: a password is not taken in the clear"}
}

// login is LOGIN: RFC 9051, section 6.2.3.
func (c *conn) login(cmd *wire.Command) (*session.Tagged, next) {
	var user, secret string
	err := cmd.Args.SP()
	if err == nil {
		user, err = cmd.Args.AString()
	}
	if err == nil {
		err = cmd.Args.SP()
	}
	if err == nil {
		secret, err = cmd.Args.AString()
	}
	if err == nil {
		err = cmd.Args.End()
	}
	if err != nil {
		return session.Answer(err), stay
	}
	if !c.mayLogin() {
		return privacy(), stay
	}
	return c.admit("LOGIN", user, secret)
}

// admit asks the session whether the secret is right. It may take a while on
// purpose.
func (c *conn) admit(mechanism, user, secret string) (*session.Tagged, next) {
	if err := c.sess.Login(c.ctx, mechanism, user, secret); err != nil {
		return session.Answer(err), stay
	}
	if !c.srv.admit(c, c.sess.Account()) {
		c.out.Raw("* BYE too many connections of this account").CRLF()
		return &session.Tagged{Status: session.No, Code: "LIMIT", Text: "This account has too many connections"}, gone
	}
	c.hidden = map[string]bool{}
	for _, name := range c.sess.Principal().HideCaps {
		c.hidden[strings.ToUpper(name)] = true
	}
	c.largest = c.appendLimit()
	c.readAhead()
	return &session.Tagged{Status: session.OK, Code: "CAPABILITY " + c.capabilities(), Text: "Logged in"}, in
}

// authenticate is AUTHENTICATE with an initial response or without: RFC 9051,
// section 6.2.2; RFC 4959.
func (c *conn) authenticate(cmd *wire.Command) (*session.Tagged, next) {
	var name string
	err := cmd.Args.SP()
	if err == nil {
		name, err = cmd.Args.Atom()
	}
	if err != nil {
		return session.Answer(err), stay
	}
	var initial *string
	if cmd.Args.More() {
		text := string(cmd.Args.Rest())
		initial = &text
	} else if err := cmd.Args.End(); err != nil {
		return session.Answer(err), stay
	}
	name = strings.ToUpper(name)
	m := mechanisms[name]
	switch {
	case m == nil:
		return &session.Tagged{Status: session.No, Code: "CANNOT", Text: "This mechanism is not known here"}, stay
	case !c.mayLogin():
		return privacy(), stay
	}
	talk := &dialogue{c: c, initial: initial}
	user, secret, err := m(talk)
	switch {
	case talk.broken != nil:
		c.farewell(talk.broken)
		return nil, gone
	case errors.Is(err, mechanism.ErrIdentity):
		return &session.Tagged{Status: session.No, Code: "AUTHORIZATIONFAILED", Text: "Nobody acts for somebody else here"}, stay // RFC 5530, section 3
	case err != nil:
		return bad("Not logged in: " + err.Error()), stay
	}
	t, where := c.admit(name, user, secret)
	if where == stay && refused(t) && (name == "OAUTHBEARER" || name == "XOAUTH2") {
		// RFC 7628, section 3.2.2: the reason first, as JSON, to which the client
		// says anything at all.
		talk.ask(`{"status":"invalid_token","schemes":"bearer"}`)
		if talk.broken != nil {
			return nil, gone
		}
	}
	return t, where
}

// refused reports whether it is the secret that was not taken; of what else is
// wrong a program must not throw its token away.
func refused(t *session.Tagged) bool {
	return t.Code == "AUTHENTICATIONFAILED" || t.Code == "NOPERM"
}

// dialogue is the exchange of a mechanism.
type dialogue struct {
	c       *conn
	initial *string // sent with the command
	broken  error   // of the connection
}

// saslLine is the longest answer that is taken; tokens have a few thousand
// bytes.
const saslLine = 16 << 10

// ask sends a challenge and gives the answer.
func (d *dialogue) ask(challenge string) ([]byte, error) {
	if d.initial != nil {
		text := *d.initial
		d.initial = nil
		if text == "=" { // RFC 4959, section 3: an empty one
			return nil, nil
		}
		return decode(text)
	}
	d.c.out.Raw("+ ").Raw(base64.StdEncoding.EncodeToString([]byte(challenge))).CRLF()
	line, ok, err := d.c.in.Line(saslLine)
	switch {
	case err != nil:
		d.broken = err
		return nil, err
	case !ok:
		return nil, errLong
	case line == "*":
		return nil, errCancelled
	}
	return decode(line)
}

func decode(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}
