package bolt_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// list keeps what a reader of one noun gave, or the first error.
func list[T any](out map[string]any, name string, v T, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	out[name] = v
	return nil
}

// ids names what a list holds, where the records themselves are told elsewhere.
func ids[T any](all []T, id func(T) string) []string {
	out := []string{}
	for _, v := range all {
		out = append(out, id(v))
	}
	return out
}

func deliveryID(d *store.Delivery) string { return d.ID }

func eventID(e event.Event) string { return e.ID }

func dumpAccounts(tx store.Tx, out map[string]any) error {
	all, err := tx.AccountsAfter("", 100)
	if err := list(out, "accounts", all, err); err != nil {
		return err
	}
	setting, settingErr := tx.Setting("secret.sample")
	byLink, linkErr := tx.ConnectByLink("link-hash")
	byState, stateErr := tx.ConnectByState("state-hash")
	err = errors.Join(list(out, "setting", setting, settingErr), list(out, "connect by link", byLink, linkErr), list(out, "connect by state", byState, stateErr))
	for _, a := range all {
		grant, grantErr := tx.Grant(a.Grant)
		found, foundErr := tx.AccountByLookup(sampleProvider, "sub-"+a.ID)
		scopes, scopesErr := tx.Scopes(a.ID)
		absences, absencesErr := tx.Absences(a.ID, 100)
		count, countErr := tx.CountMessages(a.ID)
		last, lastErr := tx.LastSequence(a.ID)
		err = errors.Join(err, list(out, "grant of "+a.ID, grant, grantErr), list(out, "lookup of "+a.ID, found, foundErr),
			list(out, "scopes of "+a.ID, scopes, scopesErr), list(out, "absences of "+a.ID, absences, absencesErr),
			list(out, "count of "+a.ID, count, countErr), list(out, "last sequence of "+a.ID, last, lastErr),
			dumpMail(tx, a.ID, out))
	}
	return err
}

func dumpMail(tx store.Tx, account string, out map[string]any) error {
	boxes, err := tx.MailboxesOf(account)
	if err := list(out, "mailboxes of "+account, boxes, err); err != nil {
		return err
	}
	for _, f := range boxes {
		uids, uidsErr := tx.UIDs(f.ID, 1, 1000, 1000)
		in, inErr := tx.MessagesIn(f.ID, store.DateKey{}, 1000)
		if err := errors.Join(list(out, "uids of "+f.ID, uids, uidsErr), list(out, "messages in "+f.ID, in, inErr)); err != nil {
			return err
		}
	}
	keys, err := tx.MessagesOf(account, store.DateKey{}, 1000)
	if err := list(out, "messages of "+account, keys, err); err != nil {
		return err
	}
	for _, k := range keys {
		m, err := tx.Message(k.ID)
		if err := list(out, "message "+k.ID, m, err); err != nil {
			return err
		}
	}
	for _, kind := range append(store.MessageDerived(), store.DerivedGrams) {
		rows, err := tx.DerivedAfter(account, kind, "", 1000)
		if err := list(out, fmt.Sprintf("derived values %d of %s", kind, account), rows, err); err != nil {
			return err
		}
	}
	passwords, passwordsErr := tx.AppPasswordsOf(account)
	names, namesErr := tx.SubscribedNames(account)
	if err := errors.Join(list(out, "app passwords of "+account, passwords, passwordsErr), list(out, "subscribed names of "+account, names, namesErr)); err != nil {
		return err
	}
	threads, err := tx.ThreadsOf(account, store.DateKey{}, 1000)
	if err := list(out, "threads of "+account, threads, err); err != nil {
		return err
	}
	for _, th := range threads {
		of, err := tx.MessagesOfThread(th.ID, store.DateKey{}, 1000)
		if err := list(out, "messages of thread "+th.ID, of, err); err != nil {
			return err
		}
	}
	return nil
}

