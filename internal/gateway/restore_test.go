package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestSettle restores a store with more mailboxes than one transaction takes,
// and looks at what must not be as it was.
func TestSettle(t *testing.T) {
	ctx := context.Background()
	master, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeyring(master)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	s, err := bolt.Open(bolt.Options{Path: t.TempDir(), Keyring: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const boxes = settleStep + 50
	validity := map[string]uint32{}
	err = s.Update(ctx, func(tx store.Tx) error {
		for _, id := range []string{"a1", "a2"} {
			a := &store.Account{ID: id, Provider: "p", Watch: store.Watch{ID: "w", LookupKeys: []string{"key-" + id}, Expires: now.Add(time.Hour)}}
			if err := tx.PutAccount(a); err != nil {
				return err
			}
			for i := range boxes {
				// Some were made within this very second, or by a clock ahead of ours.
				m := &store.Mailbox{ID: fmt.Sprintf("f%s-%04d", id, i), Account: id, ProviderID: fmt.Sprint("p", i), UIDValidity: uint32(now.Unix()) + uint32(i%3)}
				validity[m.ID] = m.UIDValidity
				if err := errors.Join(tx.PutMailbox(m), tx.PutScope(&store.Scope{Account: id, Name: m.ProviderID, Cursor: mail.Cursor("c"), Complete: true})); err != nil {
					return err
				}
			}
		}
		for i, sub := range []store.Submission{
			{State: store.SubmissionScheduled, NextAt: now.Add(-time.Minute)},
			{State: store.SubmissionScheduled, NextAt: now.Add(time.Hour), SendAt: now.Add(time.Hour), Recipients: []string{"x@example.com", "y@example.com"}},
			{State: store.SubmissionSent, DoneAt: now},
		} {
			sub.ID, sub.Account = fmt.Sprint("s", i), "a1"
			if err := tx.PutSubmission(&sub); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if _, err := s.Backup(ctx, &backup, false); err != nil {
		t.Fatal(err)
	}
	restored := func(cancel bool) *bolt.Store {
		t.Helper()
		path := filepath.Join(t.TempDir(), "data")
		var scheduled []Scheduled
		_, err = bolt.Restore(ctx, bolt.Options{Path: path, Keyring: keys}, bytes.NewReader(backup.Bytes()), false,
			func(ctx context.Context, s *bolt.Store) (err error) {
				scheduled, err = settle(ctx, s, now, cancel)
				return err
			})
		if err != nil {
			t.Fatal(err)
		}
		if want := []Scheduled{{ID: "s1", Account: "a1", SendAt: now.Add(time.Hour), Recipients: 2}}; !slices.Equal(scheduled, want) {
			t.Errorf("scheduled are %+v, want %+v", scheduled, want)
		}
		r, err := bolt.Open(bolt.Options{Path: path, Keyring: keys})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	submissions := func(r *bolt.Store, states ...store.SubmissionState) {
		t.Helper()
		err := r.View(ctx, func(tx store.Tx) error {
			for i, want := range states {
				sub, err := tx.Submission(fmt.Sprint("s", i))
				if err != nil {
					return err
				}
				if sub.State != want || (sub.Step == "restored") != (i == 0) {
					t.Errorf("submission %d is %s at %q", i, sub.State, sub.Step)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	submissions(restored(true), store.SubmissionSending, store.SubmissionCancelled, store.SubmissionSent)
	r := restored(false)
	submissions(r, store.SubmissionSending, store.SubmissionScheduled, store.SubmissionSent)
	taken := map[uint32]bool{}
	err = r.View(ctx, func(tx store.Tx) error {
		for _, id := range []string{"a1", "a2"} {
			a, err := tx.Account(id)
			if err != nil {
				return err
			}
			if a.Watch.ID != "" || len(a.Watch.LookupKeys) > 0 {
				t.Errorf("the channel of %s is still there: %+v", id, a.Watch)
			}
			if who, err := tx.AccountByLookup("p", "key-"+id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a hint finds %q, %v", who, err)
			}
			list, err := tx.MailboxesOf(id)
			if err != nil || len(list) != boxes {
				t.Errorf("%d mailboxes, %v", len(list), err)
			}
			for _, m := range list {
				if taken[m.UIDValidity] {
					t.Errorf("UIDVALIDITY %d is given twice", m.UIDValidity)
				}
				taken[m.UIDValidity] = true
				if m.UIDValidity <= validity[m.ID] || m.UIDValidity < uint32(now.Unix()) {
					t.Errorf("%s has UIDVALIDITY %d after %d", m.ID, m.UIDValidity, validity[m.ID])
				}
			}
			scopes, err := tx.Scopes(id)
			if err != nil || len(scopes) != boxes {
				t.Errorf("%d scopes, %v", len(scopes), err)
			}
			for _, sc := range scopes {
				if len(sc.Cursor) > 0 || !sc.Comparing || !sc.Complete {
					t.Errorf("scope %s: %+v", sc.Name, sc)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
