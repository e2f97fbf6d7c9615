package storetest

import (
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func messageCases() []Case {
	return []Case{
		{Name: "a message comes back as it was put", Run: messageRoundTrip},
		{Name: "a message is in a mailbox that exists", Run: messageNeedsMailbox},
		{Name: "messages are listed by date, in pages", Run: messagePages},
		{Name: "a date outside of ordinary years keeps its place", Run: messageStrangeDates},
		{Name: "a change of date moves a message in every list", Run: messageDateChange},
		{Name: "deleting a message removes all that follows from it", Run: messageDelete},
		{Name: "threads follow their newest message", Run: threads},
		{Name: "threads are listed by date, in pages", Run: threadPages},
	}
}

func fullMessage() *store.Message {
	a := func(s string) []mail.Address {
		return []mail.Address{{Name: s + " \u00df", Email: s + "@example.org"}, {Email: "x@example.org"}}
	}
	return &store.Message{
		ID: "m1", Account: "a1", Thread: "t1", In: []string{"f1", "f2"}, Local: []string{"$l1", "$l2"}, Blob: "digest",
		ModSeq: 12, CreatedSeq: 3, Backfill: true, Wrote: store.Write{Fields: mail.FieldSeen | mail.FieldFlagged, At: day(3)},
		PlacedAt: day(4),
		Message: mail.Message{
			ProviderID: "p1", ProviderThreadID: "pt1", Mailboxes: []string{"pf1", "pf2"}, Keywords: []string{"$flagged", "$seen"},
			Subject: "subject", From: a("from"), Sender: a("sender"), To: a("to"), Cc: a("cc"), Bcc: a("bcc"), ReplyTo: a("reply"),
			MessageID: "mid@example.org", InReplyTo: []string{"r1"}, References: []string{"r0", "r1"},
			SentAt: day(-1), ReceivedAt: Start.Add(5 * time.Second), Preview: "preview", Importance: mail.ImportanceHigh,
			HasAttachments: true, Size: 1 << 40, Version: 77, ContentTag: "tag",
		},
	}
}

func messageRoundTrip(w *World) {
	w.settle("a1", "f1", "f2")
	m := fullMessage()
	w.put(m)
	w.give("f2", 10)
	w.Reopen()
	m.UIDs = map[string]uint32{"f2": 1}
	w.view(func(tx store.Tx) error {
		got, err := tx.Message("m1")
		w.same("message", m, got)
		_, missing := tx.Message("m2")
		w.absent("unknown message", missing)
		return err
	})
	ugly := message("m2", "a1", Start, "f1")
	ugly.Subject, ugly.Keywords = "bad \xff byte", []string{"\xfe"}
	w.put(ugly)
	w.view(func(tx store.Tx) error {
		got, err := tx.Message("m2")
		if err == nil && got.Subject != "bad \uFFFD byte" {
			w.Errorf("subject %q", got.Subject)
		}
		return err
	})
}

func messageNeedsMailbox(w *World) {
	w.settle("a1", "f1")
	w.settle("a2", "g1")
	w.put(message("m1", "a1", Start, "f1"))
	_ = w.refused("no mailbox", func(tx store.Tx) error { return tx.PutMessage(message("m2", "a1", Start)) })
	w.absent("an unknown mailbox", w.refused("unknown", func(tx store.Tx) error {
		return tx.PutMessage(message("m2", "a1", Start, "f1", "unknown"))
	}))
	_ = w.refused("another account's mailbox", func(tx store.Tx) error { return tx.PutMessage(message("m2", "a1", Start, "g1")) })
	_ = w.refused("another account's message", func(tx store.Tx) error { return tx.PutMessage(message("m1", "a2", Start, "g1")) })
	w.counts("f1", 1, 1)
	w.counts("g1", 0, 0)
	// Named twice is in once.
	w.put(message("m3", "a1", Start, "f1", "f1"))
	w.counts("f1", 2, 2)
}

// pages reads a list in pages of n.
func pages(n int, list func(after store.DateKey, limit int) ([]store.DateKey, error)) (out []store.DateKey, err error) {
	var after store.DateKey
	for {
		page, err := list(after, n)
		if err != nil || len(page) == 0 {
			return out, err
		}
		if len(page) > n {
			return nil, errors.New("a page is longer than asked for")
		}
		out = append(out, page...)
		after = page[len(page)-1]
	}
}

func messagePages(w *World) {
	w.settle("a1", "f1", "f2")
	w.settle("a2", "g1")
	// Pairs share a date: then ids decide.
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		m := message(name("m", i), "a1", day(i/2), "f1")
		if i == 4 {
			m.In = []string{"f2"}
		}
		w.put(m)
	}
	w.put(message("other", "a2", day(1), "g1"))
	newest := []string{"m0004", "m0005", "m0002", "m0003", "m0000", "m0001"}
	w.view(func(tx store.Tx) error {
		for n := 1; n <= 7; n++ {
			of, err := pages(n, func(after store.DateKey, limit int) ([]store.DateKey, error) {
				return tx.MessagesOf("a1", after, limit)
			})
			if err != nil {
				return err
			}
			w.same("of the account", newest, ids(of))
			in, err := pages(n, func(after store.DateKey, limit int) ([]store.DateKey, error) {
				return tx.MessagesIn("f1", after, limit)
			})
			if err != nil {
				return err
			}
			w.same("in the mailbox", []string{"m0005", "m0002", "m0003", "m0000", "m0001"}, ids(in))
			back, err := pages(n, func(after store.DateKey, limit int) ([]store.DateKey, error) {
				return tx.MessagesOldestFirst("f1", after, limit)
			})
			if err != nil {
				return err
			}
			w.same("oldest first", []string{"m0001", "m0000", "m0003", "m0002", "m0005"}, ids(back))
		}
		// A place that is gone is still a place.
		after := store.DateKey{At: day(1), ID: "m0002x"}
		rest, err := tx.MessagesOf("a1", after, 10)
		w.same("after a missing place", []string{"m0003", "m0000", "m0001"}, ids(rest))
		return err
	})
}

