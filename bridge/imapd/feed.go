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
	case "STATUS":
		if err = f.name(); err == nil {
			err = f.list(f.statusItem)
		}
	case "LIST", "LSUB":
		err = f.listCommand(cmd.Name == "LIST")
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

// list copies a space and a list of what each copies.
func (f *feeder) list(each func() error) error {
	if err := f.a.SP(); err != nil {
		return err
	}
	f.b = append(f.b, " ("...)
	first := true
	err := f.a.List(func() error {
		if !first {
			f.b = append(f.b, ' ')
		}
		first = false
		return each()
	})
	f.b = append(f.b, ')')
	return err
}

func (f *feeder) keyword() error {
	word, err := f.a.Keyword()
	f.b = append(f.b, word...)
	return err
}

// pattern copies a mailbox pattern: RFC 9051, section 9, "list-mailbox".
func (f *feeder) pattern() error {
	p, err := f.a.Pattern(f.utf8)
	if err != nil {
		return err
	}
	f.quote(p)
	return nil
}

// listCommand copies LIST's or LSUB's arguments: RFC 9051, section 6.3.9.
func (f *feeder) listCommand(extended bool) error {
	if extended && strings.HasPrefix(string(f.a.Rest()), " (") {
		if err := f.list(f.keyword); err != nil {
			return err
		}
	}
	if err := f.name(); err != nil {
		return err
	}
	if extended && strings.HasPrefix(string(f.a.Rest()), " (") {
		if err := f.list(f.pattern); err != nil {
			return err
		}
	} else {
		if err := f.a.SP(); err != nil {
			return err
		}
		f.b = append(f.b, ' ')
		if err := f.pattern(); err != nil {
			return err
		}
	}
	if !extended || !f.a.More() {
		return nil
	}
	if !f.a.SkipAtom("RETURN") {
		return f.a.Fail("RETURN is missing")
	}
	f.b = append(f.b, " RETURN"...)
	return f.list(func() error {
		word, err := f.a.Keyword()
		if err != nil {
			return err
		}
		if f.b = append(f.b, word...); word == "STATUS" {
			return f.list(f.statusItem)
		}
		return nil
	})
}

// statusItem copies one of the items that there are without QUOTA and CONDSTORE:
// RFC 9051, section 6.3.11; RFC 7889, section 3.1.
func (f *feeder) statusItem() error {
	word, err := f.a.Keyword()
	if err != nil {
		return err
	}
	switch word {
	case "MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE", "APPENDLIMIT", "RECENT":
		f.b = append(f.b, word...)
		return nil
	}
	return f.a.Fail("an item of STATUS is not known")
}

// enable copies the extensions that are known and not hidden from the client,
// and notes them: RFC 5161.
func (c *conn) enable(f *feeder) error {
	for f.a.More() {
		word, err := f.a.Atom()
		if err != nil {
			return err
		}
		word = strings.ToUpper(word)
		if c.hidden[word] {
			continue
		}
		switch word {
		case "IMAP4REV2":
			c.rev2, c.utf8 = true, true
			f.b = append(f.b, " IMAP4rev2"...)
		case "UTF8=ACCEPT":
			c.utf8 = true
			f.b = append(f.b, " UTF8=ACCEPT"...)
		}
	}
	return nil
}
