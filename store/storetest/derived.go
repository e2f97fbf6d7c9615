package storetest

import (
	"fmt"
	"slices"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func derivedCases() []Case {
	return []Case{
		{Name: "a derived value comes back as it was put", Run: derivedRoundTrip},
		{Name: "derived values are listed by key, in pages", Run: derivedList},
		{Name: "what is derived from a message goes with it", Run: derivedGoes},
		{Name: "what is derived from bytes goes with the bytes", Run: derivedRenewed},
		{Name: "a UID row tells size and date of its message", Run: uidDescribes},
		{Name: "a message gets its UID ahead of the list", Run: uidAhead},
		{Name: "an app password is found by id, hash and account", Run: appPasswordFound},
		{Name: "app passwords go with their account", Run: appPasswordErased},
		{Name: "names are subscribed to without a mailbox", Run: subscribedNames},
		{Name: "a mailbox's subscription stays", Run: subscriptionStays},
	}
}

// derived puts a value for each kind that a message has.
func derived(tx store.Tx, acct, message string) error {
	for _, kind := range store.MessageDerived() {
		if err := tx.PutDerived(acct, kind, message, fmt.Appendf(nil, "%d of %s", kind, message)); err != nil {
			return err
		}
	}
	return nil
}

// countDerived is how many values the account has of the message.
func (w *World) countDerived(acct, message string) int {
	w.Helper()
	n := 0
	w.view(func(tx store.Tx) error {
		n = 0
		for _, kind := range store.MessageDerived() {
			v, err := tx.Derived(acct, kind, message)
			if err != nil {
				w.absent("derived value", err)
				continue
			}
			if want := fmt.Sprintf("%d of %s", kind, message); string(v) != want {
				w.Errorf("derived value %q, want %q", v, want)
			}
			n++
		}
		return nil
	})
	return n
}

func derivedRoundTrip(w *World) {
	w.settle("a1", "f1")
	w.settle("a2", "f2")
	w.put(message("m1", "a1", Start, "f1"))
	large := slices.Repeat([]byte{0, 1, 255}, 40_000)
	w.update(func(tx store.Tx) error {
		if err := tx.PutDerived("a1", store.DerivedRows, "m1", []byte("first")); err != nil {
			return err
		}
		if err := tx.PutDerived("a1", store.DerivedRows, "m1", large); err != nil {
			return err
		}
		return tx.PutDerived("a1", store.DerivedSegment, "s1", nil)
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Derived("a1", store.DerivedRows, "m1")
		w.same("a large value", large, got)
		empty, err2 := tx.Derived("a1", store.DerivedSegment, "s1")
		if err2 != nil || len(empty) != 0 {
			w.Errorf("an empty value: %q, %v", empty, err2)
		}
		_, missing := tx.Derived("a1", store.DerivedHeader, "m1")
		w.absent("another kind", missing)
		_, missing = tx.Derived("a2", store.DerivedRows, "m1")
		w.absent("another account's", missing)
		return err
	})
	w.absent("a value of no message", w.refused("a value of no message", func(tx store.Tx) error {
		return tx.PutDerived("a1", store.DerivedText, "m9", []byte("x"))
	}))
	w.absent("a value of another's message", w.refused("a value of another's message", func(tx store.Tx) error {
		return tx.PutDerived("a2", store.DerivedText, "m1", []byte("x"))
	}))
	w.refused("a value without a key", func(tx store.Tx) error { return tx.PutDerived("a1", store.DerivedGrams, "", []byte("x")) })
	w.update(func(tx store.Tx) error {
		if err := tx.DeleteDerived("a1", store.DerivedRows, "m1"); err != nil {
			return err
		}
		if err := tx.DeleteDerived("a1", store.DerivedRows, "m1"); err != nil { // twice is no error
			return err
		}
		_, err := tx.Derived("a1", store.DerivedRows, "m1")
		w.absent("a deleted value", err)
		return nil
	})
}

func derivedList(w *World) {
	w.settle("a1", "f1")
	w.settle("a2", "f2")
	var want []store.DerivedRow
	w.update(func(tx store.Tx) error {
		want = nil
		for i := range 25 {
			row := store.DerivedRow{Key: name("k", i), Value: fmt.Appendf(nil, "value %d", i)}
			want = append(want, row)
			for _, put := range []struct {
				acct string
				kind store.DerivedKind
			}{{"a1", store.DerivedGrams}, {"a1", store.DerivedSegment}, {"a2", store.DerivedGrams}} {
				if err := tx.PutDerived(put.acct, put.kind, row.Key, row.Value); err != nil {
					return err
				}
			}
		}
		return nil
	})
	w.view(func(tx store.Tx) error {
		var got []store.DerivedRow
		for after := ""; ; {
			page, err := tx.DerivedAfter("a1", store.DerivedGrams, after, 10)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1].Key
		}
		w.same("rows", want, got)
		none, err := tx.DerivedAfter("a9", store.DerivedGrams, "", 10)
		w.same("of no account", 0, len(none))
		return err
	})
}

