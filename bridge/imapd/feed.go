package imapd

import (
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// maxFeed is the longest command that the library gets; it takes 50 KiB.
const maxFeed = 16 << 10

// feed writes a command anew as the library reads it best: one line, names
// quoted and in modified UTF-7, keywords in upper case. What is no command by
// the grammar is answered here and now.
func (c *conn) feed(cmd *wire.Command) ([]byte, *session.Tagged) {
	f := feeder{a: cmd.Args, utf8: cmd.UTF8, b: append(make([]byte, 0, 256), libraryTag+" "+cmd.Name...)}
	var err error
	switch cmd.Name {
	case "ENABLE":
		err = c.enable(&f)
	case "CREATE", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE", "SELECT", "EXAMINE":
		if err = f.name(); err == nil && f.a.More() {
			// RFC 4466, section 2.1 and 2.2: parameters that are not known are BAD.
			err = f.a.Fail(cmd.Name + " takes no parameters here")
		}
	case "RENAME":
		if err = f.name(); err == nil {
			err = f.name()
		}
	}
	if err == nil {
		err = f.a.End()
	}
	if err == nil && len(f.b) > maxFeed {
		err = f.a.Fail("the command is too long")
	}
	if err != nil {
		return nil, session.Answer(err)
	}
	return append(f.b, "\r\n"...), nil
}

// feeder copies a command's arguments.
type feeder struct {
	a    *wire.Args
	utf8 bool
	b    []byte
}

// name copies a space and a mailbox name.
func (f *feeder) name() error {
	if err := f.a.SP(); err != nil {
		return err
	}
	name, err := f.a.Mailbox(f.utf8)
	if err != nil {
		return err
	}
	f.b = append(f.b, ' ')
	f.quote(name)
	return nil
}

func (f *feeder) quote(name string) {
	f.b = append(f.b, '"')
	for _, c := range []byte(wire.EncodeUTF7(name)) {
		if c == '"' || c == '\\' {
			f.b = append(f.b, '\\')
		}
		f.b = append(f.b, c)
	}
	f.b = append(f.b, '"')
}

// enable copies the extensions that are known and not hidden from the client,
// and notes them: RFC 5161. It is all or nothing, and comes before a mailbox is
// selected (section 3.1), as the library has it too.
func (c *conn) enable(f *feeder) error {
	rev2, utf8 := c.rev2, c.utf8
	for f.a.More() {
		word, err := f.a.Atom()
		if err != nil {
			return err
		}
		word = strings.ToUpper(word)
		if c.hides(word) {
			continue
		}
		switch word {
		case "IMAP4REV2":
			rev2, utf8 = true, true
			f.b = append(f.b, " IMAP4rev2"...)
		case "UTF8=ACCEPT":
			utf8 = true
			f.b = append(f.b, " UTF8=ACCEPT"...)
		}
	}
	if err := f.a.End(); err != nil {
		return err
	}
	if c.sess.Selecting() {
		return f.a.Fail("ENABLE comes before a mailbox is selected")
	}
	c.rev2, c.utf8 = rev2, utf8
	return nil
}
