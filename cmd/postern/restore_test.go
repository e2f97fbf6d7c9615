package main

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/gateway"
)

// TestARestoreNamesWhatIsScheduled, since some of it may have been cancelled
// after the backup.
func TestARestoreNamesWhatIsScheduled(t *testing.T) {
	list := []gateway.Scheduled{
		{ID: "s1", Account: "a1", SendAt: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), Recipients: 3},
		{ID: "s2", Account: "a2", SendAt: time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC), Recipients: 1},
	}
	for cancel, words := range map[bool]string{false: "2 scheduled messages will be sent", true: "2 scheduled messages were cancelled"} {
		var out strings.Builder
		restoreCmd{CancelScheduled: cancel}.tellScheduled(&out, list)
		for _, want := range []string{words, "s1  account a1  at 2026-03-02T09:00:00Z  to 3 recipients\n", "s2  account a2"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("cancel %v: %q says nothing of %q", cancel, out.String(), want)
			}
		}
		out.Reset()
		if (restoreCmd{CancelScheduled: cancel}).tellScheduled(&out, nil); out.Len() > 0 {
			t.Errorf("nothing is scheduled: %q", out.String())
		}
	}
}
