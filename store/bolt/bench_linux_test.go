package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// producers runs op b.N times on n goroutines, each in a closed loop, and
// reports latencies.
func producers(b *testing.B, n int, op func(i int) error) {
	b.Helper()
	var next atomic.Int64
	took := make([][]time.Duration, n)
	used := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	for p := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				began := time.Now()
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
				took[p] = append(took[p], time.Since(began))
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) == 0 {
		return
	}
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(len(all)), "cpu-µs/op")
}

// cpu is the processor time that the process has used: on a busy machine it
// says more than the clock.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkCommit compares a durable write of 1 KiB: through the store's
// writer, through bare bbolt, and appended to a file with fdatasync, which is
// the floor of one producer.
func BenchmarkCommit(b *testing.B) {
	value := bytes.Repeat([]byte("x"), 1024)
	for _, n := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("store/%d", n), func(b *testing.B) {
			s := open(b, Options{})
			producers(b, n, func(i int) error {
				return s.Update(context.Background(), func(tx store.Tx) error { return tx.PutSetting(fmt.Sprintf("%08d", i), value) })
			})
		})
		b.Run(fmt.Sprintf("bbolt.Update/%d", n), func(b *testing.B) {
			db := bareDB(b)
			producers(b, n, func(i int) error {
				return db.Update(func(tx *bbolt.Tx) error {
					return tx.Bucket([]byte("b")).Put(fmt.Appendf(nil, "%08d", i), value)
				})
			})
		})
		b.Run(fmt.Sprintf("append+fdatasync/%d", n), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			var mu sync.Mutex
			producers(b, n, func(int) error {
				mu.Lock()
				defer mu.Unlock()
				if _, err := f.Write(value); err != nil {
					return err
				}
				return syscall.Fdatasync(int(f.Fd()))
			})
		})
	}
}

func bareDB(b *testing.B) *bbolt.DB {
	b.Helper()
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, InitialMmapSize: firstMmap,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err })
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkDelivery is the outbox's path: an event with its body and its
// delivery in one update, then the attempt and the settling in another.
func BenchmarkDelivery(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	for _, n := range []int{1, 64, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ctx, s := context.Background(), open(b, Options{})
			now := time.Now().UTC()
			err := s.Update(ctx, func(tx store.Tx) error {
				for i := range 100 {
					if err := tx.PutAccount(&store.Account{ID: fmt.Sprint("a", i)}); err != nil {
						return err
					}
				}
				return tx.PutEndpoint(&store.Endpoint{ID: "e1", Ordered: true})
			})
			if err != nil {
				b.Fatal(err)
			}
			producers(b, n, func(i int) error {
				acct := fmt.Sprint("a", i%100)
				var d store.Delivery
				err := s.Update(ctx, func(tx store.Tx) error {
					e := &event.Event{Type: event.MessageCreated, Account: acct, Message: "m", Time: now, Snapshot: &event.Snapshot{Subject: "subject"}}
					if err := tx.AppendEvent(e); err != nil {
						return err
					}
					d = store.Delivery{
						ID: "d" + event.Number(e.Position) + "_e1", Endpoint: "e1", Lane: acct, Account: acct, Event: e.ID, Rendition: "thin",
						Position: e.Position, Sequence: e.Sequence, CreatedAt: now.Add(time.Duration(i) * time.Microsecond), NextAt: now,
					}
					return errors.Join(tx.PutBody(&d, body), tx.Enqueue(&d))
				})
				if err != nil {
					return err
				}
				return s.Update(ctx, func(tx store.Tx) error {
					d.State, d.Attempts = store.DeliveryDelivered, 1
					return tx.Conclude(&d, &store.Attempt{Delivery: d.ID, Number: 1, At: now, Status: 200})
				})
			})
		})
	}
}

// BenchmarkList reads a page of a mailbox of 10,000 messages.
func BenchmarkList(b *testing.B) {
	const total = 10_000
	ctx, s := context.Background(), open(b, Options{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for from := 0; from < total; from += 500 {
		err := s.Update(ctx, func(tx store.Tx) error {
			if from == 0 {
				if err := tx.PutAccount(&store.Account{ID: "a1"}); err != nil {
					return err
				}
				if err := tx.PutMailbox(&store.Mailbox{ID: "f1", Account: "a1"}); err != nil {
					return err
				}
				if _, err := tx.GiveUIDs("f1", 1); err != nil {
					return err
				}
			}
			for i := from; i < from+500; i++ {
				m := &store.Message{ID: event.HashID("m", "a1", fmt.Sprint(i)), Account: "a1", In: []string{"f1"}, Thread: fmt.Sprint("t", i/3)}
				m.Subject, m.Preview, m.ReceivedAt = "subject", "some words of the text", at.Add(time.Duration(i*7919%total)*time.Minute)
				if err := tx.PutMessage(m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	page := func(b *testing.B, after store.DateKey, read bool) {
		b.ReportAllocs()
		for b.Loop() {
			err := s.View(ctx, func(tx store.Tx) error {
				keys, err := tx.MessagesIn("f1", after, 50)
				if err != nil || len(keys) != 50 {
					return fmt.Errorf("%d keys, %w", len(keys), err)
				}
				for _, k := range keys {
					if read {
						if _, err := tx.Message(k.ID); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	middle := store.DateKey{At: at.Add(total / 2 * time.Minute)}
	b.Run("keys/newest", func(b *testing.B) { page(b, store.DateKey{}, false) })
	b.Run("keys/middle", func(b *testing.B) { page(b, middle, false) })
	b.Run("messages/newest", func(b *testing.B) { page(b, store.DateKey{}, true) })
	b.Run("messages/middle", func(b *testing.B) { page(b, middle, true) })
	b.Run("uids/all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			err := s.View(ctx, func(tx store.Tx) error {
				rows, err := tx.UIDs("f1", 1, 1<<31, total)
				if len(rows) != total {
					return fmt.Errorf("%d rows, %w", len(rows), err)
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
