package imapd

import (
	"slices"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// Capabilities in the order in which they are told. LITERAL+ is not among them:
// a client that heeds LITERAL- (RFC 7888) asks before it sends what is large,
// so that a refusal costs it nothing.
var (
	alwaysCaps = []string{"IMAP4rev1", "IMAP4rev2", "SASL-IR", "LITERAL-", "ID"}
	clientCaps = []string{"ENABLE", "IDLE", "UNSELECT", "UIDPLUS", "MOVE", "NAMESPACE", "SPECIAL-USE", "CHILDREN",
		"LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE", "ESEARCH", "SEARCHRES", "WITHIN", "BINARY", "PREVIEW", "UTF8=ACCEPT"}
)

// capabilities is what this client may do at this moment, without what its
// password hides from it.
func (c *conn) capabilities() string {
	caps := append(make([]string, 0, 24), alwaysCaps...)
	if c.ahead != nil {
		caps = append(caps, clientCaps...)
		caps = append(caps, "APPENDLIMIT="+strconv.FormatInt(c.largest, 10))
		return strings.Join(c.unmasked(caps), " ")
	}
	if c.srv.tls != nil && !c.tls {
		caps = append(caps, "STARTTLS")
	}
	if !c.mayLogin() {
		return strings.Join(append(caps, "LOGINDISABLED"), " ")
	}
	for _, name := range mechanismNames {
		caps = append(caps, "AUTH="+name)
	}
	return strings.Join(caps, " ")
}

// Hideable lists the capabilities that an app password may hide: all that a
// client is told of after its login, but the one without which it would be no
// server at all (RFC 9051, section 6.1.1, with RFC 3501).
func Hideable() []string {
	caps := slices.Concat(alwaysCaps, clientCaps, []string{"APPENDLIMIT"})
	return slices.DeleteFunc(caps, func(name string) bool { return name == "IMAP4rev1" })
}

// unmasked drops what the app password hides, such as an extension that a mail
// program uses wrongly. Whoever uses it untold is served all the same, except by
// ENABLE.
func (c *conn) unmasked(caps []string) []string {
	return slices.DeleteFunc(caps, c.hides)
}

// hides reports whether a capability is hidden: by its name, or by what stands
// before its value.
func (c *conn) hides(name string) bool {
	name = strings.ToUpper(name)
	before, _, _ := strings.Cut(name, "=")
	return c.hidden[name] || c.hidden[before]
}

// capability is CAPABILITY: RFC 9051, section 6.1.1.
func (c *conn) capability(cmd *wire.Command) *session.Tagged {
	if err := cmd.Args.End(); err != nil {
		return session.Answer(err)
	}
	c.out.Raw("* CAPABILITY ").Raw(c.capabilities()).CRLF()
	return done(cmd.Name)
}

// id is ID: RFC 2971. At most 30 fields, and none is believed.
func (c *conn) id(cmd *wire.Command) *session.Tagged {
	fields, err := idFields(cmd.Args)
	if err != nil {
		return session.Answer(err)
	}
	if fields != nil {
		c.sess.SetClientID(fields)
	}
	c.out.Raw(`* ID ("name" "Postern"`)
	if v := c.srv.opt.Version; v != "" {
		c.out.Raw(` "version" `).Quoted(v)
	}
	c.out.Raw(")").CRLF()
	return done(cmd.Name)
}

func idFields(a *wire.Args) (map[string]string, error) {
	if err := a.SP(); err != nil {
		return nil, err
	}
	if a.SkipAtom("NIL") {
		return nil, a.End()
	}
	fields := map[string]string{}
	err := a.List(func() error {
		key, err := a.String()
		if err != nil {
			return err
		}
		if err := a.SP(); err != nil {
			return err
		}
		value, _, err := a.NString()
		if err != nil {
			return err
		}
		if len(fields) == 30 || len(key) > 30 || len(value) > 1024 {
			return a.Fail("ID has at most 30 fields of 1024 bytes")
		}
		fields[strings.ToLower(key)] = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fields, a.End()
}
