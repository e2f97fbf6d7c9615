package imapd

import (
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// LIST, LSUB and STATUS go past the library: it escapes "&" in names that are
// UTF-8 already, so that a client could not select what it was told of, and
// closes the connection where a counter is missing.

// list is LIST (RFC 9051, section 6.3.9; RFC 5258; RFC 5819) and LSUB (RFC 3501,
// section 6.3.9).
func (c *conn) list(cmd *wire.Command) (*session.Tagged, error) {
	req, err := listArgs(cmd)
	if err != nil {
		return session.Answer(err), nil
	}
	entries, err := c.sess.List(c.ctx, *req)
	if err != nil {
		return session.Answer(err), nil
	}
	for _, e := range entries {
		c.writeList(cmd.Name, e, req)
		if e.Status != nil {
			c.writeStatus(e.Status, *req.ReturnStatus)
		}
	}
	if err := c.sess.Poll(c.ctx, true); err != nil {
		return nil, err
	}
	return done(cmd.Name), nil
}

// writeList writes a LIST or LSUB response: RFC 9051, section 7.3.1.
func (c *conn) writeList(name string, e session.ListEntry, r *session.ListRequest) {
	c.out.Raw("* ").Raw(name).SP().Flags(e.Attrs)
	if e.Delimiter == 0 {
		c.out.Raw(" NIL ")
	} else {
		c.out.Raw(` "`).Raw(string(e.Delimiter)).Raw(`" `)
	}
	c.out.Mailbox(e.Name, c.utf8)
	if e.ChildInfo {
		// The selection options that one below meets (RFC 5258, 4).
		options := make([]string, 0, 2)
		if r.SelectSubscribed {
			options = append(options, `"SUBSCRIBED"`)
		}
		if r.SelectSpecialUse {
			options = append(options, `"SPECIAL-USE"`)
		}
		c.out.Raw(` (CHILDINFO (` + strings.Join(options, " ") + `))`)
	}
	c.out.CRLF()
}

// maxPatterns and maxPattern bound what each name is compared with: how many
// patterns, and how many bytes they have together, each with the reference.
const (
	maxPatterns = 100
	maxPattern  = 4 << 10
)

func listArgs(cmd *wire.Command) (*session.ListRequest, error) {
	a, req := cmd.Args, &session.ListRequest{LSUB: cmd.Name == "LSUB"}
	if err := a.SP(); err != nil {
		return nil, err
	}
	if !req.LSUB && a.Peek() == '(' {
		if err := a.List(func() error { return selectOption(a, req) }); err != nil {
			return nil, err
		}
		if err := a.SP(); err != nil {
			return nil, err
		}
	}
	var err error
	if req.Reference, err = a.Mailbox(cmd.UTF8); err != nil {
		return nil, err
	}
	if err := a.SP(); err != nil {
		return nil, err
	}
	bytes := 0
	pattern := func() error {
		p, err := a.Pattern(cmd.UTF8)
		bytes += len(req.Reference) + len(p)
		if err == nil && (len(req.Patterns) == maxPatterns || bytes > maxPattern) {
			err = a.Fail("there are too many patterns, or one is too long")
		}
		if p != "" {
			req.Patterns = append(req.Patterns, p)
		}
		return err
	}
	if !req.LSUB && a.Peek() == '(' {
		if err = a.List(pattern); err == nil && len(req.Patterns) == 0 {
			err = a.Fail("a list of patterns is empty")
		}
	} else {
		err = pattern()
	}
	if err != nil {
		return nil, err
	}
	if !req.LSUB && a.More() {
		if !a.SkipAtom("RETURN") {
			return nil, a.Fail("RETURN is missing")
		}
		if err := a.SP(); err != nil {
			return nil, err
		}
		if err := a.List(func() error { return returnOption(a, req) }); err != nil {
			return nil, err
		}
	}
	if req.SelectRecursiveMatch && !req.SelectSubscribed && !req.SelectSpecialUse {
		return nil, a.Fail("RECURSIVEMATCH needs another option beside it")
	}
	return req, a.End()
}

func selectOption(a *wire.Args, req *session.ListRequest) error {
	word, err := a.Keyword()
	switch {
	case err != nil:
		return err
	case word == "SUBSCRIBED":
		req.SelectSubscribed = true
	case word == "REMOTE":
		req.SelectRemote = true
	case word == "RECURSIVEMATCH":
		req.SelectRecursiveMatch = true
	case word == "SPECIAL-USE":
		req.SelectSpecialUse = true
	default:
		return a.Fail("an option of LIST is not known")
	}
	return nil
}

func returnOption(a *wire.Args, req *session.ListRequest) error {
	word, err := a.Keyword()
	switch {
	case err != nil:
		return err
	case word == "SUBSCRIBED":
		req.ReturnSubscribed = true
	case word == "CHILDREN":
		req.ReturnChildren = true
	case word == "SPECIAL-USE":
		req.ReturnSpecialUse = true
	case word == "STATUS":
		if err := a.SP(); err != nil {
			return err
		}
		items, err := statusItems(a)
		req.ReturnStatus = &items
		return err
	default:
		return a.Fail("what LIST should return is not known")
	}
	return nil
}

// status is STATUS: RFC 9051, section 6.3.11.
func (c *conn) status(cmd *wire.Command) (*session.Tagged, error) {
	var mailbox string
	var items session.StatusItems
	err := cmd.Args.SP()
	if err == nil {
		mailbox, err = cmd.Args.Mailbox(cmd.UTF8)
	}
	if err == nil {
		err = cmd.Args.SP()
	}
	if err == nil {
		items, err = statusItems(cmd.Args)
	}
	if err == nil {
		err = cmd.Args.End()
	}
	if err != nil {
		return session.Answer(err), nil
	}
	d, err := c.sess.Status(c.ctx, mailbox, items)
	if err != nil {
		return session.Answer(err), nil
	}
	c.writeStatus(d, items)
	if err := c.sess.Poll(c.ctx, true); err != nil {
		return nil, err
	}
	return done(cmd.Name), nil
}

// statusItems are those that there are without QUOTA and CONDSTORE.
func statusItems(a *wire.Args) (items session.StatusItems, err error) {
	err = a.List(func() error {
		word, err := a.Keyword()
		switch {
		case err != nil:
			return err
		case word == "MESSAGES":
			items.Messages = true
		case word == "UIDNEXT":
			items.UIDNext = true
		case word == "UIDVALIDITY":
			items.UIDValidity = true
		case word == "UNSEEN":
			items.Unseen = true
		case word == "DELETED":
			items.Deleted = true
		case word == "SIZE":
			items.Size = true
		case word == "RECENT":
			items.Recent = true
		case word == "APPENDLIMIT": // RFC 7889, section 3.1
			items.AppendLimit = true
		default:
			return a.Fail("an item of STATUS is not known")
		}
		return nil
	})
	if err == nil && items == (session.StatusItems{}) {
		err = a.Fail("the items of STATUS are missing")
	}
	return items, err
}

func (c *conn) writeStatus(d *session.StatusData, items session.StatusItems) {
	c.out.Raw("* STATUS ").Mailbox(d.Mailbox, c.utf8)
	between := " ("
	item := func(asked bool, name string, n int64) {
		if asked {
			c.out.Raw(between).Raw(name).SP().Number(n)
			between = " "
		}
	}
	item(items.Messages, "MESSAGES", int64(d.Messages))
	item(items.UIDNext, "UIDNEXT", int64(d.UIDNext))
	item(items.UIDValidity, "UIDVALIDITY", int64(d.UIDValidity))
	item(items.Unseen, "UNSEEN", int64(d.Unseen))
	item(items.Deleted, "DELETED", int64(d.Deleted))
	item(items.Size, "SIZE", d.Size)
	item(items.Recent, "RECENT", 0)
	item(items.AppendLimit, "APPENDLIMIT", c.largest)
	c.out.Raw(")").CRLF()
}