func dumpEvents(tx store.Tx, out map[string]any) error {
	events, err := tx.EventsAfter(0, 1000)
	if err := list(out, "events", events, err); err != nil {
		return err
	}
	oldest, newest, err := tx.JournalBounds()
	if err := list(out, "journal bounds", []uint64{oldest, newest}, err); err != nil {
		return err
	}
	for i := range events {
		e, err := tx.EventByID(events[i].ID)
		if err != nil {
			return err
		}
		if err := list(out, "event "+events[i].ID, e.Position, err); err != nil {
			return err
		}
	}
	for _, account := range []string{"", "aone", "atwo", "agone", "aquiet"} {
		of, err := tx.AccountEventsAfter(account, 0, 1000)
		if err := list(out, "events of "+account, ids(of, eventID), err); err != nil {
			return err
		}
	}
	return nil
}

func dumpOutbox(tx store.Tx, out map[string]any) error {
	endpoints, err := tx.Endpoints()
	if err := list(out, "endpoints", endpoints, err); err != nil {
		return err
	}
	stats, statsErr := tx.OutboxStats()
	lanes, lanesErr := tx.LanesAfter(store.Lane{}, 1000)
	due, dueErr := tx.DueLanes(at(1000), 1000)
	nextDue, nextErr := tx.NextDue()
	if err := errors.Join(list(out, "outbox stats", stats, statsErr), list(out, "lanes", lanes, lanesErr),
		list(out, "due lanes", due, dueErr), list(out, "next due", nextDue, nextErr)); err != nil {
		return err
	}
	for _, ln := range lanes {
		head, err := tx.Head(ln.Endpoint, ln.Lane, 1000)
		if err := list(out, "lane "+ln.Lane+" to "+ln.Endpoint, ids(head, deliveryID), err); err != nil {
			return err
		}
	}
	for _, e := range endpoints {
		for _, state := range []store.DeliveryState{"", store.DeliveryPending, store.DeliveryDelivered, store.DeliveryDead} {
			of, err := tx.Deliveries(store.DeliveryFilter{Endpoint: e.ID, State: state}, store.DateKey{}, 1000)
			if err := list(out, fmt.Sprintf("%s deliveries to %s", state, e.ID), ids(of, deliveryID), err); err != nil {
				return err
			}
		}
	}
	for _, account := range []string{"aone", "atwo", "agone"} {
		of, err := tx.Deliveries(store.DeliveryFilter{Account: account}, store.DateKey{}, 1000)
		if err := list(out, "deliveries of "+account, ids(of, deliveryID), err); err != nil {
			return err
		}
		for _, d := range of {
			again, againErr := tx.Delivery(d.ID)
			body, bodyErr := tx.Body(d)
			tries, triesErr := tx.AttemptsOf(d.ID)
			if err := errors.Join(list(out, "delivery "+d.ID, again, againErr), list(out, "body of "+d.Event, string(body), bodyErr),
				list(out, "attempts of "+d.ID, tries, triesErr)); err != nil {
				return err
			}
		}
	}
	return nil
}

func dumpJobs(tx store.Tx, out map[string]any) error {
	all, err := tx.Jobs(store.DateKey{}, 100)
	running, runningErr := tx.RunningJobs(100)
	return errors.Join(list(out, "jobs", all, err), list(out, "running jobs", running, runningErr))
}

func dumpSubmissions(tx store.Tx, out map[string]any) error {
	due, dueErr := tx.DueSubmissions(at(1000), 1000)
	first, firstErr := tx.NextSubmission()
	if err := errors.Join(list(out, "due submissions", due, dueErr), list(out, "next submission", first, firstErr)); err != nil {
		return err
	}
	for i := range 5 {
		s, err := tx.Submission(fmt.Sprint("saone", i))
		if err != nil {
			return err
		}
		byKey, keyErr := tx.SubmissionByKey("aone", fmt.Sprint("key-", i))
		byID, idErr := tx.SubmissionByMessageID("aone", fmt.Sprintf("out%d@example.com", i))
		if err := errors.Join(list(out, fmt.Sprint("submission ", i), s, err), list(out, fmt.Sprint("submission by key ", i), byKey, keyErr),
			list(out, fmt.Sprint("submission by message id ", i), byID, idErr)); err != nil {
			return err
		}
		if i > 0 {
			byDraft, err := tx.SubmissionByDraft("aone", fmt.Sprint("draft-", i))
			if err := list(out, fmt.Sprint("submission by draft ", i), byDraft, err); err != nil {
				return err
			}
		}
	}
	return nil
}
