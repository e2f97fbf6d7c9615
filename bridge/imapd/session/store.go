package session

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// writeAtOnce is how many messages one call to the mirror changes, and
// writeLimit how long that may take. Within them a change that was begun is
// carried through, though the client leaves: it asked for it.
const (
	writeAtOnce = 500
	writeLimit  = 5 * time.Minute
)

// outcome is what came of a change of several messages.
type outcome struct {
	done   int
	failed error
	// lost is how many were gone.
	lost int
	fail int
}

// note adds the fate of one message.
func (o *outcome) note(err error) {
	switch {
	case err == nil:
		o.done++
	case mail.KindOf(err) == mail.KindNotFound:
		o.lost++
	default:
		o.fail++
		if o.failed == nil {
			o.failed = err
		}
	}
}

// answer is the answer to a command that changed messages. uid: it named them
// by UID, where one that is gone is no error (RFC 9051, 6.4.9).
func (o *outcome) answer(uid bool, verb string) *Tagged {
	switch {
	case o.fail > 0:
		t := Answer(o.failed)
		t.Text = line(fmt.Sprintf("%d of %d messages not %s: %s", o.fail, o.fail+o.done, verb, t.Text))
		return t
	case o.lost > 0 && !uid:
		return &Tagged{Status: No, Code: "EXPUNGEISSUED", Text: fmt.Sprintf("%d messages are gone", o.lost)}
	}
	return &Tagged{Status: OK, Text: "Done"}
}

// inBatches has a change made for some messages after the other.
func inBatches[T any](ctx context.Context, all []T, change func(context.Context, []T) error) error {
	for part := range slices.Chunk(all, writeAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
		err := change(ctx, part)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

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

// store answers STORE and UID STORE.
func (s *Session) store(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	set, it, err := parseStore(c.Args)
	if err != nil {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	messages, err := s.settled(ctx, set, c.UID, w)
	if err != nil {
		return nil, err
	}
	o := outcome{lost: s.sel.missing}
	failed, err := s.change(ctx, &it, messages, &o)
	if err != nil {
		return nil, err
	}
	if err := s.sel.box.CatchUp(ctx); err != nil {
		return nil, err
	}
	s.tellStored(&it, messages, failed, w)
	return o.answer(c.UID, "changed"), nil
}

// settled resolves a set at a moment when the client was told everything about
// the flags of its messages: what comes after that is news.
func (s *Session) settled(ctx context.Context, set wire.Set, uid bool, w *wire.Writer) ([]message, error) {
	for range 10 {
		if err := s.poll(ctx, responses{w}, false); err != nil {
			return nil, err
		}
		messages, err := s.resolve(set, uid)
		if err != nil || s.sel.box.Version() == s.sel.version {
			return messages, err
		}
	}
	return s.resolve(set, uid) // so busy a mailbox has its client told at the end
}

// change makes the change in as few calls as there are kinds of it, and gives
// the UIDs that it failed for.
func (s *Session) change(ctx context.Context, it *storeItem, messages []message, o *outcome) (failed map[uint32]struct{}, err error) {
	type group struct {
		change
		uids []uint32
		ids  []string
	}
	var groups []*group
	byKey := map[string]*group{}
	var mark, unmark []uint32
	failed = map[uint32]struct{}{}
	for i := range messages {
		m := &messages[i]
		c, deleted := it.of(&m.row)
		if deleted != m.row.Deleted {
			if deleted {
				mark = append(mark, m.uid)
			} else {
				unmark = append(unmark, m.uid)
			}
		}
		if len(c.add)+len(c.remove) == 0 {
			o.done++
			continue
		}
		key := strings.Join(c.add, " ") + "\n" + strings.Join(c.remove, " ")
		g := byKey[key]
		if g == nil {
			g = &group{change: c}
			byKey[key], groups = g, append(groups, g)
		}
		g.uids, g.ids = append(g.uids, m.uid), append(g.ids, m.row.Message)
	}
	for _, g := range groups {
		at := 0
		err := inBatches(ctx, g.ids, func(ctx context.Context, ids []string) error {
			rs, err := s.server.opts.Mirror.Update(ctx, ids, mailbox.Change{AddKeywords: g.add, RemoveKeywords: g.remove})
			for i := range ids {
				fate := err
				if err == nil {
					fate = rs[i].Err
				}
				if o.note(fate); fate != nil {
					failed[g.uids[at+i]] = struct{}{}
				}
			}
			at += len(ids)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		uids    []uint32
		deleted bool
	}{{mark, true}, {unmark, false}} {
		err := inBatches(ctx, part.uids, func(ctx context.Context, uids []uint32) error {
			err := s.server.opts.Mirror.SetDeleted(ctx, s.sel.mailbox.ID, uids, part.deleted)
			if err != nil {
				for _, uid := range uids {
					failed[uid] = struct{}{}
				}
				o.fail += len(uids)
				o.failed = err
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// tellStored tells the flags that messages have now, or, if the command was
// silent, notes which ones the client takes them to have: poll tells where it
// is wrong, because somebody else changed them, too.
func (s *Session) tellStored(it *storeItem, messages []message, failed map[uint32]struct{}, w *wire.Writer) {
	v := s.sel
	var rows []box.Row
	for part := range slices.Chunk(messages, writeAtOnce) {
		uids := make([]uint32, len(part))
		for i := range part {
			uids[i] = part[i].uid
		}
		rows = v.box.Rows(uids, rows[:0])
		if v.learn(rows) {
			responses{w}.Flags(v.flags())
		}
		for i := range rows {
			if rows[i].UID == 0 {
				continue
			}
			if !it.silent {
				v.told[rows[i].UID] = box.FlagList(rows[i])
				responses{w}.Fetch(part[i].seq, rows[i].UID, box.Flags(rows[i]), rows[i].ModSeq)
				continue
			}
			if _, bad := failed[rows[i].UID]; bad {
				continue
			}
			c, deleted := it.of(&part[i].row)
			expect := part[i].row
			expect.Keywords, expect.Deleted = c.apply(expect.Keywords), deleted
			if list := box.ListOf(expect.Keywords, deleted); list == box.FlagList(rows[i]) {
				v.told[rows[i].UID] = list
			}
		}
	}
}

// apply gives keywords after a change.
func (c *change) apply(keywords []string) []string {
	out := slices.DeleteFunc(slices.Clone(keywords), func(k string) bool { return slices.Contains(c.remove, k) })
	out = append(out, c.add...)
	slices.Sort(out)
	return slices.Compact(out)
}
