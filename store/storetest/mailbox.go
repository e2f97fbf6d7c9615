package storetest

import (
	"errors"
	"math"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func mailboxCases() []Case {
	return []Case{
		{Name: "a mailbox comes back as it was put, with the store's counts", Run: mailboxRoundTrip},
		{Name: "mailboxes are listed by id", Run: mailboxList},
		{Name: "a mailbox is deleted only when it is empty", Run: mailboxDelete},
		{Name: "total and unread are counted", Run: mailboxCounts},
		{Name: "a mailbox's modseq is the newest and never falls", Run: mailboxModSeq},
		{Name: "a UIDVALIDITY is never given again", Run: mailboxUIDValidity},
		{Name: "UIDs are given oldest first, in steps", Run: uidOldestFirst},
		{Name: "messages that arrive between steps get UIDs too", Run: uidBetween},
		{Name: "a UID is never given twice", Run: uidNeverTwice},
		{Name: "a move gives a new UID and takes the old row", Run: uidMove},
		{Name: "a UID row covers keywords and keeps deleted", Run: uidRow},
		{Name: "renewing gives new UIDs in all mailboxes", Run: uidRenew},
		{Name: "UIDs are listed by range", Run: uidRange},
	}
}

func mailboxRoundTrip(w *World) {
	w.settle("a1")
	m := &store.Mailbox{
		ID: "f1", Account: "a1", ProviderID: "p1", Parent: "f0", ParentProviderID: "p0", Name: "Archiv \u00fc",
		Role: mail.RoleArchive, Kind: mail.KindLabel, Hidden: true, UIDValidity: 4711, ModSeq: 5, ProviderTotal: 12, CreatedAt: Start,
		UIDNext: 99, UIDListed: true, Total: 77, Unread: 66,
	}
	want := *m
	want.UIDNext, want.UIDListed, want.Total, want.Unread = 1, false, 0, 0
	w.update(func(tx store.Tx) error { return tx.PutMailbox(m) })
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Mailbox("f1")
		w.same("mailbox", &want, got)
		return err
	})
	w.put(message("m1", "a1", Start, "f1"))
	w.update(func(tx store.Tx) error {
		if _, err := tx.GiveUIDs("f1", 10); err != nil {
			return err
		}
		return tx.PutMailbox(m)
	})
	want.UIDNext, want.UIDListed, want.Total, want.Unread = 2, true, 1, 1
	w.view(func(tx store.Tx) error {
		got, err := tx.Mailbox("f1")
		w.same("mailbox put again", &want, got)
		return err
	})
}

func mailboxList(w *World) {
	w.settle("a1", "f3", "f1", "f2")
	w.settle("a2", "g1")
	w.view(func(tx store.Tx) error {
		list, err := tx.MailboxesOf("a1")
		var got []string
		for _, m := range list {
			got = append(got, m.ID)
		}
		w.same("mailboxes", []string{"f1", "f2", "f3"}, got)
		return err
	})
	_ = w.refused("taking over another account's mailbox", func(tx store.Tx) error { return tx.PutMailbox(mailbox("g1", "a1")) })
}

func mailboxDelete(w *World) {
	w.settle("a1", "f1", "f2")
	w.put(message("m1", "a1", Start, "f1"))
	_ = w.refused("deleting a mailbox with a message", func(tx store.Tx) error { return tx.DeleteMailbox("f1") })
	w.put(message("m1", "a1", Start, "f2"))
	w.update(func(tx store.Tx) error { return errors.Join(tx.DeleteMailbox("f1"), tx.DeleteMailbox("unknown")) })
	w.view(func(tx store.Tx) error {
		_, err := tx.Mailbox("f1")
		w.absent("deleted mailbox", err)
		list, err := tx.MailboxesOf("a1")
		if len(list) != 1 || list[0].ID != "f2" {
			w.Errorf("left: %v", list)
		}
		return err
	})
}

