package provider_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// TestTurns: of goroutines that all wait for their turn, none gets it after the
// one that fails, and all are told its error.
func TestTurns(t *testing.T) {
	failed := errors.New("failed")
	var turns provider.Turns
	var begun, done sync.WaitGroup
	const takers = 20
	errs := make(chan error, takers)
	begun.Add(takers)
	calls := 0
	for range takers {
		done.Go(func() {
			begun.Done()
			begun.Wait()
			errs <- turns.Take(func() error {
				if calls++; calls == 3 { // guarded by the turn
					return failed
				}
				return nil
			})
		})
	}
	done.Wait()
	close(errs)
	told := 0
	for err := range errs {
		if errors.Is(err, failed) {
			told++
		}
	}
	if calls != 3 || told != takers-2 {
		t.Errorf("%d calls, %d were told the error; want 3 and %d", calls, told, takers-2)
	}
}
