package mailbox

import (
	"sync"

	"github.com/postern-mail/postern/store"
)

// underway remembers of which messages the mirror was told something while a
// write of ours to them is under way. What it was told may be newer than the
// write, though it changes nothing here: somebody else has undone at the provider
// what the mirror does not know of yet. The write's answer, which comes later, does
// not say so, and no feed will say it again.
type underway struct {
	mu sync.Mutex
	of map[string]*telling // by our id
}

type telling struct {
	writes int
	told   bool
}

// begin is called before the provider is, and end once the outcome is in the
// mirror; once more does no harm.
func (u *underway) begin(messages []*store.Message) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil {
		u.of = map[string]*telling{}
	}
	for _, m := range messages {
		if u.of[m.ID] == nil {
			u.of[m.ID] = &telling{}
		}
		u.of[m.ID].writes++
	}
	return sync.OnceFunc(func() { u.end(messages) })
}

func (u *underway) end(messages []*store.Message) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range messages {
		if t := u.of[m.ID]; t.writes > 1 {
			t.writes--
		} else {
			delete(u.of, m.ID)
		}
	}
}

// tell notes that something was told of a message.
func (u *underway) tell(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if t := u.of[id]; t != nil {
		t.told = true
	}
}

// told reports whether something was since begin, by whomever that was called.
func (u *underway) told(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.of[id]
	return t != nil && t.told
}