func messageStrangeDates(w *World) {
	w.settle("a1", "f1")
	dates := []time.Time{
		{}, time.Date(1, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(1901, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Unix(-1, 0).UTC(), time.Unix(0, 0).UTC(), Start, Start.Add(1), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	var want []store.DateKey
	for i, at := range dates {
		w.put(message(name("m", i), "a1", at, "f1"))
		want = append([]store.DateKey{{At: at, ID: name("m", i)}}, want...)
	}
	w.view(func(tx store.Tx) error {
		got, err := tx.MessagesIn("f1", store.DateKey{}, 100)
		w.same("newest first", want, got)
		return err
	})
}

func messageDateChange(w *World) {
	w.settle("a1", "f1", "f2")
	w.give("f1", 1)
	a, b := message("a", "a1", day(1), "f1", "f2"), message("b", "a1", day(2), "f1", "f2")
	a.Thread, b.Thread = "t1", "t1"
	w.put(a, b)
	a.ReceivedAt = day(3)
	w.put(a)
	w.view(func(tx store.Tx) error {
		of, err1 := tx.MessagesOf("a1", store.DateKey{}, 10)
		in, err2 := tx.MessagesIn("f2", store.DateKey{}, 10)
		th, err3 := tx.MessagesOfThread("t1", store.DateKey{}, 10)
		w.same("of the account", []string{"a", "b"}, ids(of))
		w.same("in the mailbox", []string{"a", "b"}, ids(in))
		w.same("of the thread", []string{"b", "a"}, ids(th))
		t, err4 := tx.Thread("t1")
		if err4 == nil && !t.LastAt.Equal(day(3)) {
			w.Errorf("thread's last %v", t.LastAt)
		}
		m, err5 := tx.Message("a")
		if err5 == nil {
			w.same("UID stays", map[string]uint32{"f1": 1}, m.UIDs)
		}
		return errors.Join(err1, err2, err3, err4, err5)
	})
	w.give("f2", 10)
	if rows := w.rows("f2"); len(rows) != 2 || rows[0].Message != "b" {
		w.Errorf("UIDs after the change: %+v", rows)
	}
}

func messageDelete(w *World) {
	w.settle("a1", "f1", "f2")
	w.give("f1", 1)
	m := message("m1", "a1", Start, "f1", "f2")
	m.Thread = "t1"
	w.put(m)
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m1", 7) })
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m1", 8) }) // twice is no error
	w.view(func(tx store.Tx) error {
		_, err := tx.Message("m1")
		w.absent("message", err)
		_, err = tx.Thread("t1")
		w.absent("thread", err)
		of, err1 := tx.MessagesOf("a1", store.DateKey{}, 10)
		in, err2 := tx.MessagesIn("f2", store.DateKey{}, 10)
		ths, err3 := tx.ThreadsOf("a1", store.DateKey{}, 10)
		th, err4 := tx.MessagesOfThread("t1", store.DateKey{}, 10)
		n, err5 := tx.CountMessages("a1")
		if len(of)+len(in)+len(ths)+len(th) != 0 || n != 0 {
			w.Errorf("left: %v %v %v %v, %d", of, in, ths, th, n)
		}
		return errors.Join(err1, err2, err3, err4, err5)
	})
	if rows := w.rows("f1"); len(rows) != 0 {
		w.Errorf("UID rows left: %v", rows)
	}
	if w.give("f2", 5) {
		w.Errorf("UIDs to give are left")
	}
	w.counts("f1", 0, 0)
	w.counts("f2", 0, 0)
}

func threads(w *World) {
	w.settle("a1", "f1")
	a, b, c := message("a", "a1", day(1), "f1"), message("b", "a1", day(2), "f1"), message("c", "a1", day(3), "f1")
	a.Thread, b.Thread, c.Thread = "t1", "t1", "t2"
	w.put(a, b, c)
	check := func(id string, count int, last time.Time, messages ...string) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			t, err := tx.Thread(id)
			if count == 0 {
				w.absent("thread "+id, err)
				return nil
			}
			if err != nil {
				return err
			}
			w.same("thread "+id, &store.Thread{ID: id, Account: "a1", LastAt: last, Count: count}, t)
			list, err := pages(1, func(after store.DateKey, limit int) ([]store.DateKey, error) {
				return tx.MessagesOfThread(id, after, limit)
			})
			w.same("messages of "+id, messages, ids(list))
			return err
		})
	}
	check("t1", 2, day(2), "a", "b")
	check("t2", 1, day(3), "c")
	w.put(b) // no change changes nothing
	check("t1", 2, day(2), "a", "b")
	b.Thread = "t2"
	w.put(b)
	check("t1", 1, day(1), "a")
	check("t2", 2, day(3), "b", "c")
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("c", 1) })
	check("t2", 1, day(2), "b")
	a.Thread = ""
	w.put(a)
	check("t1", 0, day(0))
}

func threadPages(w *World) {
	w.settle("a1", "f1")
	for i := range 7 {
		m := message(name("m", i), "a1", day(i), "f1")
		m.Thread = name("t", (i*3)%7)
		w.put(m)
	}
	w.view(func(tx store.Tx) error {
		var got []string
		var after store.DateKey
		for {
			page, err := tx.ThreadsOf("a1", after, 2)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, t := range page {
				got = append(got, t.ID)
				after = store.DateKey{At: t.LastAt, ID: t.ID}
			}
		}
		w.same("threads", []string{"t0004", "t0001", "t0005", "t0002", "t0006", "t0003", "t0000"}, got)
		return nil
	})
}
