// Package storetest is the contract of package store as a test suite: every
// backend passes it, and it is tested itself with backends that are broken on
// purpose.
//
// A backend's own test is a few lines:
//
//	func TestStore(t *testing.T) { storetest.Run(t, backend) }
//	func TestCrash(t *testing.T) { storetest.RunCrash(t, backend) }
//
// Where to start: Backend, then the list in Cases; each case is a sentence of
// the contract.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postern-mail/postern/store"
)

// Backend is what is tested.
type Backend struct {
	// Open opens the store that is kept in a folder, and makes it where there
	// is none. The same folder gives the same store again. now is its clock.
	Open func(dir string, now func() time.Time) (store.Store, error)
	// Files says that the bytes of the store lie in the folder, so that they
	// can be searched and spoilt.
	Files bool
}

// T is the part of testing.T that cases use, so that they can be run on
// something that only takes notes.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	TempDir() string
	Cleanup(func())
}

// Case is one sentence of the contract.
type Case struct {
	Name string
	Run  func(w *World)
	// Files: the case needs Backend.Files.
	Files bool
}

// Cases lists the whole contract but for its crash part.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{
		txCases(), accountCases(), eraseCases(), mailboxCases(), messageCases(), modelCases(), journalCases(),
		syncCases(), derivedCases(), laneCases(), concludeCases(), outboxCases(), retentionCases(), outboxModelCases(), submissionCases(), jobCases(), blobCases(), trimCases(), leaseCases(),
	} {
		all = append(all, part...)
	}
	return all
}

// Run runs all cases, each on a store of its own.
func Run(t *testing.T, b Backend) {
	for _, c := range Cases() {
		if c.Files && !b.Files {
			continue
		}
		t.Run(c.Name, func(t *testing.T) { RunCase(t, b, c) })
	}
}

// RunCase runs one case.
func RunCase(t T, b Backend, c Case) {
	t.Helper()
	w := &World{T: t, Backend: b, Dir: t.TempDir(), at: Start}
	w.open()
	t.Cleanup(func() {
		if err := w.Store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	c.Run(w)
}

// Start is when every case begins.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// World is a store with a clock.
type World struct {
	T
	Backend Backend
	Dir     string
	Store   store.Store

	mu sync.Mutex
	at time.Time
}

// Now reads the clock.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// Advance moves the clock.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *World) open() {
	w.Helper()
	s, err := w.Backend.Open(w.Dir, w.Now)
	if err != nil {
		w.Fatalf("open: %v", err)
	}
	w.Store = s
}

// Reopen closes the store and opens it again.
func (w *World) Reopen() {
	w.Helper()
	if err := w.Store.Close(); err != nil {
		w.Fatalf("close: %v", err)
	}
	w.open()
}

func (w *World) ctx() context.Context { return context.Background() }

// update runs fn in a transaction that must succeed.
func (w *World) update(fn func(store.Tx) error) {
	w.Helper()
	if err := w.Store.Update(w.ctx(), fn); err != nil {
		w.Fatalf("update: %v", err)
	}
}

// refused runs fn in a transaction that must fail.
func (w *World) refused(what string, fn func(store.Tx) error) error {
	w.Helper()
	err := w.Store.Update(w.ctx(), fn)
	if err == nil {
		w.Errorf("%s: no error", what)
	}
	return err
}

// view runs fn in a read transaction that must succeed.
func (w *World) view(fn func(store.Tx) error) {
	w.Helper()
	if err := w.Store.View(w.ctx(), fn); err != nil {
		w.Fatalf("view: %v", err)
	}
}

// same compares, with empty and missing lists alike.
func (w *World) same(what string, want, got any) {
	w.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// absent checks that reading something is ErrNotFound.
func (w *World) absent(what string, err error) {
	w.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		w.Errorf("%s: error %v, want ErrNotFound", what, err)
	}
}

// account, mailbox and message make records with all that matters.

func account(id string) *store.Account {
	return &store.Account{
		ID: id, Provider: "sandbox", Address: id + "@example.org", State: store.AccountReady,
		Mirror: store.MirrorMetadata, CreatedAt: Start,
	}
}

func mailbox(id, acct string) *store.Mailbox {
	return &store.Mailbox{ID: id, Account: acct, ProviderID: "p-" + id, Name: "name of " + id, UIDValidity: 7, CreatedAt: Start}
}

func message(id, acct string, at time.Time, in ...string) *store.Message {
	m := &store.Message{ID: id, Account: acct, In: in}
	m.ProviderID, m.Subject, m.ReceivedAt = "p-"+id, "subject of "+id, at
	return m
}

// settle makes an account with mailboxes.
func (w *World) settle(acct string, mailboxes ...string) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		if err := tx.PutAccount(account(acct)); err != nil {
			return err
		}
		for _, m := range mailboxes {
			if err := tx.PutMailbox(mailbox(m, acct)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *World) put(messages ...*store.Message) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		for _, m := range messages {
			if err := tx.PutMessage(m); err != nil {
				return err
			}
		}
		return nil
	})
}

func day(n int) time.Time { return Start.AddDate(0, 0, n) }

func ids(keys []store.DateKey) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return out
}

// each runs fn for 0..n-1 at the same time and gives the errors.
func each(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = fn(i)
		}()
	}
	wg.Wait()
	return errs
}

func (w *World) none(errs []error) {
	w.Helper()
	for i, err := range errs {
		if err != nil {
			w.Fatalf("number %d: %v", i, err)
		}
	}
}

func name(prefix string, i int) string { return fmt.Sprintf("%s%04d", prefix, i) }
