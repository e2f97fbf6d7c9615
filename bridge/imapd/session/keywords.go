package session

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

const (
	// maxKeywords is how many keywords a message may have. Each is kept with the
	// message and in every mailbox's table, and told whenever its flags are.
	maxKeywords = 200
	// maxNames is how many keywords the messages of a mailbox may have among them,
	// IMAP's own and the registered ones aside: SELECT lists them all, and so does
	// FLAGS for each that is new. Of a mailbox that has more, since they came with
	// messages or from the provider, as many are listed.
	maxNames = 500
)

var (
	errKeywords = withCode("LIMIT", mail.Errorf(mail.KindInvalid, "change flags", "A message may have at most %d keywords", maxKeywords))
	errNames    = withCode("LIMIT", mail.Errorf(mail.KindInvalid, "change flags", "The messages of a mailbox may have at most %d different keywords", maxNames))
)

// names are keywords that FLAGS lists.
type names struct {
	all map[string]struct{}
	// counted is how many of them maxNames bounds.
	counted int
}

// namesOf are those of a mailbox, the first ones where there are too many.
func namesOf(b *box.Box) names {
	n := names{all: map[string]struct{}{}}
	for _, k := range b.Keywords() {
		n.add(k)
	}
	return n
}

// add notes a keyword, if there is room, and reports whether it is new.
func (n *names) add(keyword string) bool {
	if n.has(keyword) || !box.Known(keyword) && n.full() {
		return false
	}
	n.all[keyword] = struct{}{}
	if !box.Known(keyword) {
		n.counted++
	}
	return true
}

func (n *names) has(keyword string) bool {
	_, ok := n.all[keyword]
	return ok
}

func (n *names) full() bool { return n.counted >= maxNames }

// takes reports whether keywords can be added to a message of the mailbox.
func (n *names) takes(keywords []string) bool {
	more := n.counted
	for _, k := range keywords {
		if !n.has(k) && !box.Known(k) {
			more++
		}
	}
	return more == n.counted || more <= maxNames
}

// flags are all flags of the mailbox: IMAP's own, then keywords in order.
func (n *names) flags() []string {
	out := []string{box.Answered, box.Flagged, box.Deleted, box.Seen, box.Draft}
	var keywords []string
	for k := range n.all {
		if flag := box.FlagOf(k); flag[0] != '\\' {
			keywords = append(keywords, flag)
		}
	}
	slices.Sort(keywords)
	return append(out, keywords...)
}

// learn notes keywords, and reports whether the client has to be told of one.
func (v *selected) learn(rows []box.Row) (isNew bool) {
	for i := range rows {
		for _, k := range rows[i].Keywords {
			if v.keywords.add(k) {
				isNew = isNew || box.FlagOf(k)[0] != '\\'
			}
		}
	}
	return isNew
}

// takes answers why keywords cannot be given to a message of the selected
// mailbox, nil where they can.
func (v *selected) takes(keywords []string) error {
	if v.keywords.takes(keywords) {
		return nil
	}
	v.keywords = namesOf(v.box) // some may be no message's any more
	if v.keywords.takes(keywords) {
		return nil
	}
	return errNames
}

// mailboxTakes is takes for any mailbox. It needs the mailbox's index only for
// keywords that a mail program has made up.
func (s *Session) mailboxTakes(ctx context.Context, m *store.Mailbox, keywords []string) error {
	if s.sel != nil && s.sel.mailbox.ID == m.ID {
		return s.sel.takes(keywords)
	}
	if !slices.ContainsFunc(keywords, func(k string) bool { return !box.Known(k) }) || !m.UIDListed {
		return nil
	}
	b, err := s.server.boxes.Open(ctx, m.ID)
	if err != nil {
		return err
	}
	defer b.Release()
	n := namesOf(b)
	if !n.takes(keywords) {
		return errNames
	}
	return nil
}
