package session

import (
	"time"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// stillEvery is how often a client that waits for the provider is told that
// somebody works on it; many give a server half a minute to say anything.
const stillEvery = 15 * time.Second

// stillHere tells the client from time to time that its command is being
// worked on, until the function that it gives is called. The writer must have
// been flushed.
func stillHere(w *wire.Writer, words string) (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// A connection that takes nothing any more ends the command itself.
				_, _ = w.Interject("* OK " + words)
			case <-stopped:
				return
			}
		}
	}()
	return func() {
		close(stopped)
		<-ended
	}
}
