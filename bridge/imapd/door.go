package imapd

import (
	"errors"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// maxBad is how many commands of a stranger may be none: a web browser that was
// led here by a page does not get to say much.
const maxBad = 10

// door is the connection before login. It reports whether the client is in.
func (c *conn) door() bool {
	defer c.out.Flush()
	c.out.Raw("* OK [CAPABILITY ").Raw(c.capabilities()).Raw("] Postern is ready").CRLF()
	for wrong := 0; wrong < maxBad; {
		cmd, err := c.in.Next()
		start := time.Now()
		var none *wire.BadCommand
		if errors.As(err, &none) {
			c.answerBad(none)
			wrong++
			continue
		}
		if err != nil {
			c.farewell(err)
			return false
		}
		t, next := c.greeted(cmd)
		if t != nil {
			c.srv.metrics.done(metricName(cmd.Name), string(t.Status), time.Since(start))
			if c.answer(cmd.Tag, t); t.Status != session.OK {
				wrong++
			}
		}
		if next != stay {
			return next == in
		}
	}
	c.out.Raw("* BYE too many commands failed").CRLF()
	return false
}

// next is where a stranger's command leads.
type next int

const (
	stay next = iota
	in        // logged in
	gone
)

// greeted carries out a stranger's command; no answer means that it has been
// given, or that there is nobody to take one.
func (c *conn) greeted(cmd *wire.Command) (*session.Tagged, next) {
	if cmd.Data != nil {
		if err := cmd.Data.Refuse(); err != nil {
			c.farewell(err)
			return nil, gone
		}
		return bad("Log in first"), stay
	}
	if cmd.UID {
		return bad("Log in first"), stay
	}
	switch cmd.Name {
	case "LOGIN":
		return c.login(cmd)
	case "AUTHENTICATE":
		return c.authenticate(cmd)
	case "STARTTLS":
		return c.secure(cmd)
	case "CAPABILITY":
		return c.capability(cmd), stay
	case "ID":
		return c.id(cmd), stay
	case "NOOP", "LOGOUT":
		if err := cmd.Args.End(); err != nil {
			return session.Answer(err), stay
		}
		if cmd.Name == "NOOP" {
			return done(cmd.Name), stay
		}
		c.out.Raw("* BYE until next time").CRLF()
		return done(cmd.Name), gone
	}
	if !knownNames[cmd.Name] {
		return bad("Unknown command"), stay
	}
	return bad("Log in first"), stay
}

// secure is STARTTLS: RFC 9051, section 6.2.1.
func (c *conn) secure(cmd *wire.Command) (*session.Tagged, next) {
	if err := cmd.Args.End(); err != nil {
		return session.Answer(err), stay
	}
	switch {
	case c.tls:
		return bad("TLS is on already"), stay
	case c.srv.tls == nil:
		return bad("There is no TLS here"), stay
	case c.in.Buffered() > 0:
		// What came in the clear behind the command would be taken for what
		// came under TLS; nobody honest sends it.
		c.out.Raw("* BYE nothing may follow STARTTLS").CRLF()
		return nil, gone
	}
	c.answer(cmd.Tag, &session.Tagged{Status: session.OK, Text: "Begin TLS now"})
	if c.out.Flush() != nil || c.startTLS() != nil {
		return nil, gone
	}
	return nil, stay
}

// answerBad answers what is no command.
func (c *conn) answerBad(b *wire.BadCommand) {
	t := bad("Not a command: " + b.Why)
	switch {
	case b.TooBig:
		t = &session.Tagged{Status: session.No, Code: "TOOBIG", Text: "Too big: " + b.Why}
	case b.Busy:
		t = &session.Tagged{Status: session.No, Code: "LIMIT", Text: "Try again later: " + b.Why}
	}
	c.answer(b.Tag, t)
	c.srv.metrics.commands.WithLabelValues("none", string(t.Status)).Inc()
}

func done(name string) *session.Tagged {
	return &session.Tagged{Status: session.OK, Text: name + " completed"}
}
