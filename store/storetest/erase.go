package storetest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func eraseCases() []Case {
	return []Case{
		{Name: "a deleted account cannot be read at all", Run: eraseUnreadable},
		{Name: "nothing is written for an account that is not there", Run: eraseNoTrace},
		{Name: "an account that is connected again begins empty", Run: eraseAgain},
		{Name: "records left behind are dropped in bounded steps", Run: eraseDrop},
		{Name: "an account's sequence outlives it", Run: eraseSequence},
		{Name: "no plaintext of mail lies on the disk", Run: erasePlaintext, Files: true},
	}
}

// marked is what must not be found on the disk.
const marked = "MARKED-PLAINTEXT-7f3a"

// inhabit fills an account with one of everything.
func (w *World) inhabit(acct string, suffix string) (blobs []store.BlobRef) {
	w.Helper()
	f, m, sub := "f"+suffix, "m"+suffix, "sub"+suffix
	w.update(func(tx store.Tx) error {
		a := account(acct)
		a.Name, a.Address, a.Watch.LookupKeys = marked+" name", marked+"@example.org", []string{marked + suffix}
		if err := tx.PutAccount(a); err != nil {
			return err
		}
		b := mailbox(f, acct)
		b.Name = marked + " mailbox"
		if err := tx.PutMailbox(b); err != nil {
			return err
		}
		if _, err := tx.GiveUIDs(f, 10); err != nil {
			return err
		}
		msg := message(m, acct, Start, f)
		msg.Thread, msg.Subject, msg.Preview = "t"+suffix, marked+" subject", marked+" preview"
		msg.Keywords, msg.Local = []string{strings.ToLower(marked)}, []string{strings.ToLower(marked) + "-local"}
		msg.From = []mail.Address{{Name: marked, Email: marked + "@example.org"}}
		if err := tx.PutMessage(msg); err != nil {
			return err
		}
		for _, kind := range append(store.MessageDerived(), store.DerivedGrams) {
			if err := tx.PutDerived(acct, kind, m, []byte(marked)); err != nil {
				return err
			}
		}
		p := &store.AppPassword{ID: "p" + suffix, Account: acct, Name: marked, Hash: []byte(marked + suffix), CreatedAt: Start}
		if err := tx.PutAppPassword(p); err != nil {
			return err
		}
		if err := tx.PutSubscribedName(acct, marked); err != nil {
			return err
		}
		if err := tx.PutScope(&store.Scope{Account: acct, Name: "scope", Cursor: mail.Cursor(marked)}); err != nil {
			return err
		}
		if err := tx.PutAbsence(store.Absence{Account: acct, Message: m, Since: Start}); err != nil {
			return err
		}
		e := &event.Event{
			Type: event.MessageCreated, Account: acct, Message: m, Time: Start, Reason: marked,
			AddedKeywords: []string{marked}, Snapshot: &event.Snapshot{Subject: marked, Preview: marked},
		}
		if err := tx.AppendEvent(e); err != nil {
			return err
		}
		s := &store.Submission{
			ID: sub, Account: acct, State: store.SubmissionScheduled, Subject: marked, From: marked + "@example.org",
			Recipients: []string{marked + "@example.net"}, MessageID: marked, IdempotencyKey: marked, DraftID: marked,
			NextAt: Start, CreatedAt: Start,
		}
		if err := tx.PutSubmission(s); err != nil {
			return err
		}
		if err := tx.PutGrant(&store.Grant{ID: "g" + suffix, Accounts: []string{acct}, Bytes: []byte(marked)}); err != nil {
			return err
		}
		return tx.PutSetting("setting"+suffix, []byte(marked))
	})
	for _, text := range []string{marked + " small", strings.Repeat(marked+" large ", 5000)} {
		ref, err := w.Store.Blobs().Put(w.ctx(), acct, strings.NewReader(text), true)
		if err != nil {
			w.Fatalf("put blob: %v", err)
		}
		blobs = append(blobs, ref)
	}
	return blobs
}

