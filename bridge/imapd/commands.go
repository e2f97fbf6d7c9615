package imapd

import (
	"errors"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/guard"
)

// knownNames are the commands that there are; the rest is "none" in metrics.
var knownNames = func() map[string]bool {
	names := map[string]bool{}
	for _, n := range strings.Fields(`APPEND AUTHENTICATE CAPABILITY CHECK CLOSE COPY CREATE DELETE ENABLE EXAMINE
		EXPUNGE FETCH ID IDLE LIST LOGIN LOGOUT LSUB MOVE NAMESPACE NOOP RENAME SEARCH SELECT STARTTLS STATUS STORE
		SUBSCRIBE UNSELECT UNSUBSCRIBE`) {
		names[n] = true
	}
	return names
}()

func metricName(name string) string {
	if knownNames[name] {
		return name
	}
	return "none"
}

// ours carries out a command that goes past the library; no answer means that
// it is not one. An error is one of the connection; an answer beside it is still
// to be told.
func (c *conn) ours(cmd *wire.Command) (*session.Tagged, error) {
	switch cmd.Name {
	case "FETCH", "STORE", "COPY", "MOVE", "SEARCH":
		return c.sess.Command(c.ctx, cmd, c.out)
	case "EXPUNGE":
		return c.sess.Command(c.ctx, cmd, c.out)
	}
	if cmd.UID {
		if cmd.Data != nil {
			return bad("Unknown command"), cmd.Data.Refuse()
		}
		return bad("Unknown command"), nil
	}
	switch cmd.Name {
	case "APPEND":
		return c.append(cmd)
	case "IDLE":
		return c.idle(cmd)
	case "LIST", "LSUB":
		return c.list(cmd)
	case "STATUS":
		return c.status(cmd)
	case "CAPABILITY":
		return c.capability(cmd), nil
	case "ID":
		return c.id(cmd), nil
	case "CHECK": // RFC 3501, section 6.4.1; RFC 9051 has it no longer
		if !c.sess.Selecting() {
			return bad("No mailbox is selected"), nil
		}
	case "LOGIN", "AUTHENTICATE", "STARTTLS":
		return bad("Logged in already"), nil
	}
	if !knownNames[cmd.Name] {
		return bad("Unknown command"), nil
	}
	return nil, nil
}

// idle is IDLE: RFC 9051, section 6.3.13. What comes in its place of DONE ends
// it with BAD.
func (c *conn) idle(cmd *wire.Command) (*session.Tagged, error) {
	if err := cmd.Args.End(); err != nil {
		return session.Answer(err), nil
	}
	if err := c.out.Raw("+ idling").CRLF().Flush(); err != nil {
		return nil, err
	}
	// Routers forget connections on which nothing is said for some minutes.
	defer c.beat("* OK Still here", c.srv.opt.IdleBeat)()
	stop := make(chan struct{})
	news := make(chan error, 1)
	go func() {
		err := c.guarded(func() error { return c.sess.Idle(c.ctx, stop) })
		c.over(err)
		news <- err
	}()

	// The session writes now, in its own goroutine; this one only listens.
	c.ahead.idle, c.ahead.limit = func() error { return nil }, c.srv.opt.IdleTimeout
	line, ok, err := c.in.Line(1 << 10)
	close(stop)
	idleErr := <-news
	c.ahead.idle = c.out.Flush
	switch {
	case err != nil:
		return nil, err
	case c.out.Err() != nil:
		return nil, c.out.Err()
	case !ok || !strings.EqualFold(strings.TrimRight(line, " "), "DONE"):
		return bad("DONE was expected; IDLE is over"), nil
	case idleErr != nil:
		return session.Answer(idleErr), nil
	}
	return done(cmd.Name), nil
}

