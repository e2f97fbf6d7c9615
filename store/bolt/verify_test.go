package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// TestVerifyFindsWhatIsWrong takes a row away from each bucket, adds one, and
// spoils one, each on a copy of its own.
func TestVerifyFindsWhatIsWrong(t *testing.T) {
	// Nothing else tells of rows in these: a row less, or one more, is as good.
	alone := strings.Fields("meta setting grant dead dead_blobs sequence absence scope owed_attempt blob_kept journal_id")
	extra := append(slices.Clone(alone), "key", "submission_key", "submission_msgid", "submission_draft")
	alone = append(alone, "derived", "subscribed")
	// Of these the values are not sealed, or empty, and say nothing that could
	// be compared.
	plain := append(strings.Fields("connect_at dead dead_blobs mailbox_of mailbox_state uid_wait by_account by_mailbox thread_of by_thread sequence absence"),
		strings.Fields("endpoint_state endpoint_due lane_due owed_done submission_key submission_msgid submission_draft "+
			"job_at job_running job_done job_of meta journal_id blob_kept")...)
	dir := t.TempDir()
	makeSample(t, dir)
	data := filepath.Join(dir, "data")
	s := openSample(t, data)
	// What is being erased is nobody's trouble: it goes first.
	err := s.Update(context.Background(), func(tx store.Tx) error {
		more, err := tx.DropAccountRecords("agone", 10_000)
		if more {
			err = errors.Join(err, errors.New("not all is dropped"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Verify(context.Background(), true); err != nil || len(r.Problems) > 0 || r.Records < 150 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "whole")
	copied(t, filepath.Join(data, "postern.db"), whole)
	for n, name := range table.BucketNames() {
		if table.Bucket(n).Former() {
			continue
		}
		for what, change := range map[string]func(b *bbolt.Bucket, k, v []byte) error{
			"less":   func(b *bbolt.Bucket, k, _ []byte) error { return b.Delete(k) },
			"more":   func(b *bbolt.Bucket, k, v []byte) error { return b.Put(append(bytes.Clone(k), "~"...), v) },
			"spoilt": func(b *bbolt.Bucket, k, v []byte) error { return b.Put(k, flipped(v)) },
		} {
			if what == "less" && slices.Contains(alone, name) || what == "more" && slices.Contains(extra, name) || what == "spoilt" && slices.Contains(plain, name) {
				continue
			}
			t.Run(what+" in "+name, func(t *testing.T) {
				copied(t, whole, filepath.Join(data, "postern.db"))
				if !changed(t, data, name, change) {
					t.Skip("what was erased had the bucket's only rows")
				}
				s := reopened(t, data)
				r, err := s.Verify(context.Background(), true)
				if err == nil && len(r.Problems) == 0 {
					t.Error("it is found to be sound")
				}
				for _, p := range r.Problems {
					if strings.Contains(p, "example.com") || strings.Contains(p, "Subject of") {
						t.Errorf("mail in the report: %s", p)
					}
				}
			})
		}
	}
}

func flipped(v []byte) []byte {
	v = bytes.Clone(v)
	if len(v) > 0 {
		v[len(v)/2] ^= 1
	}
	return v
}

func changed(t *testing.T, data, bucket string, change func(b *bbolt.Bucket, k, v []byte) error) (ok bool) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(data, "postern.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		// The last: the first data key is the store's own, without which it
		// does not open, and the first lane is empty.
		k, v := b.Cursor().Last()
		if ok = k != nil; !ok {
			return nil
		}
		return change(b, bytes.Clone(k), bytes.Clone(v))
	})
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestErasedAccountLeavesNothing compares the buckets that mail programs brought
// before and after one of three accounts is erased to the end.
func TestErasedAccountLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	makeSample(t, dir) // which has deleted agone, and dropped nothing yet
	data := filepath.Join(dir, "data")
	before := rowsOf(t, data)
	s := openSample(t, data)
	for more := true; more; {
		err := s.Update(context.Background(), func(tx store.Tx) (err error) {
			more, err = tx.DropAccountRecords("agone", 3)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := rowsOf(t, data)
	for _, name := range []string{"derived", "app_password", "app_password_of", "app_password_by", "subscribed"} {
		if before[name] == 0 || after[name]*3 != before[name]*2 {
			t.Errorf("bucket %s: %d rows of two accounts are left of %d of three", name, after[name], before[name])
		}
	}
}

// rowsOf counts the rows of each bucket.
func rowsOf(t *testing.T, data string) map[string]int {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(data, "postern.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]int{}
	err = db.View(func(tx *bbolt.Tx) error {
		for _, name := range table.BucketNames() {
			err := tx.Bucket([]byte(name)).ForEach(func(_, _ []byte) error { out[name]++; return nil })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