func (w *World) counts(id string, total, unread int64) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		m, err := tx.Mailbox(id)
		if err != nil {
			return err
		}
		if m.Total != total || m.Unread != unread {
			w.Errorf("%s: total %d, unread %d; want %d, %d", id, m.Total, m.Unread, total, unread)
		}
		return nil
	})
}

func mailboxUIDValidity(w *World) {
	floor := func(what string, want uint32) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			got, err := tx.UIDValidityFloor()
			if got != want {
				w.Errorf("%s: the floor is %d, want %d", what, got, want)
			}
			return err
		})
	}
	floor("an empty store", 0)
	put := func(id, account string, validity uint32) {
		w.Helper()
		m := mailbox(id, account)
		m.UIDValidity = validity
		w.update(func(tx store.Tx) error { return tx.PutMailbox(m) })
	}
	drop := func(id string) {
		w.Helper()
		w.update(func(tx store.Tx) error { return tx.DeleteMailbox(id) })
	}
	w.settle("a1")
	w.settle("a2")
	put("f1", "a1", 1000)
	put("f2", "a1", 900)
	put("g1", "a2", 2000)
	floor("three mailboxes", 2001)
	drop("f2")
	floor("one that was not the newest is deleted", 2001)
	drop("g1")
	floor("the newest is deleted", 2001)
	w.Reopen()
	floor("reopened", 2001)
	put("f1", "a1", 1000) // renamed, say
	floor("an old one is written again", 2001)
	put("g2", "a2", 3000)
	floor("a fourth mailbox", 3001)
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a2") })
	floor("the account of the newest is deleted", 3001)
	drop("f1")
	floor("an old one is deleted", 3001)
}

func mailboxCounts(w *World) {
	w.settle("a1", "f1", "f2")
	m1, m2 := message("m1", "a1", Start, "f1"), message("m2", "a1", Start, "f1", "f2")
	w.put(m1, m2)
	w.counts("f1", 2, 2)
	w.counts("f2", 1, 1)
	m2.Keywords = []string{mail.Seen}
	w.put(m2)
	w.counts("f1", 2, 1)
	w.counts("f2", 1, 0)
	m1.Local = []string{mail.Seen}
	w.put(m1)
	w.counts("f1", 2, 0)
	m1.Local, m1.In = nil, []string{"f2"}
	w.put(m1)
	w.counts("f1", 1, 0)
	w.counts("f2", 2, 1)
	w.put(m1)
	w.counts("f2", 2, 1)
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m1", 1) })
	w.counts("f2", 1, 0)
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m2", 1) })
	w.counts("f1", 0, 0)
	w.counts("f2", 0, 0)
}

func mailboxModSeq(w *World) {
	w.settle("a1", "f1", "f2")
	want := func(id string, seq uint64) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			m, err := tx.Mailbox(id)
			if err == nil && m.ModSeq != seq {
				w.Errorf("%s: modseq %d, want %d", id, m.ModSeq, seq)
			}
			return err
		})
	}
	m := message("m1", "a1", Start, "f1")
	m.ModSeq = 5
	w.put(m)
	want("f1", 5)
	want("f2", 0)
	m.ModSeq, m.In = 8, []string{"f2"}
	w.put(m)
	want("f1", 8) // it left
	want("f2", 8)
	b := mailbox("f1", "a1")
	b.ModSeq = 3
	w.update(func(tx store.Tx) error { return tx.PutMailbox(b) })
	want("f1", 8)
	b.ModSeq = 9
	w.update(func(tx store.Tx) error { return tx.PutMailbox(b) })
	want("f1", 9)
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m1", 11) })
	want("f2", 11)
	w.put(message("m2", "a1", Start, "f2"))
	want("f2", 11)
}

func (w *World) rows(id string) []store.UID {
	w.Helper()
	var rows []store.UID
	w.view(func(tx store.Tx) (err error) {
		rows, err = tx.UIDs(id, 1, math.MaxUint32, 1000)
		return err
	})
	return rows
}

func (w *World) give(id string, limit int) (more bool) {
	w.Helper()
	w.update(func(tx store.Tx) (err error) {
		more, err = tx.GiveUIDs(id, limit)
		return err
	})
	return more
}