func derivedGoes(w *World) {
	w.settle("a1", "f1", "f2")
	w.put(message("m1", "a1", Start, "f1"), message("m2", "a1", Start, "f1"))
	w.update(func(tx store.Tx) error {
		if err := derived(tx, "a1", "m1"); err != nil {
			return err
		}
		if err := derived(tx, "a1", "m2"); err != nil {
			return err
		}
		return tx.PutDerived("a1", store.DerivedGrams, "m1", []byte("the index's own"))
	})
	w.put(message("m1", "a1", Start, "f2")) // it moved, and that is all
	all := len(store.MessageDerived())
	if n := w.countDerived("a1", "m1"); n != all {
		w.Errorf("a message that moved has %d values", n)
	}
	w.update(func(tx store.Tx) error { return tx.DeleteMessage("m1", 2) })
	if n, m := w.countDerived("a1", "m1"), w.countDerived("a1", "m2"); n != 0 || m != all {
		w.Errorf("the deleted message has %d values, the other one %d", n, m)
	}
	w.view(func(tx store.Tx) error {
		_, err := tx.Derived("a1", store.DerivedGrams, "m1")
		return err
	})
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	w.view(func(tx store.Tx) error {
		_, err := tx.Derived("a1", store.DerivedRows, "m2")
		w.absent("of an account that is gone", err)
		rows, err := tx.DerivedAfter("a1", store.DerivedRows, "", 10)
		w.same("of an account that is gone", 0, len(rows))
		return err
	})
	w.settle("a1", "f1")
	w.put(message("m2", "a1", Start, "f1"))
	if n := w.countDerived("a1", "m2"); n != 0 {
		w.Errorf("an account that was connected again has %d values of before", n)
	}
}

func derivedRenewed(w *World) {
	w.settle("a1", "f1")
	m := message("m1", "a1", Start, "f1")
	put := func(blob string) {
		w.Helper()
		m.Blob = blob
		w.put(m)
	}
	put("")
	w.update(func(tx store.Tx) error { return derived(tx, "a1", "m1") })
	all := len(store.MessageDerived())
	put("d1")
	if n := w.countDerived("a1", "m1"); n != all {
		w.Errorf("when the bytes became known %d values were left", n)
	}
	put("d1")
	if n := w.countDerived("a1", "m1"); n != all {
		w.Errorf("with the same bytes %d values were left", n)
	}
	put("d2")
	if n := w.countDerived("a1", "m1"); n != 0 {
		w.Errorf("with other bytes %d values were left", n)
	}
	w.update(func(tx store.Tx) error { return derived(tx, "a1", "m1") })
	put("")
	if n := w.countDerived("a1", "m1"); n != 0 {
		w.Errorf("without bytes %d values were left", n)
	}
}

