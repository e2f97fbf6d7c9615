package storetest

import (
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func syncCases() []Case {
	return []Case{
		{Name: "a scope comes back as it was put", Run: scopes},
		{Name: "absences are kept by message", Run: absences},
	}
}

func scopes(w *World) {
	w.settle("a1")
	w.settle("a2")
	whole := &store.Scope{Account: "a1", Cursor: mail.Cursor("c"), Complete: true, Comparing: true, Asked: Start,
		Unreadable: []store.Unreadable{{Message: "m1", Tries: 3, Next: Start.Add(time.Hour), Reason: "it stumbles"}, {Message: "m2"}}}
	box := &store.Scope{Account: "a1", Name: "pf1", Cursor: mail.Cursor{0, 255}}
	other := &store.Scope{Account: "a2", Name: "pf1"}
	w.view(func(tx store.Tx) error {
		_, err := tx.Scope("a1", "")
		w.absent("scope before the first", err)
		return nil
	})
	w.update(func(tx store.Tx) error { return errors.Join(tx.PutScope(box), tx.PutScope(whole), tx.PutScope(other)) })
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Scope("a1", "")
		if err != nil {
			return err
		}
		w.same("scope", whole, got)
		list, err := tx.Scopes("a1")
		w.same("scopes", []*store.Scope{whole, box}, list)
		return err
	})
	box.Cursor = mail.Cursor("next")
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutScope(box), tx.DeleteScope("a1", ""), tx.DeleteScope("a1", "unknown"))
	})
	w.view(func(tx store.Tx) error {
		list, err := tx.Scopes("a1")
		w.same("scopes", []*store.Scope{box}, list)
		_, missing := tx.Scope("a1", "")
		w.absent("deleted scope", missing)
		return err
	})
}

func absences(w *World) {
	w.settle("a1")
	w.settle("a2")
	w.update(func(tx store.Tx) error {
		for i := range 5 {
			if err := tx.PutAbsence(store.Absence{Account: "a1", Message: name("m", i), Since: day(i)}); err != nil {
				return err
			}
		}
		return tx.PutAbsence(store.Absence{Account: "a2", Message: "m0001", Since: day(9)})
	})
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutAbsence(store.Absence{Account: "a1", Message: "m0002", Since: day(7)}),
			tx.DeleteAbsence("a1", "m0000"), tx.DeleteAbsence("a1", "unknown"))
	})
	w.view(func(tx store.Tx) error {
		list, err := tx.Absences("a1", 3)
		w.same("absences", []store.Absence{
			{Account: "a1", Message: "m0001", Since: day(1)}, {Account: "a1", Message: "m0002", Since: day(7)}, {Account: "a1", Message: "m0003", Since: day(3)},
		}, list)
		return err
	})
}
