package bolt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestMigrationKeepsUIDsForLife compares the UIDs and the UIDVALIDITY of
// samples with what the builds that wrote them told, and finds in the rows what
// format 2 did not have there.
func TestMigrationKeepsUIDsForLife(t *testing.T) {
	for format := 1; format <= 2; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			data, holds := unpackSample(t, format)
			var then map[string]json.RawMessage
			if err := json.Unmarshal(holds, &then); err != nil {
				t.Fatal(err)
			}
			s := openSample(t, data)
			defer s.Close()
			compared := 0
			err := s.View(context.Background(), func(tx store.Tx) error {
				for _, account := range []string{"aone", "atwo"} {
					var boxes []store.Mailbox
					if err := json.Unmarshal(then["mailboxes of "+account], &boxes); err != nil {
						return err
					}
					for _, was := range boxes {
						is, err := tx.Mailbox(was.ID)
						if err != nil {
							return err
						}
						if is.UIDValidity != was.UIDValidity || is.UIDNext != was.UIDNext || is.UIDListed != was.UIDListed {
							t.Errorf("mailbox %s: UIDVALIDITY %d, UIDNEXT %d; they were %d and %d", was.ID, is.UIDValidity, is.UIDNext, was.UIDValidity, was.UIDNext)
						}
						var rows []store.UID
						if err := json.Unmarshal(then["uids of "+was.ID], &rows); err != nil {
							return err
						}
						now, err := tx.UIDs(was.ID, 1, 1<<31, 1000)
						if err != nil {
							return err
						}
						if len(now) != len(rows) {
							t.Errorf("mailbox %s: %d UIDs, there were %d", was.ID, len(now), len(rows))
							continue
						}
						for i, row := range rows {
							m, err := tx.Message(row.Message)
							if err != nil {
								return err
							}
							if now[i].UID != row.UID || now[i].Message != row.Message || now[i].Deleted != row.Deleted {
								t.Errorf("mailbox %s: UID %d of message %s became %d of %s", was.ID, row.UID, row.Message, now[i].UID, now[i].Message)
							}
							if m.Size == 0 || now[i].Size != m.Size || !now[i].Date.Equal(m.ReceivedAt) {
								t.Errorf("UID %d of mailbox %s: size %d, date %v", row.UID, was.ID, now[i].Size, now[i].Date)
							}
							compared++
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if compared < 20 {
				t.Errorf("only %d UIDs were compared", compared)
			}
			verified(t, s)
		})
	}
}

// TestMigrationGoesPastDamage: a message that is missing and one that cannot be
// opened are told of and stop nothing. The UID of the missing one is gone and
// not given again; every other row is described.
func TestMigrationGoesPastDamage(t *testing.T) {
	data, _ := unpackSample(t, 2)
	db, err := bbolt.Open(filepath.Join(data, "postern.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	const missing, spoilt = "maone01", "maone04" // each in two mailboxes
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("message"))
		if b.Get([]byte(missing)) == nil {
			t.Errorf("the sample has no %s", missing)
		}
		return errors.Join(b.Put([]byte(spoilt), flipped(b.Get([]byte(spoilt)))), b.Delete([]byte(missing)))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseMasterKey(sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	opts := bolt.Options{Path: data, Keyring: ring, Now: func() time.Time { return sampleTime }, Log: slog.New(slog.NewTextHandler(&said, nil))}
	s, err := bolt.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := strings.Count(said.String(), "damage of before is met"); n != 4 || !strings.Contains(said.String(), "rows=4") {
		t.Errorf("it is told of %d times:\n%s", n, &said)
	}
	for _, id := range []string{missing, spoilt} {
		if n := strings.Count(said.String(), id); n != 2 {
			t.Errorf("%s is told of %d times:\n%s", id, n, &said)
		}
	}
	described := 0
	var highest uint32
	err = s.View(context.Background(), func(tx store.Tx) error {
		for _, mailbox := range []string{"faoneinbox", "faonearchive", "fatwoinbox", "fatwoarchive"} {
			rows, err := tx.UIDs(mailbox, 1, 1<<31, 1000)
			if err != nil {
				return err
			}
			for _, row := range rows {
				switch {
				case row.Message == missing:
					t.Errorf("UID %d in %s is of a message that is missing", row.UID, mailbox)
				case row.Message != spoilt:
					described++
					if row.Size == 0 || row.Date.IsZero() {
						t.Errorf("UID %d in %s: size %d, date %v", row.UID, mailbox, row.Size, row.Date)
					}
				}
				if mailbox == "faoneinbox" {
					highest = max(highest, row.UID)
				}
			}
		}
		m, err := tx.Mailbox("faoneinbox")
		if err == nil && (m.UIDNext != 13 || highest != 12) {
			t.Errorf("UIDNEXT is %d, the highest UID %d", m.UIDNext, highest)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*(12+4) - 4; described != want {
		t.Errorf("%d rows are described, want %d", described, want)
	}
}
