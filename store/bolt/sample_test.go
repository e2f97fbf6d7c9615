package bolt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// A sample is a small data folder in which every bucket has rows. One of each
// format is kept under testdata, written by a build of its time, together with
// what could be read from it then. A new format gets its own with
//
//	POSTERN_MAKE_SAMPLE=store/bolt/testdata/formatN go test ./store/bolt -run TestMakeSample

// sampleKey is the master key of all samples.
var sampleKey = strings.Repeat("5a", seal.KeySize)

// sampleTime is the clock of the samples.
var sampleTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestMakeSample writes a sample where the environment says so.
func TestMakeSample(t *testing.T) {
	dir := os.Getenv("POSTERN_MAKE_SAMPLE")
	if dir == "" {
		dir = t.TempDir()
	} else if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", "..", dir)
	}
	makeSample(t, dir)
}

// makeSample fills the folder data in dir and writes what it holds beside it.
func makeSample(t *testing.T, dir string) {
	t.Helper()
	s := openSample(t, filepath.Join(dir, "data"))
	fillSample(t, s)
	told := dumpSample(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "holds.json"), told, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "master.key"), []byte(sampleKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func openSample(t testing.TB, data string) *bolt.Store {
	t.Helper()
	key, err := seal.ParseMasterKey(sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(bolt.Options{Path: data, Keyring: ring, Now: func() time.Time { return sampleTime }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(minutes int) time.Time { return sampleTime.Add(time.Duration(minutes) * time.Minute) }

// sampleProvider is in the rows of the kept sample of format 1, which stays as
// it is for ever.
const sampleProvider = "outlook"

// fillSample writes rows into every bucket.
func fillSample(t testing.TB, s store.Store) {
	t.Helper()
	ctx := context.Background()
	update := func(fn func(tx store.Tx) error) {
		t.Helper()
		if err := s.Update(ctx, fn); err != nil {
			t.Fatal(err)
		}
	}
	update(fillAccounts)
	update(fillMail)
	for i, text := range []string{"small", strings.Repeat("large ", 20_000)} {
		for _, account := range []string{"aone", "agone"} {
			if _, err := s.Blobs().Put(ctx, account, strings.NewReader(fmt.Sprint(text, i)), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	update(fillJournal)
	update(func(tx store.Tx) error { _, err := tx.TrimJournal(at(-10), 100); return err })
	update(fillOutbox)
	update(func(tx store.Tx) error { return settleOutbox(tx) })
	update(fillSubmissions)
	update(fillJobs)
	// Last, so that its records are left for the next process to drop.
	update(func(tx store.Tx) error { return tx.DeleteAccount("agone") })
}

func fillAccounts(tx store.Tx) error {
	for i, id := range []string{"aone", "atwo", "agone", "aquiet"} {
		a := &store.Account{
			ID: id, Provider: sampleProvider, Subject: "subject-" + id, Address: id + "@example.com", Name: "Owner " + id,
			Grant: "g" + id, State: store.AccountReady, Mirror: store.MirrorMetadata, CreatedAt: at(-100), ConnectedAt: at(-99),
			SyncedAt: at(-90), LastSyncAt: at(-i),
			Watch: store.Watch{ID: "watch-" + id, State: []byte("state"), Expires: at(1000), LookupKeys: []string{"sub-" + id}, LastHintAt: at(-1)},
		}
		if err := tx.PutAccount(a); err != nil {
			return err
		}
		if err := tx.PutGrant(&store.Grant{ID: a.Grant, Provider: sampleProvider, Accounts: []string{id}, Granted: []string{"mail"}, Bytes: []byte("token " + id), UpdatedAt: at(-50)}); err != nil {
			return err
		}
	}
	return errors.Join(
		tx.PutConnect(&store.Connect{Link: "link-hash", State: "state-hash", Provider: sampleProvider, ReturnURL: "https://app.example/", Pending: []byte("pkce"), ExpiresAt: at(15)}),
		tx.PutSetting("secret.sample", []byte("a setting")),
	)
}

func fillMail(tx store.Tx) error {
	for _, account := range []string{"aone", "atwo", "agone"} {
		for i, name := range []string{"inbox", "archive", "unlisted"} {
			f := &store.Mailbox{ID: "f" + account + name, Account: account, ProviderID: "p" + name, Name: name, Kind: mail.KindFolder,
				UIDValidity: uint32(1000 + i), ModSeq: 1, ProviderTotal: 10, CreatedAt: at(-80)}
			if err := tx.PutMailbox(f); err != nil {
				return err
			}
			if name != "unlisted" {
				if _, err := tx.GiveUIDs(f.ID, 10); err != nil {
					return err
				}
			}
			if err := tx.PutScope(&store.Scope{Account: account, Name: f.ProviderID, Cursor: mail.Cursor("cursor " + name), Complete: true, Asked: at(-3)}); err != nil {
				return err
			}
		}
		for i := range 12 {
			in := []string{"f" + account + "inbox"}
			if i%3 == 1 {
				in = append(in, "f"+account+"archive")
			}
			if i%3 == 2 {
				in = append(in, "f"+account+"unlisted")
			}
			m := &store.Message{ID: fmt.Sprintf("m%s%02d", account, i), Account: account, Thread: fmt.Sprintf("t%s%d", account, i/2), In: in,
				ModSeq: uint64(i + 1), CreatedSeq: uint64(i + 1), Backfill: i < 4, Blob: strings.Repeat("ab", 32)}
			m.Message = mail.Message{ProviderID: "prov-" + m.ID, Mailboxes: []string{"pinbox"}, Subject: "Subject of " + m.ID,
				From: []mail.Address{{Name: "Ada", Email: "ada@example.org"}}, To: []mail.Address{{Email: account + "@example.com"}},
				MessageID: m.ID + "@example.org", SentAt: at(-60 + i), ReceivedAt: at(-60 + i), Preview: "Words of " + m.ID, Size: 1000}
			if i%2 == 0 {
				m.Keywords = []string{mail.Seen}
			}
			if i%4 == 0 {
				m.Local = []string{"work"}
			}
			if err := tx.PutMessage(m); err != nil {
				return err
			}
		}
		if err := tx.PutAbsence(store.Absence{Account: account, Message: "m" + account + "03", Since: at(-2)}); err != nil {
			return err
		}
	}
	return errors.Join(tx.SetDeleted("faoneinbox", 2, true, 20), fillBridge(tx))
}

// fillBridge writes what mail programs bring along.
func fillBridge(tx store.Tx) error {
	for _, account := range []string{"aone", "atwo", "agone"} {
		for _, kind := range store.MessageDerived() {
			if err := tx.PutDerived(account, kind, "m"+account+"00", fmt.Appendf(nil, "derived %d", kind)); err != nil {
				return err
			}
		}
		p := &store.AppPassword{ID: "w" + account, Account: account, Name: "A mail program", Scopes: []string{"imap"}, HideCaps: []string{"IDLE"}, Hash: []byte("hash " + account), CreatedAt: at(-4)}
		err := errors.Join(tx.PutDerived(account, store.DerivedGrams, "0001", []byte("grams")), tx.PutAppPassword(p), tx.PutSubscribedName(account, "a name without a mailbox"))
		if err != nil {
			return err
		}
	}
	return nil
}

func fillJournal(tx store.Tx) error {
	for i := range 30 {
		account := []string{"aone", "atwo", "agone", ""}[i%4]
		minute := i
		if i == 0 {
			account, minute = "aquiet", -20 // trimmed: only its sequence is remembered
		}
		e := &event.Event{Type: event.MessageCreated, Account: account, Time: at(minute), Message: fmt.Sprintf("m%s%02d", account, i%12), Internal: i == 5,
			AddedKeywords: []string{mail.Seen}, Snapshot: &event.Snapshot{ProviderID: "prov", Subject: fmt.Sprint("Told ", i), ReceivedAt: at(i)}}
		if account == "" {
			e.Type, e.Message, e.Snapshot, e.Reason, e.AddedKeywords = event.EndpointDisabled, "", nil, "gone: the endpoint answered 410", nil
			e.Endpoint = "eoff"
		}
		if err := tx.AppendEvent(e); err != nil {
			return err
		}
	}
	return nil
}

// sampleDelivery is the delivery of an event to an endpoint.
func sampleDelivery(endpoint string, e *event.Event, ordered bool) *store.Delivery {
	d := &store.Delivery{ID: event.HashID("d", endpoint, e.ID, "full"), Endpoint: endpoint, Lane: e.Account, Account: e.Account, Event: e.ID,
		Type: string(e.Type), Position: e.Position, Sequence: e.Sequence, Rendition: "full", CreatedAt: e.Time, NextAt: e.Time}
	if !ordered {
		d.Lane = d.ID
	}
	return d
}

func fillOutbox(tx store.Tx) error {
	for _, e := range []*store.Endpoint{
		{ID: "eall", Config: []byte("https://app.example/hook"), Ordered: true, LastOKAt: at(20), CreatedAt: at(-70)},
		{ID: "eany", Config: []byte("https://app.example/any"), CreatedAt: at(-70), Failing: at(2), Failures: 3},
		{ID: "eoff", Config: []byte("https://gone.example/"), Ordered: true, Disabled: true, Reason: "gone", CreatedAt: at(-70)},
		{ID: "eslow", Config: []byte("https://slow.example/"), Ordered: true, PausedUntil: at(90), CreatedAt: at(-70)},
	} {
		if err := tx.PutEndpoint(e); err != nil {
			return err
		}
	}
	events, err := tx.EventsAfter(0, 100)
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if e.Account == "" || e.Internal {
			continue
		}
		if err := tx.PutBody(sampleDelivery("", e, true), fmt.Appendf(nil, `{"id":%q,"told":%d}`, e.ID, i)); err != nil {
			return err
		}
		for _, to := range []string{"eall", "eany", "eoff", "eslow"} {
			if err := tx.Enqueue(sampleDelivery(to, e, to != "eany")); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleOutbox delivers some, buries some, and lets some wait for their next
// attempt.
func settleOutbox(tx store.Tx) error {
	events, err := tx.EventsAfter(0, 100)
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		if e.Account == "" || e.Internal {
			continue
		}
		for _, to := range []string{"eall", "eany"} {
			d, err := tx.Delivery(event.HashID("d", to, e.ID, "full"))
			if err != nil {
				return err
			}
			d.Attempts, d.LastStatus = 1, 200
			a := &store.Attempt{Delivery: d.ID, Number: 1, At: at(40 + i), Duration: 30 * time.Millisecond, Status: 200, Answer: []byte("ok"), Peer: "203.0.113.5:443"}
			switch i % 4 {
			case 1:
				d.State, d.DoneAt = store.DeliveryDelivered, at(40+i)
				err = tx.Settle(d)
			case 2, 3:
				d.State, d.DoneAt, d.LastStatus, d.LastError, d.FirstFailAt = store.DeliveryDead, at(45+i), 400, "the receiver refused it: 400", at(40+i)
				a.Status, a.Error = 400, d.LastError
				err = tx.Settle(d)
			default:
				d.LastStatus, d.LastError, d.FirstFailAt, d.NextAt = 503, "the receiver answered 503", at(40+i), at(60+i)
				a.Status, a.Error = 503, d.LastError
				err = tx.Reschedule(d)
			}
			if err != nil {
				return err
			}
			if err := tx.PutAttempt(a); err != nil {
				return err
			}
		}
	}
	return nil
}

func fillSubmissions(tx store.Tx) error {
	for i, state := range []store.SubmissionState{store.SubmissionScheduled, store.SubmissionSending, store.SubmissionSent, store.SubmissionFailed, store.SubmissionCancelled} {
		for _, account := range []string{"aone", "agone"} {
			s := &store.Submission{ID: fmt.Sprintf("s%s%d", account, i), Account: account, State: state, Blob: digest("small0"), Size: 6,
				From: account + "@example.com", Recipients: []string{"ada@example.org"}, Subject: fmt.Sprint("Out ", i), MessageID: fmt.Sprintf("out%d@example.com", i),
				IdempotencyKey: fmt.Sprint("key-", i), SendAt: at(i), NextAt: at(i), CreatedAt: at(-5)}
			if i > 0 {
				s.Step, s.DraftID, s.DraftState, s.Attempts = "send", fmt.Sprint("draft-", i), []byte("state"), 1
			}
			if i > 1 {
				s.DoneAt = at(i)
			}
			if err := tx.PutSubmission(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func fillJobs(tx store.Tx) error {
	running := &store.Job{ID: "jrunning", State: store.JobRunning, Source: store.JobDeliveries, Endpoint: "eall", Account: "aone",
		States: []store.DeliveryState{store.DeliveryDead}, Until: at(50), PerSecond: 10, CreatedAt: at(51), Counted: true, Matched: 9, Done: 3, LastAt: at(12), LastID: "d"}
	ended := &store.Job{ID: "jdone", State: store.JobDone, Source: store.JobJournal, Type: "message.created", Until: at(50), To: "eany",
		CreatedAt: at(52), DoneAt: at(53), Counted: true, Matched: 2, Done: 2, Last: 30, End: 30}
	return errors.Join(tx.PutJob(running), tx.PutJob(ended))
}

// dumpSample reads all that a sample holds, as JSON.
func dumpSample(t testing.TB, s store.Store) []byte {
	t.Helper()
	out := map[string]any{"epoch": s.Epoch()}
	err := s.View(context.Background(), func(tx store.Tx) error {
		return errors.Join(dumpAccounts(tx, out), dumpEvents(tx, out), dumpOutbox(tx, out), dumpSubmissions(tx, out), dumpJobs(tx, out))
	})
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string]string{}
	for i, text := range []string{"small", strings.Repeat("large ", 20_000)} {
		want := fmt.Sprint(text, i)
		b, err := s.Blobs().Open(context.Background(), "aone", digest(want))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if err = errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
		blobs[digest(want)] = digest(string(got))
	}
	out["blobs"] = blobs
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(out); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// reopened opens a sample's data folder, until the test ends.
func reopened(t testing.TB, data string) *bolt.Store {
	t.Helper()
	s := openSample(t, data)
	t.Cleanup(func() { _ = s.Close() })
	return s
}
