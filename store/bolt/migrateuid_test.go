package bolt_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/postern-mail/postern/store"
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
