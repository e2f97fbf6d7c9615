package session

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// storeItem is what STORE does (RFC 9051, 6.4.6).
type storeItem struct {
	sign     byte // '+', '-', or '=' for the whole list
	silent   bool
	keywords []string // sorted
	deleted  bool
}

func parseStore(a *wire.Args) (set wire.Set, it storeItem, err error) {
	if err = a.SP(); err != nil {
		return set, it, err
	}
	if set, err = a.Set(); err != nil {
		return set, it, err
	}
	if err = a.SP(); err != nil {
		return set, it, err
	}
	word, err := a.Atom()
	if err != nil {
		return set, it, err
	}
	word = strings.ToUpper(word)
	it.sign = '='
	if word[0] == '+' || word[0] == '-' {
		it.sign, word = word[0], word[1:]
	}
	word, it.silent = strings.CutSuffix(word, ".SILENT")
	if word != "FLAGS" {
		return set, it, a.Fail("STORE changes FLAGS")
	}
	if err = a.SP(); err != nil {
		return set, it, err
	}
	flags, err := a.FlagList()
	if err != nil {
		return set, it, err
	}
	if it.keywords, it.deleted, err = keywordsOf(flags); err != nil {
		return set, it, a.Fail(err.Error())
	}
	return set, it, a.End()
}

// keywordsOf gives the keywords of flags, and whether \Deleted is among them.
func keywordsOf(flags []string) (keywords []string, deleted bool, err error) {
	for _, f := range flags {
		k, ok := box.KeywordOf(f)
		switch {
		case ok:
			keywords = append(keywords, k)
		case strings.EqualFold(f, box.Deleted):
			deleted = true
		case strings.EqualFold(f, `\Recent`): // the server's own (RFC 3501, 2.3.2)
		default:
			return nil, false, fmt.Errorf("%s is no flag that can be set", f)
		}
	}
	slices.Sort(keywords)
	return slices.Compact(keywords), deleted, nil
}

// change is what a STORE makes of one message.
type change struct{ add, remove []string }

// of gives the change that leads from a row to what was asked for.
func (it *storeItem) of(r *box.Row) (c change, deleted bool) {
	deleted = r.Deleted
	for _, k := range it.keywords {
		// Whether a message is a draft is not for a client to say.
		if k == mail.Draft {
			continue
		}
		switch has := r.Has(k); {
		case it.sign == '-' && has:
			c.remove = append(c.remove, k)
		case it.sign != '-' && !has:
			c.add = append(c.add, k)
		}
	}
	if it.sign == '=' {
		for _, k := range r.Keywords {
			if k != mail.Draft && !slices.Contains(it.keywords, k) {
				c.remove = append(c.remove, k)
			}
		}
		return c, it.deleted
	}
	if it.deleted {
		deleted = it.sign == '+'
	}
	return c, deleted
}

// apply gives keywords after a change.
func (c *change) apply(keywords []string) []string {
	out := slices.DeleteFunc(slices.Clone(keywords), func(k string) bool { return slices.Contains(c.remove, k) })
	out = append(out, c.add...)
	slices.Sort(out)
	return slices.Compact(out)
}
