package gmail

import (
	"context"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// echoAfter is longer than the second in which Gmail tells of one account at
// most once ("Configure push notifications in Gmail API", notification rate).
const echoAfter = 2 * time.Second

// echoes are hints of our own. What happens in the second after a notification
// is told by none: the notification is dropped. So each is followed by another
// hint when that second is over, unless others have come meanwhile.
type echoes struct {
	mu  sync.Mutex
	due map[string]*time.Timer
}

// after calls f once nothing was heard of the key for a while.
func (e *echoes) after(key string, wait time.Duration, f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.due[key]; t != nil {
		t.Stop()
	}
	if e.due == nil {
		e.due = map[string]*time.Timer{}
	}
	var t *time.Timer
	t = time.AfterFunc(wait, func() {
		e.mu.Lock()
		current := e.due[key] == t
		if current {
			delete(e.due, key)
		}
		e.mu.Unlock()
		if current {
			f()
		}
	})
	e.due[key] = t
}

// end forgets them all.
func (e *echoes) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range e.due {
		t.Stop()
	}
	e.due = nil
}

// echo gives a hint once more, when Gmail would tell again.
func (p *Provider) echo(hint provider.Hint) {
	p.echoes.after(hint.LookupKey, echoAfter, func() {
		ctx, done := p.calls.Add(context.Background())
		defer done()
		ctx, cancel := context.WithTimeout(ctx, echoAfter)
		defer cancel()
		host, err := p.host.Get(ctx)
		if err == nil {
			err = host.Hint(ctx, &hint)
		}
		if err != nil && ctx.Err() == nil {
			p.log().Debug("the host did not take a hint", "err", err)
		}
	})
}