func uidDescribes(w *World) {
	w.settle("a1", "f1", "f2")
	check := func(what, box string, size int64, m *store.Message) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			rows, err := tx.UIDs(box, 1, 1<<31, 10)
			if err != nil || len(rows) != 1 {
				w.Errorf("%s: %d rows, %v", what, len(rows), err)
				return err
			}
			if r := rows[0]; r.Size != size || !r.Date.Equal(m.ReceivedAt) {
				w.Errorf("%s: size %d, date %v", what, r.Size, r.Date)
			}
			return nil
		})
	}
	w.update(func(tx store.Tx) error { _, err := tx.GiveUIDs("f1", 10); return err })
	m := message("m1", "a1", day(3), "f1", "f2")
	w.put(m)
	check("before the size is known", "f1", 0, m)
	m.Size, m.Keywords = 1234, []string{mail.Seen}
	w.put(m)
	check("with a size", "f1", 1234, m)
	w.update(func(tx store.Tx) error { _, err := tx.GiveUIDs("f2", 10); return err })
	check("with a UID of later", "f2", 1234, m)
	m.Size, m.ReceivedAt = 1235, day(-40_000) // and before 1970
	w.put(m)
	check("with another date", "f1", 1235, m)
	check("with another date", "f2", 1235, m)
	w.update(func(tx store.Tx) error { return tx.SetDeleted("f2", 1, true, 9) })
	check("when it is deleted", "f2", 1235, m)
	w.update(func(tx store.Tx) error { return tx.RenewUIDs("m1", 10) })
	check("with a new UID", "f1", 1235, m)
}

func uidAhead(w *World) {
	w.settle("a1", "f1", "f2")
	w.put(message("m1", "a1", day(1), "f1"), message("m2", "a1", day(2), "f1"), message("m3", "a1", day(3), "f1"))
	give := func(id string, want uint32) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			got, err := tx.GiveUID("f1", id)
			if err == nil && got != want {
				w.Errorf("%s got UID %d, want %d", id, got, want)
			}
			return err
		})
	}
	give("m2", 1)
	give("m2", 1) // it has one
	w.view(func(tx store.Tx) error {
		m, err := tx.Message("m2")
		if err == nil && m.UIDs["f1"] != 1 {
			w.Errorf("the message has UIDs %v", m.UIDs)
		}
		b, err2 := tx.Mailbox("f1")
		if err2 == nil && (b.UIDListed || b.UIDNext != 2) {
			w.Errorf("mailbox %+v", b)
		}
		return firstError(err, err2)
	})
	w.update(func(tx store.Tx) error {
		more, err := tx.GiveUIDs("f1", 10)
		if more {
			w.Errorf("there is more")
		}
		return err
	})
	give("m3", 3)
	var order []string
	for _, r := range w.rows("f1") {
		order = append(order, r.Message)
	}
	w.same("order", []string{"m2", "m1", "m3"}, order)
	for what, fn := range map[string]func(store.Tx) error{
		"in another mailbox": func(tx store.Tx) error { _, err := tx.GiveUID("f2", "m1"); return err },
		"no message":         func(tx store.Tx) error { _, err := tx.GiveUID("f1", "m9"); return err },
		"no mailbox":         func(tx store.Tx) error { _, err := tx.GiveUID("f9", "m1"); return err },
	} {
		w.absent(what, w.refused(what, fn))
	}
}

func appPasswordFound(w *World) {
	w.settle("a1")
	w.settle("a2")
	one := &store.AppPassword{ID: "p1", Account: "a1", Name: "Thunderbird", Scopes: []string{"imap", "smtp"}, HideCaps: []string{"IDLE"},
		Hash: []byte{0, 1, 2}, CreatedAt: Start, LastUsedAt: day(1)}
	two := &store.AppPassword{ID: "p2", Account: "a1", Name: "mbsync", Scopes: []string{"imap"}, Hash: []byte{3}, CreatedAt: Start}
	other := &store.AppPassword{ID: "p3", Account: "a2", Name: "mutt", Scopes: []string{"imap"}, Hash: []byte{4}, CreatedAt: Start}
	w.update(func(tx store.Tx) error {
		for _, p := range []*store.AppPassword{two, one, other} {
			if err := tx.PutAppPassword(p); err != nil {
				return err
			}
		}
		return nil
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.AppPassword("p1")
		w.same("by id", one, got)
		byHash, err2 := tx.AppPasswordByHash([]byte{4})
		w.same("by hash", other, byHash)
		list, err3 := tx.AppPasswordsOf("a1")
		w.same("of an account", []*store.AppPassword{one, two}, list)
		_, missing := tx.AppPassword("p9")
		w.absent("an unknown one", missing)
		_, missing = tx.AppPasswordByHash([]byte{9})
		w.absent("an unknown hash", missing)
		_, missing = tx.AppPasswordByHash(nil)
		w.absent("no hash", missing)
		return firstError(err, err2, err3)
	})
	w.refused("the hash of another one", func(tx store.Tx) error {
		return tx.PutAppPassword(&store.AppPassword{ID: "p4", Account: "a2", Hash: []byte{0, 1, 2}})
	})
	w.refused("another account's", func(tx store.Tx) error {
		return tx.PutAppPassword(&store.AppPassword{ID: "p1", Account: "a2", Hash: []byte{7}})
	})
	one.Hash, one.Revoked = []byte{5}, day(2)
	w.update(func(tx store.Tx) error { return tx.PutAppPassword(one) })
	w.view(func(tx store.Tx) error {
		_, err := tx.AppPasswordByHash([]byte{0, 1, 2})
		w.absent("the hash of before", err)
		got, err := tx.AppPasswordByHash([]byte{5})
		w.same("by its new hash", one, got)
		return err
	})
	w.update(func(tx store.Tx) error { return firstError(tx.DeleteAppPassword("p1"), tx.DeleteAppPassword("p1")) })
	w.view(func(tx store.Tx) error {
		_, err := tx.AppPassword("p1")
		w.absent("a deleted one", err)
		_, err = tx.AppPasswordByHash([]byte{5})
		w.absent("the hash of a deleted one", err)
		list, err := tx.AppPasswordsOf("a1")
		w.same("what is left", []*store.AppPassword{two}, list)
		return err
	})
}

