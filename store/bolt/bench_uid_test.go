package bolt

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

const benchMessages = 10_000

// benchBox is a store with a mailbox of many messages, each with rows, a header
// and a text.
func benchBox(b *testing.B) *Store {
	b.Helper()
	s := open(b, Options{Path: b.TempDir(), Keyring: ring(b, newKey(b))})
	ctx := context.Background()
	update := func(fn func(tx store.Tx) error) {
		b.Helper()
		if err := s.Update(ctx, fn); err != nil {
			b.Fatal(err)
		}
	}
	update(func(tx store.Tx) error {
		if err := tx.PutAccount(&store.Account{ID: "a1"}); err != nil {
			return err
		}
		if err := tx.PutMailbox(&store.Mailbox{ID: "f1", Account: "a1", UIDValidity: 1}); err != nil {
			return err
		}
		_, err := tx.GiveUIDs("f1", 1)
		return err
	})
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for first := 0; first < benchMessages; first += 100 {
		update(func(tx store.Tx) error {
			for i := first; i < first+100; i++ {
				m := &store.Message{ID: benchID(i), Account: "a1", In: []string{"f1"}, ModSeq: uint64(i + 1)}
				m.ReceivedAt, m.Size, m.Keywords = began.Add(time.Duration(i)*time.Minute), int64(i), []string{mail.Seen}
				if err := tx.PutMessage(m); err != nil {
					return err
				}
				for kind, size := range map[store.DerivedKind]int{store.DerivedRows: 1500, store.DerivedHeader: 2500, store.DerivedText: 3000} {
					if err := tx.PutDerived("a1", kind, m.ID, make([]byte, size)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return s
}

// benchID scatters ids, as hashes do.
func benchID(i int) string { return fmt.Sprintf("m%08x%06d", uint32(i)*2654435761, i) }

// BenchmarkUIDs reads a whole UID table, as FETCH 1:* (FLAGS) of a mailbox that
// nobody has open does.
func BenchmarkUIDs(b *testing.B) {
	s := benchBox(b)
	b.ReportAllocs()
	for b.Loop() {
		err := s.View(context.Background(), func(tx store.Tx) error {
			rows, err := tx.UIDs("f1", 1, 1<<31, benchMessages)
			if err == nil && len(rows) != benchMessages {
				err = fmt.Errorf("%d rows", len(rows))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDerived reads the rows of 200 messages in one transaction, as FETCH
// does.
func BenchmarkDerived(b *testing.B) {
	s := benchBox(b)
	b.ReportAllocs()
	for b.Loop() {
		err := s.View(context.Background(), func(tx store.Tx) error {
			for i := range 200 {
				if _, err := tx.Derived("a1", store.DerivedRows, benchID(i*50)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDeleteMessage deletes messages with all that is derived from them.
func BenchmarkDeleteMessage(b *testing.B) {
	s := benchBox(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			for range 50 {
				if n == benchMessages {
					return nil
				}
				if err := tx.DeleteMessage(benchID(n), uint64(benchMessages+n)); err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
