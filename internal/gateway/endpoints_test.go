package gateway

import (
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/webhook"
)

// TestOneWordForAState: the command line and GraphQL call the state of an
// endpoint by the same word.
func TestOneWordForAState(t *testing.T) {
	for _, state := range []webhook.State{webhook.StateActive, webhook.StateFailing, webhook.StateDisabled} {
		w := &webhook.Endpoint{State: state, PausedUntil: time.Now().Add(time.Hour)}
		if got := endpoint(w); string(got.State) != string(state) {
			t.Errorf("%s is told as %s", state, got.State)
		}
	}
}
