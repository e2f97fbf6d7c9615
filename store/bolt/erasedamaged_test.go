package bolt_test

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store"
)

// TestDamagedMailboxDoesNotKeepItsAccount: an account can be erased whatever
// became of its mailboxes' records.
func TestDamagedMailboxDoesNotKeepItsAccount(t *testing.T) {
	data, _ := unpackSample(t, 2)
	db, err := bbolt.Open(filepath.Join(data, "postern.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	const spoilt, missing = "faoneinbox", "faonearchive"
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("mailbox"))
		if b.Get([]byte(missing)) == nil {
			t.Errorf("the sample has no %s", missing)
		}
		return errors.Join(b.Put([]byte(spoilt), flipped(b.Get([]byte(spoilt)))), b.Delete([]byte(missing)))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := openSample(t, data)
	defer s.Close()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.DeleteAccount("aone") }); err != nil {
		t.Fatalf("the account is kept: %v", err)
	}
	for more := true; more; {
		err := s.Update(t.Context(), func(tx store.Tx) (err error) {
			more, err = tx.DropAccountRecords("aone", 100)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = s.View(t.Context(), func(tx store.Tx) error {
		_, err := tx.Account("aone")
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("afterwards: %v", err)
	}
}