// vanished checks that nothing of what inhabit made can be read.
func (w *World) vanished(acct, suffix string, blobs []store.BlobRef) {
	w.Helper()
	f, m, sub, t := "f"+suffix, "m"+suffix, "sub"+suffix, "t"+suffix
	w.view(func(tx store.Tx) error {
		_, err := tx.Account(acct)
		w.absent("account", err)
		_, err = tx.AccountByLookup("sandbox", marked+suffix)
		w.absent("account by lookup", err)
		_, err = tx.Mailbox(f)
		w.absent("mailbox", err)
		_, err = tx.Message(m)
		w.absent("message", err)
		_, err = tx.Thread(t)
		w.absent("thread", err)
		_, err = tx.Scope(acct, "scope")
		w.absent("scope", err)
		_, err = tx.Submission(sub)
		w.absent("submission", err)
		_, err = tx.SubmissionByKey(acct, marked)
		w.absent("submission by key", err)
		_, err = tx.SubmissionByMessageID(acct, marked)
		w.absent("submission by message id", err)
		_, err = tx.SubmissionByDraft(acct, marked)
		w.absent("submission by draft", err)
		_, err = tx.Derived(acct, store.DerivedRows, m)
		w.absent("derived rows", err)
		_, err = tx.Derived(acct, store.DerivedGrams, m)
		w.absent("derived grams", err)
		_, err = tx.AppPassword("p" + suffix)
		w.absent("app password", err)
		_, err = tx.AppPasswordByHash([]byte(marked + suffix))
		w.absent("app password by hash", err)
		names, err := tx.SubscribedNames(acct)
		if err != nil || len(names) > 0 {
			w.Errorf("%d names are subscribed to, %v", len(names), err)
		}
		boxes, err1 := tx.MailboxesOf(acct)
		uids, err2 := tx.UIDs(f, 1, 1<<31, 10)
		of, err3 := tx.MessagesOf(acct, store.DateKey{}, 10)
		in, err4 := tx.MessagesIn(f, store.DateKey{}, 10)
		oldest, err5 := tx.MessagesOldestFirst(f, store.DateKey{}, 10)
		threads, err6 := tx.ThreadsOf(acct, store.DateKey{}, 10)
		ofThread, err7 := tx.MessagesOfThread(t, store.DateKey{}, 10)
		scopes, err8 := tx.Scopes(acct)
		absences, err9 := tx.Absences(acct, 10)
		due, err10 := tx.DueSubmissions(day(100), 10)
		count, err11 := tx.CountMessages(acct)
		next, err12 := tx.NextSubmission()
		accounts, err13 := tx.AccountsAfter("", 10)
		for _, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13} {
			if err != nil {
				w.Errorf("list: %v", err)
			}
		}
		if n := len(boxes) + len(uids) + len(of) + len(in) + len(oldest) + len(threads) + len(ofThread) + len(scopes) + len(absences) + len(due) + len(accounts); n != 0 || count != 0 || !next.IsZero() {
			w.Errorf("lists still hold %d entries, %d messages, next submission %v", n, count, next)
		}
		events, err := tx.AccountEventsAfter(acct, 0, 10)
		if err != nil {
			w.Errorf("events: %v", err)
		}
		for _, e := range events {
			if e.Snapshot != nil || e.Reason != "" || len(e.AddedKeywords) > 0 {
				w.Errorf("event %d still tells of mail", e.Sequence)
			}
		}
		return nil
	})
	for _, ref := range blobs {
		_, err := w.Store.Blobs().Open(w.ctx(), acct, ref.Digest)
		w.absent("blob", err)
	}
}

func eraseUnreadable(w *World) {
	blobs := w.inhabit("a1", "1")
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	w.vanished("a1", "1", blobs)
	w.Reopen()
	w.vanished("a1", "1", blobs)
	w.view(func(tx store.Tx) error {
		e, err := tx.EventsAfter(0, 10)
		if len(e) != 1 || e[0].Message != "m1" || e[0].Account != "a1" {
			w.Errorf("the journal keeps no place: %v", e)
		}
		return err
	})
}

func eraseNoTrace(w *World) {
	w.settle("a1", "f1")
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") }) // twice is no error
	for what, fn := range map[string]func(store.Tx) error{
		"mailbox":    func(tx store.Tx) error { return tx.PutMailbox(mailbox("f2", "a1")) },
		"message":    func(tx store.Tx) error { return tx.PutMessage(message("m1", "a1", Start, "f1")) },
		"scope":      func(tx store.Tx) error { return tx.PutScope(&store.Scope{Account: "a1"}) },
		"absence":    func(tx store.Tx) error { return tx.PutAbsence(store.Absence{Account: "a1", Message: "m1"}) },
		"submission": func(tx store.Tx) error { return tx.PutSubmission(&store.Submission{ID: "s", Account: "a1"}) },
		"derived":    func(tx store.Tx) error { return tx.PutDerived("a1", store.DerivedGrams, "k", []byte("x")) },
		"password": func(tx store.Tx) error {
			return tx.PutAppPassword(&store.AppPassword{ID: "p", Account: "a1", Hash: []byte("x")})
		},
		"subscribed": func(tx store.Tx) error { return tx.PutSubscribedName("a1", "name") },
		"unknown":    func(tx store.Tx) error { return tx.PutMailbox(mailbox("f2", "a9")) },
	} {
		w.absent(what, w.refused(what, fn))
	}
	_, err := w.Store.Blobs().Put(w.ctx(), "a1", strings.NewReader("x"), false)
	w.absent("put blob", err)
}

