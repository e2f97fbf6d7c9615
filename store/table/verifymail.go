package table

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

func (v *verifier) accounts() error {
	err := v.records(bAccount, func(k key, l uint64, plain []byte) error {
		a, err := record.DecodeAccount(string(k), plain)
		if v.bad(bAccount, k, err) {
			return nil
		}
		of := "account " + a.ID
		if err := v.row(bLife, k, key(nil).u64(l), of); err != nil {
			return err
		}
		for _, name := range a.Watch.LookupKeys {
			m := v.mac("lookup", a.Provider, name)
			got, err := v.get(bLookup, m)
			if err != nil {
				return err
			}
			if got != nil && string(got) != a.ID {
				continue // another account has taken it over
			}
			if err := v.row(bLookup, m, []byte(a.ID), of); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.each(bKey, func(p Pair) error {
		v.checked.Records++
		if _, err := v.dataKey(number(p.Key)); err != nil {
			v.tellf("the data key of life %d does not open: %v", number(p.Key), err)
		}
		return nil
	})
}

// settings are records that nothing hangs on, and pending consents.
func (v *verifier) settings() error {
	for _, b := range []Bucket{bSetting, bGrant} {
		if err := v.records(b, func(key, uint64, []byte) error { return nil }); err != nil {
			return err
		}
	}
	return v.records(bConnect, func(k key, _ uint64, plain []byte) error {
		c, err := record.DecodeConnect(plain)
		if v.bad(bConnect, k, err) {
			return nil
		}
		of := "pending consent " + printable(k)
		if c.State != "" {
			if err := v.row(bConnectBy, v.mac("state", c.State), k, of); err != nil {
				return err
			}
		}
		return v.row(bConnectAt, key(nil).at(c.ExpiresAt).last(string(k)), nil, of)
	})
}

func (v *verifier) mailboxes() error {
	return v.records(bMailbox, func(k key, l uint64, plain []byte) error {
		m, err := record.DecodeMailbox(string(k), plain)
		if v.bad(bMailbox, k, err) {
			return nil
		}
		v.boxes[m.ID] = &boxCount{}
		of := "mailbox " + m.ID
		if err := v.row(bMailboxState, (&box{id: m.ID, life: l}).key(), nil, of); err != nil {
			return err
		}
		return v.row(bMailboxOf, key(nil).u64(l).last(m.ID), nil, of)
	})
}

func (v *verifier) messagesOf() error {
	return v.records(bMessage, func(k key, l uint64, plain []byte) error {
		m, err := record.DecodeMessage(string(k), plain)
		if v.bad(bMessage, k, err) {
			return nil
		}
		v.messages[l]++
		of := "message " + m.ID
		if err := v.row(bByAccount, key(nil).u64(l).back(m.ReceivedAt).last(m.ID), nil, of); err != nil {
			return err
		}
		if m.Thread != "" {
			if err := v.row(bByThread, messagesKey(l, m.Thread).at(m.ReceivedAt).last(m.ID), nil, of); err != nil {
				return err
			}
		}
		for _, id := range m.In {
			if err := v.inMailbox(&box{id: id, life: l}, m, of); err != nil {
				return err
			}
		}
		return nil
	})
}

// inMailbox checks the rows of a message in one mailbox.
func (v *verifier) inMailbox(b *box, m *store.Message, of string) error {
	count := v.boxes[b.id]
	if count == nil {
		v.tellf("%s is in mailbox %s, which is not there", of, b.id)
		return nil
	}
	count.total++
	if unseen(m) {
		count.unread++
	}
	k := b.dateKey(m.ReceivedAt, m.ID)
	if err := v.row(bByMailbox, k, nil, of); err != nil {
		return err
	}
	value, err := v.get(bByMailbox, k)
	if err != nil || value == nil {
		return err
	}
	uid := uidOf(value)
	if uid == 0 {
		return v.row(bUIDWait, b.waitKey(m.ReceivedAt, m.ID), nil, of)
	}
	if err := v.row(bUID, b.uidKey(uid), nil, of); err != nil {
		return err
	}
	row, err := v.uidRow(b, uid)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		v.tellf("UID %d of mailbox %s cannot be read: %v", uid, b.id, err)
	case row.Message != m.ID:
		v.tellf("UID %d of mailbox %s names message %s instead of %s", uid, b.id, row.Message, m.ID)
	case !slices.Equal(row.Keywords, m.AllKeywords()):
		v.tellf("UID %d of mailbox %s has other keywords than message %s", uid, b.id, m.ID)
	case row.Size != m.Size || !row.Date.Equal(m.ReceivedAt):
		v.tellf("UID %d of mailbox %s has another size or date than message %s", uid, b.id, m.ID)
	}
	return nil
}

// boxCounts compares the counts that are kept with those that were made.
func (v *verifier) boxCounts() error {
	for id, n := range v.boxes {
		b, err := v.box(id)
		if errors.Is(err, store.ErrNotFound) {
			continue // told already
		}
		if v.bad(bMailboxState, key(id), err) {
			continue
		}
		if b.state.Total != n.total || b.state.Unread != n.unread {
			v.tellf("mailbox %s counts %d messages, %d unread; it has %d and %d", id, b.state.Total, b.state.Unread, n.total, n.unread)
		}
	}
	for l, n := range v.messages {
		if got, err := v.get(bCount, key(nil).u64(l)); err != nil {
			return err
		} else if got == nil {
			v.tellf("life %d has %d messages and no count of them", l, n)
		}
	}
	return v.each(bCount, func(p Pair) error {
		l := number(p.Key)
		if len(p.Key) != 8 {
			v.tellf("a count of messages stands in a wrong place: %s", printable(p.Key))
		}
		alive, err := v.livingLife(l)
		if n := number(p.Value); alive && err == nil && n != v.messages[l] {
			v.tellf("life %d counts %d messages, it has %d", l, n, v.messages[l])
		}
		return err
	})
}

func (v *verifier) threads() error {
	return v.each(bThread, func(p Pair) error {
		l, n := binary.Uvarint(p.Value)
		alive, err := v.livingLife(l)
		if err != nil || !alive {
			return err
		}
		v.checked.Records++
		t, err := record.DecodeThread(string(p.Key), p.Value[max(n, 0):])
		if v.bad(bThread, p.Key, err) {
			return nil
		}
		of := "thread " + t.ID
		if err := v.row(bThreadOf, threadKey(l, t), nil, of); err != nil {
			return err
		}
		have := 0
		prefix := messagesKey(l, t.ID)
		for from := []byte(prefix); ; {
			pairs, err := v.scan(bByThread, from, end(prefix), false, 500)
			if err != nil {
				return err
			}
			if have += len(pairs); len(pairs) == 0 {
				break
			}
			from = next(pairs[len(pairs)-1].Key)
		}
		if have != t.Count {
			v.tellf("%s counts %d messages, it has %d", of, t.Count, have)
		}
		return nil
	})
}

func (v *verifier) scopes() error {
	return v.records(bScope, func(k key, l uint64, plain []byte) error {
		s, err := record.DecodeScope("", plain)
		if v.bad(bScope, k, err) {
			return nil
		}
		if string(v.scopeKey(l, s.Name)) != string(k) {
			v.tellf("a sync cursor of life %d stands in a wrong place", l)
		}
		return nil
	})
}
