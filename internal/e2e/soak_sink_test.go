package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// sink is the receiver of webhooks. It remembers all that comes.
type sink struct {
	srv *httptest.Server

	mu     sync.Mutex
	events map[string]*sunk // by id
	lanes  map[string][]string
	total  int
	trap   *sinkTrap
	bad    []string
	verify *standardwebhooks.Webhook
}

// sunk is one event as it came.
type sunk struct {
	body     string
	times    int
	previous int64
	event    hookEvent
}

// hookEvent is the part of a body that is compared with the journal.
type hookEvent struct {
	Type, ID, Cursor string
	Sequence         int64
	Account          *struct{ ID string }
}

func (e *hookEvent) account() string {
	if e.Account == nil {
		return ""
	}
	return e.Account.ID
}

// sinkTrap catches a delivery that was answered well, before the gateway can
// have noted that: while the answer is on its way, or, with next, when the next
// event of the lane comes, which shows that the gateway has read it.
type sinkTrap struct {
	next   bool
	lane   string // once answered
	id     string // the event whose acknowledgement is to be lost
	caught chan struct{}
	dead   chan struct{}
}

func newSink(t *testing.T) *sink {
	t.Helper()
	k := &sink{events: map[string]*sunk{}, lanes: map[string][]string{}}
	k.srv = httptest.NewServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.srv.Close)
	return k
}

func (k *sink) set(t *sinkTrap) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trap = t
}

// count counts the events that came.
func (k *sink) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.events)
}

func (k *sink) serve(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var e hookEvent
	if err != nil { // the gateway died while it was sending
		panic(http.ErrAbortHandler)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := json.Unmarshal(raw, &e); err != nil || e.ID == "" || e.ID != r.Header.Get("Webhook-Id") {
		k.bad = append(k.bad, "not a webhook: "+string(raw))
		return
	}
	if k.verify != nil {
		if err := k.verify.Verify(raw, r.Header); err != nil {
			k.bad = append(k.bad, e.ID+": "+err.Error())
		}
	}
	k.note(&e, string(raw), r.Header.Get("Postern-Previous"))
	t := k.trap
	switch {
	case t == nil:
	case t.id == "":
		t.lane, t.id = e.account(), e.ID
		if t.next {
			break
		}
		w.WriteHeader(http.StatusNoContent)
		_ = http.NewResponseController(w).Flush()
		k.spring(t)
		return
	case t.next && t.lane == e.account() && t.id != e.ID:
		k.spring(t)
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

// spring is called with the lock held, and holds it until the gateway is dead:
// nothing else is taken meanwhile.
func (k *sink) spring(t *sinkTrap) {
	k.trap = nil
	close(t.caught)
	<-t.dead
}

func (k *sink) note(e *hookEvent, raw, previous string) {
	k.total++
	if old := k.events[e.ID]; old != nil {
		if old.body != raw {
			k.bad = append(k.bad, "event "+e.ID+" came with two bodies:\n"+old.body+"\n"+raw)
		}
		old.times++
		return
	}
	n, err := strconv.ParseInt(previous, 10, 64)
	if err != nil && previous != "" {
		k.bad = append(k.bad, "Postern-Previous: "+previous)
	}
	k.events[e.ID] = &sunk{body: raw, times: 1, previous: n, event: *e}
	k.lanes[e.account()] = append(k.lanes[e.account()], e.ID)
}