// guarded makes an error of a panic, which in a goroutine of ours would end the
// gateway: the library recovers in its own alone.
func (c *conn) guarded(do func() error) error {
	err := guard.Do(c.ctx, c.srv.opt.Log, "serve imap", do, "account", c.account)
	if guard.Is(err) {
		return &session.Over{Err: err, Text: "something went wrong here; it is in the log"}
	}
	return err
}

// over ends the connection, with the reason, if an error says that the session
// cannot go on.
func (c *conn) over(err error) {
	var over *session.Over
	if errors.As(err, &over) {
		c.end(over.Text, false)
	}
}

// append is APPEND: RFC 9051, section 6.3.12, with UTF8 (RFC 6855, section 4).
// The message is not held here: it goes to the session as it arrives.
func (c *conn) append(cmd *wire.Command) (*session.Tagged, error) {
	if cmd.Data == nil {
		return bad("The message is missing"), nil
	}
	mailbox, req, paren, err := appendArgs(cmd)
	var refusal *session.Tagged
	switch {
	case err != nil:
		refusal = session.Answer(err)
	case cmd.Data.Size > c.largest:
		// Before a byte is sent where the client asks first; else what it sends is
		// read and forgotten (RFC 7889, section 4).
		refusal = &session.Tagged{Status: session.No, Code: "TOOBIG", Text: "The message is larger than the provider takes"}
	case cmd.Data.Sync:
		if err := c.sess.MayAppend(c.ctx, mailbox, *req); err != nil {
			refusal = session.Answer(err)
		}
	}
	if refusal != nil {
		return refusal, cmd.Data.Refuse()
	}
	if err := cmd.Data.Accept(); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil { // the provider may take long
		return nil, err
	}
	data, failed := c.sess.Append(c.ctx, mailbox, *req, cmd.Data)
	rest, whole, err := cmd.Data.Rest()
	if err != nil {
		return nil, err
	}
	t := &session.Tagged{Status: session.OK, Text: "APPEND completed"}
	switch {
	case failed != nil:
		t = session.Answer(failed)
	case data != nil && data.UID != 0:
		t.Code = "APPENDUID " + wire.NewSet([]uint32{data.UIDValidity}).String() + " " + wire.NewSet([]uint32{data.UID}).String()
	}
	if rest = strings.TrimRight(rest, " "); !whole || paren && rest != ")" || !paren && rest != "" {
		if failed != nil {
			return bad("Something follows the message that does not belong there"), nil
		}
		// It has been kept; to say BAD would make the client send it again.
		c.srv.opt.Log.Debug("imap append has a tail", "account", c.account)
	}
	return t, c.sess.Poll(c.ctx, true)
}

var errLiteral8 = errors.New("UTF8 wants a literal8")

func appendArgs(cmd *wire.Command) (mailbox string, req *session.AppendRequest, paren bool, err error) {
	a := cmd.Args
	req = &session.AppendRequest{Size: cmd.Data.Size}
	if err = a.SP(); err != nil {
		return
	}
	if mailbox, err = a.Mailbox(cmd.UTF8); err != nil {
		return
	}
	if a.More() && a.Peek() == '(' {
		if req.Flags, err = a.FlagList(); err != nil {
			return
		}
		a.More()
	}
	if a.Peek() == '"' {
		if req.Date, err = a.DateTime(); err != nil {
			return
		}
		a.More()
	}
	if a.SkipAtom("UTF8") {
		if err = a.SP(); err != nil {
			return
		}
		if paren = a.Special('('); !paren || !cmd.Data.Literal8 {
			return "", nil, paren, a.Fail(errLiteral8.Error())
		}
	}
	return mailbox, req, paren, a.End()
}

// appendLimit asks for the largest message that the account's provider takes.
// Where the provider is away, APPEND tells.
func (c *conn) appendLimit() int64 {
	limit := c.srv.opt.Sessions.AppendLimit()
	if c.srv.opt.Largest == nil {
		return limit
	}
	n, err := c.srv.opt.Largest(c.ctx, c.account)
	if err != nil || n <= 0 {
		return limit
	}
	return min(n, limit)
}
