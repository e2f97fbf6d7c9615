package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// outdate makes a halted gateway's data look like that of format 2, which knew
// nothing of mail programs: it has nothing that is derived from bytes, and the
// next start migrates it. (Rows as that format wrote them are in the samples of
// store/bolt.)
func outdate(t *testing.T, data string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(data, "postern.db"), 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"derived", "subscribed"} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("meta")).Put([]byte("format"), binary.BigEndian.AppendUint64(nil, 2))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// migrated checks that a start has migrated the data, and kept a copy.
func migrated(t *testing.T, data string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(data, "postern.db.format2")); err != nil {
		t.Errorf("no copy of the data of before: %v", err)
	}
}
