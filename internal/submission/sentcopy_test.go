package submission

import (
	"slices"
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
