package session

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
)

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
	if it.sign != '-' && len(messages) > 0 {
		if err := s.sel.takes(it.keywords); err != nil {
			return nil, err
		}
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
// the flags of its messages: what comes after that is news. "*" is a message that
// the client knew when it gave the command.
func (s *Session) settled(ctx context.Context, set wire.Set, uid bool, w *wire.Writer) ([]message, error) {
	set = s.sel.known(set, uid)
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
		if len(c.add) > 0 && len(m.row.Keywords)-len(c.remove)+len(c.add) > maxKeywords {
			failed[m.uid] = struct{}{}
			o.note(errKeywords)
			continue
		}
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
		err := inBatches(ctx, s.info.Stopping, g.ids, func(ctx context.Context, ids []string) error {
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
		err := inBatches(ctx, s.info.Stopping, part.uids, func(ctx context.Context, uids []uint32) error {
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
			responses{w}.Flags(v.keywords.flags())
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