func uidOldestFirst(w *World) {
	w.settle("a1", "f1")
	for _, i := range []int{3, 0, 4, 1, 2} {
		w.put(message(name("m", i), "a1", day(i), "f1"))
	}
	w.view(func(tx store.Tx) error {
		m, err := tx.Message("m0003")
		if err == nil && len(m.UIDs) != 0 {
			w.Errorf("UIDs before they are given: %v", m.UIDs)
		}
		return err
	})
	var steps []bool
	for range 3 {
		steps = append(steps, w.give("f1", 2))
		w.view(func(tx store.Tx) error {
			m, err := tx.Mailbox("f1")
			if err == nil && m.UIDListed == steps[len(steps)-1] {
				w.Errorf("listed %v while more is %v", m.UIDListed, steps[len(steps)-1])
			}
			return err
		})
	}
	w.same("more", []bool{true, true, false}, steps)
	for i, row := range w.rows("f1") {
		if row.UID != uint32(i+1) || row.Message != name("m", i) {
			w.Errorf("row %d: %+v", i, row)
		}
	}
	w.view(func(tx store.Tx) error {
		m, err := tx.Message("m0003")
		if err != nil {
			return err
		}
		w.same("UIDs of the message", map[string]uint32{"f1": 4}, m.UIDs)
		b, err := tx.Mailbox("f1")
		if err == nil && (b.UIDNext != 6 || !b.UIDListed) {
			w.Errorf("mailbox %+v", b)
		}
		return err
	})
	w.put(message("later", "a1", day(-9), "f1")) // old mail that arrives now
	rows := w.rows("f1")
	if last := rows[len(rows)-1]; last.Message != "later" || last.UID != 6 {
		w.Errorf("a message in a listed mailbox: %+v", last)
	}
	_ = w.refused("UIDs for an unknown mailbox", func(tx store.Tx) error { _, err := tx.GiveUIDs("unknown", 1); return err })
}

func uidBetween(w *World) {
	w.settle("a1", "f1")
	for i := range 4 {
		w.put(message(name("m", 10+i), "a1", day(10+i), "f1"))
	}
	if !w.give("f1", 2) {
		w.Errorf("no more after 2 of 4")
	}
	w.put(message("m0001", "a1", day(1), "f1"), message("m0099", "a1", day(99), "f1"))
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m0012", 1) })
	for w.give("f1", 1) {
	}
	var got []string
	for i, row := range w.rows("f1") {
		got = append(got, row.Message)
		if row.UID != uint32(i+1) {
			w.Errorf("row %d: %+v", i, row)
		}
	}
	w.same("order of UIDs", []string{"m0010", "m0011", "m0001", "m0013", "m0099"}, got)
}

func uidNeverTwice(w *World) {
	w.settle("a1", "f1")
	w.give("f1", 1)
	seen := map[uint32]bool{}
	for i := range 6 {
		w.put(message(name("m", i), "a1", Start, "f1"))
		rows := w.rows("f1")
		if len(rows) != 1 || seen[rows[0].UID] {
			w.Fatalf("rows %+v, given before: %v", rows, seen)
		}
		seen[rows[0].UID] = true
		w.update(func(tx store.Tx) error { return tx.DeleteMessage(name("m", i), 1) })
		if i == 3 {
			w.Reopen()
		}
	}
}

func uidMove(w *World) {
	w.settle("a1", "f1", "f2")
	w.give("f1", 1)
	w.give("f2", 1)
	m := message("m1", "a1", Start, "f1")
	w.put(m)
	m.In = []string{"f2"}
	w.put(m)
	if rows := w.rows("f1"); len(rows) != 0 {
		w.Errorf("the old mailbox has %+v", rows)
	}
	if rows := w.rows("f2"); len(rows) != 1 || rows[0].UID != 1 {
		w.Errorf("the new mailbox has %+v", rows)
	}
	m.In = []string{"f1", "f2"}
	w.put(m)
	if rows := w.rows("f1"); len(rows) != 1 || rows[0].UID != 2 {
		w.Errorf("back in the old mailbox: %+v", rows)
	}
	if rows := w.rows("f2"); len(rows) != 1 || rows[0].UID != 1 {
		w.Errorf("in the one it stayed in: %+v", rows)
	}
}

