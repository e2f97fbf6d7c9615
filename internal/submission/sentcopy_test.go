package submission

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
)

// TestStoredWhileItWasSent: a program that stores its copy and sends at the same
// time has one copy in the end, whichever is done first.
func TestStoredWhileItWasSent(t *testing.T) {
	for name, tt := range map[string]struct {
		size int64
		want removed
	}{
		"the same":        {100, removed{"m-stored"}},
		"another message": {1 << 20, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var gone removed
			w.svc.opts.Copies = &gone
			s := w.take(letterOf(numbered(1), 0))
			w.advance(s.ID)
			if s = w.submission(s.ID); s.State != store.SubmissionSent || s.SentMessageID == "" {
				t.Fatalf("%+v", s)
			}
			// It began before the submission came, and ends now.
			w.svc.Appended("account-1", "n1@client.example", "m-stored", tt.size)
			if !slices.Equal(gone, tt.want) {
				t.Errorf("removed: %q, want %q", gone, tt.want)
			}
			w.svc.Appended("account-1", "n1@client.example", s.SentMessageID, tt.size)
			if !slices.Equal(gone, tt.want) {
				t.Errorf("the provider's own: removed %q", gone)
			}
			// The other way round: it was stored before the message was submitted.
			gone = nil
			w.svc.Appended("account-1", "n2@client.example", "m-stored", tt.size)
			w.advance(w.take(letterOf(numbered(2), 0)).ID)
			if !slices.Equal(gone, tt.want) {
				t.Errorf("stored before: removed %q, want %q", gone, tt.want)
			}
		})
	}
}

// TestStoredLongAfterItWasSent: what is stored anew, once the provider's copy is
// gone, stays.
func TestStoredLongAfterItWasSent(t *testing.T) {
	w := newWorld(t)
	var gone removed
	w.svc.opts.Copies = &gone
	s := w.take(letterOf(numbered(1), 0))
	w.advance(s.ID)
	w.mu.Lock()
	w.now = w.now.Add(sentLag + time.Second)
	w.mu.Unlock()
	w.svc.Appended("account-1", "n1@client.example", "m-stored", 100)
	if len(gone) > 0 {
		t.Errorf("removed: %q", gone)
	}
}

// TestStoredBeforeAKill: a copy that was stored before its message was sent is
// removed by the gateway that sends it, though another one has stored it.
func TestStoredBeforeAKill(t *testing.T) {
	w := newWorld(t)
	w.svc.Appended("account-1", "n1@client.example", "m-stored", 100)
	w.svc.Appended("account-1", "n2@client.example", "m-of-another", 100)
	w.svc.Appended("account-2", "n1@client.example", "m-of-another-account", 100)
	w.killed(w.plugin)
	var gone removed
	w.svc.opts.Copies = &gone
	s := w.take(letterOf(numbered(1), 0))
	w.advance(s.ID)
	if want := (removed{"m-stored"}); !slices.Equal(gone, want) {
		t.Fatalf("removed: %q, want %q", gone, want)
	}
	w.svc.removeEarly(w.ctx, w.submission(s.ID))
	if len(gone) != 1 {
		t.Errorf("removed once more: %q", gone)
	}
}

// TestEarlyCopiesAreFew: however many copies are stored, no more than so many are
// noted, and what is noted goes.
func TestEarlyCopiesAreFew(t *testing.T) {
	w := newWorld(t)
	noted := func() (list []earlyCopy) {
		t.Helper()
		w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
			list, err = earlyCopies(tx)
			return err
		}))
		return list
	}
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		list := make([]earlyCopy, earlyMax)
		for i := range list {
			list[i] = earlyCopy{Key: "k" + strconv.Itoa(i), At: w.svc.now()}
		}
		return putEarlyCopies(tx, list)
	}))
	for range 2 {
		w.svc.Appended("account-1", "n1@client.example", "m-stored", 100)
		if list := noted(); len(list) != earlyMax || list[0].Key != "k1" || list[earlyMax-1].Message != "m-stored" {
			t.Errorf("%d are noted", len(list))
		}
	}
	w.pass(earlyFor + time.Second)
	w.svc.Appended("account-1", "n2@client.example", "m-later", 100)
	if list := noted(); len(list) != 1 || list[0].Message != "m-later" {
		t.Errorf("noted when their time is over: %v", list)
	}
	if c, err := w.svc.takeEarly(w.ctx, earlyKey("account-1", "n2@client.example")); err != nil || c == nil || len(noted()) != 0 {
		t.Errorf("%v, %v; noted when it is taken: %v", c, err, noted())
	}
}
