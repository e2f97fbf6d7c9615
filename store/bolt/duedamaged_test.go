package bolt_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// TestDamagedSubmissionIsToldBesideTheOthers: one that cannot be read keeps no
// other from being sent, and none from being told of.
func TestDamagedSubmissionIsToldBesideTheOthers(t *testing.T) {
	data, _ := unpackSample(t, 2)
	list := func() (ids []string, err error) {
		s := openSample(t, data)
		defer s.Close()
		err = s.View(t.Context(), func(tx store.Tx) error {
			subs, err := tx.DueSubmissions(sampleTime.AddDate(10, 0, 0), 1000)
			for _, sub := range subs {
				ids = append(ids, sub.ID)
			}
			return err
		})
		return ids, err
	}
	before, err := list()
	if err != nil || len(before) < 2 {
		t.Fatalf("due: %q, %v", before, err)
	}
	db, err := bbolt.Open(filepath.Join(data, "postern.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("submission"))
		return b.Put([]byte(before[0]), flipped(b.Get([]byte(before[0]))))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	after, err := list()
	if !errors.Is(err, seal.ErrDamaged) || !strings.Contains(err.Error(), before[0]) || len(after) != len(before)-1 {
		t.Errorf("due: %q, %v; before it was damaged: %q", after, err, before)
	}
}
