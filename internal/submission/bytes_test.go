package submission

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// beside is a store at which something happens just before an update, or while
// it is read.
type beside struct {
	store.Store
	update func() error
	view   func()
}

func (b *beside) Update(ctx context.Context, fn func(store.Tx) error) error {
	if update := b.update; update != nil {
		b.update = nil
		if err := update(); err != nil {
			return err
		}
	}
	return b.Store.Update(ctx, fn)
}

func (b *beside) View(ctx context.Context, fn func(store.Tx) error) error {
	return b.Store.View(ctx, func(tx store.Tx) error {
		if b.view != nil {
			b.view()
		}
		return fn(tx)
	})
}

// over makes a service over such a store.
func (w *world) over(b *beside) *Service {
	b.Store = w.store
	return New(b, journal.New(b, w.bus, w.clock), w, w, Options{Now: w.clock})
}

// unnamed deletes what none of the submissions has, and counts it.
func (w *world) unnamed(subs ...*store.Submission) int {
	w.t.Helper()
	var digests []string
	for _, s := range subs {
		digests = append(digests, s.Blob)
	}
	n, err := w.store.Blobs().Retain(w.ctx, "account-1", digests)
	w.must(err)
	return n
}

const sameRaw = "From: ann@example.com\r\nTo: bob@example.com\r\nMessage-ID: <same@example.com>\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\nsame\r\n"

// TestBytesOfWhatDidNotComeToBeGo: the submission was not written after its
// bytes were. Those of another one that has the same stay.
func TestBytesOfWhatDidNotComeToBeGo(t *testing.T) {
	for _, shared := range []bool{false, true} {
		w := newWorld(t)
		var others []*store.Submission
		if shared {
			others = append(others, w.submit(Input{Raw: []byte(sameRaw), SendAt: w.clock().Add(time.Hour)}))
		}
		refused := errors.New("refused")
		s := w.over(&beside{update: func() error { return refused }})
		if _, err := s.Submit(w.ctx, Input{Account: "account-1", Raw: []byte(sameRaw)}); !errors.Is(err, refused) {
			t.Fatalf("submitted: %v", err)
		}
		if n := w.unnamed(others...); n != 0 {
			t.Errorf("shared %v: the bytes of %d messages were left", shared, n)
		}
		for _, o := range others {
			b, err := w.store.Blobs().Open(w.ctx, "account-1", o.Blob)
			w.must(err)
			w.must(b.Close())
		}
	}
}

// TestBytesOfTheSlowerOfTwoGo: both came with one key at the same time.
func TestBytesOfTheSlowerOfTwoGo(t *testing.T) {
	w := newWorld(t)
	in := Input{Account: "account-1", IdempotencyKey: "k"}
	in.To = []mail.Address{{Name: "Bob", Email: bob}}
	var first *store.Submission
	s := w.over(&beside{update: func() (err error) {
		first, err = w.svc.Submit(w.ctx, in)
		return err
	}})
	second, err := s.Submit(w.ctx, in)
	if err != nil || second.ID != first.ID {
		t.Fatalf("%+v, %v", second, err)
	}
	if n := w.unnamed(first); n != 0 {
		t.Errorf("the bytes of %d messages were left", n)
	}
}

// TestBytesThatNoSubmissionHasGoAtTheNextStart, and those of what waits stay.
func TestBytesThatNoSubmissionHasGoAtTheNextStart(t *testing.T) {
	w := newWorld(t)
	later := w.submit(Input{Raw: []byte(sameRaw), SendAt: w.clock().Add(time.Hour)})
	w.put("put just before the process died")
	ctx, cancel := context.WithCancel(w.ctx)
	cancel() // it ends what it has begun
	w.must(w.service().Run(ctx))
	if n := w.unnamed(later); n != 0 {
		t.Errorf("the bytes of %d messages were left", n)
	}
	b, err := w.store.Blobs().Open(w.ctx, "account-1", later.Blob)
	w.must(err)
	w.must(b.Close())
}

// TestBytesGoHoweverManyWait.
func TestBytesGoHoweverManyWait(t *testing.T) {
	w := newWorld(t)
	at := w.clock().Add(time.Hour)
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		for i := range 10_001 {
			err := tx.PutSubmission(&store.Submission{ID: fmt.Sprint("many", i), Account: "account-1", Blob: fmt.Sprint("blob", i),
				State: store.SubmissionScheduled, SendAt: at, NextAt: at})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	sub := w.submit(Input{})
	if _, err := w.svc.Cancel(w.ctx, sub.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Blobs().Open(w.ctx, "account-1", sub.Blob); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the bytes of an ended submission: %v", err)
	}
}

// TestWhatIsLetGoOfWhileItIsReadIsNotDue: it may be read as it was before, at a
// step that was passed since.
func TestWhatIsLetGoOfWhileItIsReadIsNotDue(t *testing.T) {
	w := newWorld(t)
	sub := w.submit(Input{})
	working := &busy{ids: map[string]bool{sub.ID: true}}
	b := &beside{view: func() { working.remove(sub.ID) }}
	due, _, err := w.over(b).due(w.ctx, working)
	if err != nil || len(due) > 0 {
		t.Errorf("%d are due, %v", len(due), err)
	}
	if due, _, err = w.over(b).due(w.ctx, working); err != nil || len(due) != 1 {
		t.Errorf("%d are due then, %v", len(due), err)
	}
}