func eraseAgain(w *World) {
	blobs := w.inhabit("a1", "1")
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	w.update(func(tx store.Tx) error { return tx.PutAccount(account("a1")) })
	w.view(func(tx store.Tx) error {
		_, err := tx.Mailbox("f1")
		w.absent("mailbox of before", err)
		_, err = tx.Message("m1")
		w.absent("message of before", err)
		n, err := tx.CountMessages("a1")
		if n != 0 {
			w.Errorf("%d messages", n)
		}
		return err
	})
	for _, ref := range blobs {
		_, err := w.Store.Blobs().Open(w.ctx(), "a1", ref.Digest)
		w.absent("blob of before", err)
	}
	again := w.inhabit("a1", "1") // the same ids, as the same provider would give
	w.view(func(tx store.Tx) error {
		m, err := tx.Mailbox("f1")
		if err != nil {
			return err
		}
		if m.Total != 1 || m.UIDNext != 2 {
			w.Errorf("mailbox of now: %+v", m)
		}
		list, err := tx.MessagesOf("a1", store.DateKey{}, 10)
		w.same("messages of now", []string{"m1"}, ids(list))
		th, terr := tx.Thread("t1")
		if terr != nil || th.Count != 1 {
			w.Errorf("thread of now: %+v, %v", th, terr)
		}
		return err
	})
	// What is left of before goes, what is new stays.
	for more := true; more; {
		w.update(func(tx store.Tx) (err error) {
			more, err = tx.DropAccountRecords("a1", 3)
			return err
		})
	}
	w.view(func(tx store.Tx) error {
		if _, err := tx.Message("m1"); err != nil {
			w.Errorf("message of now: %v", err)
		}
		if _, err := tx.Submission("sub1"); err != nil {
			w.Errorf("submission of now: %v", err)
		}
		if th, err := tx.Thread("t1"); err != nil || th.Count != 1 {
			w.Errorf("thread of now: %+v, %v", th, err)
		}
		rows, err := tx.UIDs("f1", 1, 10, 10)
		if len(rows) != 1 {
			w.Errorf("UIDs of now: %v", rows)
		}
		return err
	})
	for _, ref := range again {
		b, err := w.Store.Blobs().Open(w.ctx(), "a1", ref.Digest)
		if err != nil {
			w.Errorf("blob of now: %v", err)
			continue
		}
		_ = b.Close()
	}
}

func eraseDrop(w *World) {
	const n = 40
	w.settle("a1", "f1")
	for i := range n {
		w.put(message(name("m", i), "a1", Start, "f1"))
	}
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	steps := 0
	for more := true; more; steps++ {
		w.update(func(tx store.Tx) (err error) {
			more, err = tx.DropAccountRecords("a1", 10)
			return err
		})
		if steps > 10*n {
			w.Fatalf("dropping does not end")
		}
	}
	if steps < n/10 {
		w.Errorf("%d messages were dropped in %d steps of 10", n, steps)
	}
	w.update(func(tx store.Tx) error {
		more, err := tx.DropAccountRecords("a1", 10)
		if more {
			w.Errorf("there is still more")
		}
		return err
	})
}

func eraseSequence(w *World) {
	w.settle("a1")
	first := &event.Event{Type: event.Ping, Account: "a1", Time: Start}
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.AppendEvent(first), tx.DeleteAccount("a1"))
	})
	gone := &event.Event{Type: event.AccountDisconnected, Account: "a1", Time: Start}
	w.update(func(tx store.Tx) error { return tx.AppendEvent(gone) })
	for more := true; more; {
		w.update(func(tx store.Tx) (err error) { more, err = tx.DropAccountRecords("a1", 10); return err })
	}
	w.settle("a1")
	again := &event.Event{Type: event.Ping, Account: "a1", Time: Start}
	w.update(func(tx store.Tx) error { return tx.AppendEvent(again) })
	if first.Sequence != 1 || gone.Sequence != 2 || again.Sequence != 3 || first.ID == again.ID {
		w.Errorf("sequences %d, %d, %d", first.Sequence, gone.Sequence, again.Sequence)
	}
}

func erasePlaintext(w *World) {
	w.inhabit("a1", "1")
	w.update(func(tx store.Tx) error {
		if err := tx.PutEndpoint(&store.Endpoint{ID: "e1", Config: []byte(marked), Reason: marked}); err != nil {
			return err
		}
		d := &store.Delivery{ID: "d1", Endpoint: "e1", Lane: "a1", Account: "a1", Event: "evt1", Rendition: "full", LastError: marked, CreatedAt: Start}
		if err := tx.PutBody(d, []byte(marked)); err != nil {
			return err
		}
		if err := tx.Enqueue(d); err != nil {
			return err
		}
		if err := tx.PutAttempt(&store.Attempt{Delivery: "d1", Number: 1, At: Start, Answer: []byte(marked), Error: marked}); err != nil {
			return err
		}
		return tx.PutConnect(&store.Connect{Link: marked, State: marked, LoginHint: marked, Pending: []byte(marked), ExpiresAt: day(1)})
	})
	w.search()
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a1") })
	if err := w.Store.Blobs().DeleteAccount(w.ctx(), "a1"); err != nil {
		w.Errorf("delete blobs: %v", err)
	}
	w.Reopen()
	w.search()
}

// search looks for the mark in every file, in either case.
func (w *World) search() {
	w.Helper()
	files := 0
	err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		if bytes.Contains(bytes.ToLower(b), []byte(strings.ToLower(marked))) {
			w.Errorf("%s holds plaintext", strings.TrimPrefix(path, w.Dir))
		}
		return nil
	})
	if err != nil || files == 0 {
		w.Errorf("searched %d files: %v", files, err)
	}
}
