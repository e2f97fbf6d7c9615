package gateway

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// counting counts the updates of a store.
type counting struct {
	store.Store
	updates int
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.updates++
	return c.Store.Update(ctx, fn)
}

// TestTrimRecordsInBoundedSteps keeps what is young enough, to the entry, and
// drops the rest in many small transactions.
func TestTrimRecordsInBoundedSteps(t *testing.T) {
	ctx := context.Background()
	master, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeyring(master)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bolt.Open(bolt.Options{Path: t.TempDir(), Keyring: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := &counting{Store: b}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	keep := config.Keep{Journal: 30 * 24 * time.Hour, Submissions: 7 * 24 * time.Hour}
	const old, young = 5*trimStep + 17, 60
	put := func(first, n int, at time.Time) {
		t.Helper()
		err := b.Update(ctx, func(tx store.Tx) error {
			if err := tx.PutAccount(&store.Account{ID: "a1"}); err != nil {
				return err
			}
			for i := range n {
				if err := tx.AppendEvent(&event.Event{Account: "a1", Type: event.Ping, Time: at.Add(time.Duration(i) * time.Millisecond)}); err != nil {
					return err
				}
				sub := &store.Submission{ID: fmt.Sprint("s", first+i), Account: "a1", State: store.SubmissionSent, DoneAt: at}
				if err := tx.PutSubmission(sub); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(0, old, now.Add(-31*24*time.Hour))
	put(old, young, now.Add(-6*24*time.Hour))
	if err := trimRecords(ctx, s, keep, now); err != nil {
		t.Fatal(err)
	}
	if s.updates < 2*old/trimStep {
		t.Errorf("%d records were dropped in %d transactions", 2*old, s.updates)
	}
	err = b.View(ctx, func(tx store.Tx) error {
		oldest, newest, err := tx.JournalBounds()
		if oldest != old+1 || newest != old+young {
			t.Errorf("the journal holds %d to %d", oldest, newest)
		}
		if err != nil {
			return err
		}
		for i, want := range map[int]bool{0: false, old - 1: false, old: true, old + young - 1: true} {
			if _, err := tx.Submission(fmt.Sprint("s", i)); (err == nil) != want {
				t.Errorf("submission %d: %v", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	s.updates = 0
	if err := trimRecords(ctx, s, keep, now); err != nil || s.updates > 3 {
		t.Errorf("again: %d transactions, %v", s.updates, err)
	}
}