func appPasswordErased(w *World) {
	w.settle("a1")
	p := &store.AppPassword{ID: "p1", Account: "a1", Hash: []byte{1}, CreatedAt: Start}
	put := func() {
		w.Helper()
		w.update(func(tx store.Tx) error { return tx.PutAppPassword(p) })
	}
	put()
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	gone := func(what string) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			_, err := tx.AppPassword("p1")
			w.absent(what, err)
			_, err = tx.AppPasswordByHash([]byte{1})
			w.absent(what+", by hash", err)
			list, err := tx.AppPasswordsOf("a1")
			w.same(what+", listed", 0, len(list))
			return err
		})
	}
	gone("with the account")
	w.absent("one of a deleted account", w.refused("one of a deleted account", func(tx store.Tx) error { return tx.PutAppPassword(p) }))
	w.settle("a1")
	gone("after the account was connected again")
	put() // before what was left behind is dropped
	for more := true; more; {
		w.update(func(tx store.Tx) (err error) { more, err = tx.DropAccountRecords("a1", 10); return err })
	}
	w.view(func(tx store.Tx) error {
		got, err := tx.AppPasswordByHash([]byte{1})
		w.same("a new one", p, got)
		return err
	})
}

func subscribedNames(w *World) {
	w.settle("a1")
	w.settle("a2")
	w.update(func(tx store.Tx) error {
		return firstError(tx.PutSubscribedName("a1", "b/ü"), tx.PutSubscribedName("a1", "a"), tx.PutSubscribedName("a1", "a"), tx.PutSubscribedName("a2", "c"),
			tx.PutSubscribedName("a1", "gone"), tx.DeleteSubscribedName("a1", "gone"), tx.DeleteSubscribedName("a1", "never"))
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.SubscribedNames("a1")
		w.same("names", []string{"a", "b/ü"}, got)
		return err
	})
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	w.settle("a1")
	w.view(func(tx store.Tx) error {
		got, err := tx.SubscribedNames("a1")
		w.same("names of before", 0, len(got))
		return err
	})
}

func subscriptionStays(w *World) {
	w.settle("a1", "f1")
	want := func(what string, yes bool) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			m, err := tx.Mailbox("f1")
			if err == nil && m.Subscribed() != yes {
				w.Errorf("%s: subscribed %t", what, m.Subscribed())
			}
			return err
		})
	}
	put := func(hidden bool, s store.Subscription) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			m, err := tx.Mailbox("f1")
			if err != nil {
				return err
			}
			m.Hidden, m.Subscription = hidden, s
			return tx.PutMailbox(m)
		})
	}
	want("a new one", true)
	put(true, store.SubscribedByDefault)
	want("a hidden one", false)
	put(true, store.Subscribed)
	want("a hidden one that somebody wants", true)
	put(false, store.Unsubscribed)
	w.Reopen()
	want("one that nobody wants", false)
}

// firstError gives the first of several errors.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