func uidRow(w *World) {
	w.settle("a1", "f1")
	w.give("f1", 1)
	m := message("m1", "a1", Start, "f1")
	m.Keywords, m.Local, m.ModSeq = []string{mail.Flagged}, []string{"$local"}, 3
	w.put(m)
	w.same("row", []store.UID{{UID: 1, Message: "m1", Keywords: []string{mail.Flagged, "$local"}, ModSeq: 3, Date: Start}}, w.rows("f1"))
	w.update(func(tx store.Tx) error { return tx.SetDeleted("f1", 1, true, 4) })
	m.Keywords, m.ModSeq = nil, 5
	w.put(m)
	w.same("row after a change", []store.UID{{UID: 1, Message: "m1", Keywords: []string{"$local"}, Deleted: true, ModSeq: 5, Date: Start}}, w.rows("f1"))
	w.update(func(tx store.Tx) error { return tx.SetDeleted("f1", 1, false, 6) })
	w.same("row undeleted", []store.UID{{UID: 1, Message: "m1", Keywords: []string{"$local"}, ModSeq: 6, Date: Start}}, w.rows("f1"))
	w.view(func(tx store.Tx) error {
		b, err := tx.Mailbox("f1")
		if err == nil && b.ModSeq != 6 {
			w.Errorf("modseq %d", b.ModSeq)
		}
		return err
	})
	w.absent("an unknown UID", w.refused("unknown UID", func(tx store.Tx) error { return tx.SetDeleted("f1", 9, true, 7) }))
}

func uidRenew(w *World) {
	w.settle("a1", "f1", "f2", "f3")
	w.give("f1", 1)
	w.give("f2", 1)
	w.put(message("m1", "a1", Start, "f1", "f2", "f3"), message("m2", "a1", Start, "f1"))
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.SetDeleted("f1", 1, true, 2), tx.RenewUIDs("m1", 9))
	})
	w.same("rows", []store.UID{{UID: 2, Message: "m2", Date: Start}, {UID: 3, Message: "m1", ModSeq: 9, Date: Start}}, w.rows("f1"))
	w.same("rows", []store.UID{{UID: 2, Message: "m1", ModSeq: 9, Date: Start}}, w.rows("f2"))
	w.view(func(tx store.Tx) error {
		m, err := tx.Message("m1")
		if err != nil {
			return err
		}
		w.same("UIDs", map[string]uint32{"f1": 3, "f2": 2}, m.UIDs)
		if m.ModSeq != 9 {
			w.Errorf("modseq %d", m.ModSeq)
		}
		return nil
	})
	w.absent("renewing the unknown", w.refused("unknown", func(tx store.Tx) error { return tx.RenewUIDs("unknown", 1) }))
}

func uidRange(w *World) {
	w.settle("a1", "f1")
	w.give("f1", 1)
	for i := 1; i <= 9; i++ {
		w.put(message(name("m", i), "a1", Start, "f1"))
	}
	for _, c := range []struct {
		first, last uint32
		limit       int
		want        []uint32
	}{
		{1, math.MaxUint32, 100, []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{3, 5, 100, []uint32{3, 4, 5}}, {3, 5, 2, []uint32{3, 4}}, {9, 9, 1, []uint32{9}}, {10, 20, 5, nil}, {5, 4, 5, nil}, {0, 2, 5, []uint32{1, 2}},
	} {
		w.view(func(tx store.Tx) error {
			rows, err := tx.UIDs("f1", c.first, c.last, c.limit)
			var got []uint32
			for _, r := range rows {
				got = append(got, r.UID)
			}
			w.same("range", c.want, got)
			return err
		})
	}
}
