package webhook

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// late is a Service that comes after its outbox.
type late struct{ *Service }

// replaying is a house whose outbox can replay.
func replaying(t *testing.T) *house {
	t.Helper()
	l := &late{}
	h := buildHouse(t, houseOptions{outbox: outbox.Options{Owing: l}})
	l.Service = h.service
	h.run()
	h.account("a")
	h.account("b")
	return h
}

// replay replays and gives the job at its end.
func (h *house) replay(in outbox.Replay) *store.Job {
	h.t.Helper()
	ctx := context.Background()
	dry, err := h.outbox.CountReplay(ctx, in)
	if err != nil {
		h.t.Fatal(err)
	}
	j, err := h.outbox.Replay(ctx, in)
	if err == nil {
		j, err = h.outbox.Await(ctx, j.ID, 10*time.Second)
	}
	if err != nil || j.State != store.JobDone || j.Done != dry.Matched || j.Matched != dry.Matched || j.Skipped != 0 {
		h.t.Fatalf("%+v, %v; a dry run counted %d", j, err, dry.Matched)
	}
	return j
}

// heard gives the next n events that a receiver hears, by id.
func (s *receiver) heard(t *testing.T, n int) (bodies map[string][]byte) {
	t.Helper()
	bodies = map[string][]byte{}
	for range n {
		r := s.next(t)
		bodies[r.header.Get("webhook-id")] = r.body
	}
	return bodies
}

// TestReplayOfTheJournal gives an endpoint that was made later what happened
// before it: what it wants, each once, with the bytes that others got.
func TestReplayOfTheJournal(t *testing.T) {
	h := replaying(t)
	first, second := receive(t, nil), receive(t, nil)
	h.create(Create{URL: first.URL, Accounts: []string{"a"}})
	began := time.Now()
	var events []event.Event
	for range 150 {
		of := func(account string) event.Event {
			return event.Event{Type: event.MessageCreated, Account: account, Message: "m-" + account, Snapshot: &event.Snapshot{Subject: "s"}}
		}
		backfill := of("a")
		backfill.Backfill = true
		internal := of("a")
		internal.Internal = true
		events = append(events, of("a"), of("b"), updated("a"), backfill, internal)
	}
	h.journal(events...)
	told := first.heard(t, 300) // a's created and updated ones

	e, _ := h.create(Create{URL: second.URL, Events: []event.Type{event.MessageCreated}})
	journal := outbox.Replay{Source: store.JobJournal, To: e.ID}
	ofA := journal
	ofA.Filter = store.DeliveryFilter{Account: "a"}
	if j := h.replay(ofA); j.Done != 150 {
		t.Errorf("%+v", j)
	}
	got := second.heard(t, 150)
	if len(got) != 150 {
		t.Errorf("%d different events", len(got))
	}
	for id, body := range got {
		if !bytes.Equal(told[id], body) {
			t.Fatalf("%s came as %s, to the first one as %s", id, body, told[id])
		}
	}
	// The rest, and nothing of it twice.
	if j := h.replay(journal); j.Done != 150 {
		t.Errorf("%+v", j)
	}
	for id := range second.heard(t, 150) {
		if got[id] != nil {
			t.Fatalf("%s came again", id)
		}
	}
	if j := h.replay(journal); j.Done != 0 {
		t.Errorf("%+v", j)
	}
	// All of a time again, where that is asked for: in order, with the same ids.
	eventually(t, "all is noted as delivered", func() bool {
		list, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: e.ID, State: store.DeliveryDelivered}, store.DateKey{}, 1000)
		return err == nil && len(list) == 300
	})
	again := ofA
	again.States = []store.DeliveryState{store.DeliveryDelivered, store.DeliveryDead}
	again.Filter.Since = began
	if j := h.replay(again); j.Done != 150 {
		t.Errorf("%+v", j)
	}
	ids := func(m map[string][]byte) map[string]bool {
		out := map[string]bool{}
		for id := range m {
			out[id] = true
		}
		return out
	}
	if diff := cmp.Diff(ids(got), ids(second.heard(t, 150))); diff != "" {
		t.Errorf("again (-first +again):\n%s", diff)
	}
	for what, in := range map[string]store.DeliveryFilter{
		"before it began":   {Until: began},
		"after it ended":    {Since: time.Now().Add(time.Hour)},
		"of another type":   {Type: string(event.MessageDeleted)},
		"of nobody's":       {Account: "c"},
		"that it wants not": {Type: string(event.MessageUpdated)},
	} {
		in := outbox.Replay{Source: store.JobJournal, To: e.ID, Filter: in, States: again.States}
		if j, err := h.outbox.CountReplay(context.Background(), in); err != nil || j.Matched != 0 {
			t.Errorf("%s: %+v, %v", what, j, err)
		}
	}
}

// TestReplayToAnother gives an endpoint what was another's, whatever it asks
// for, and once more when that is asked for.
func TestReplayToAnother(t *testing.T) {
	h := replaying(t)
	first, second := receive(t, nil), receive(t, nil)
	from, _ := h.create(Create{URL: first.URL, Payload: PayloadFull})
	to, _ := h.create(Create{URL: second.URL, Events: []event.Type{event.Ping}})
	var events []event.Event
	for range 200 {
		events = append(events, updated("a"))
	}
	h.journal(events...)
	told := first.heard(t, 200)
	eventually(t, "all is noted as delivered", func() bool {
		list, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: from.ID, State: store.DeliveryDelivered}, store.DateKey{}, 1000)
		return err == nil && len(list) == 200
	})
	for round := range 2 {
		h.replay(outbox.Replay{Source: store.JobDeliveries, Filter: store.DeliveryFilter{Endpoint: from.ID}, States: []store.DeliveryState{store.DeliveryDelivered}, To: to.ID})
		for id, body := range second.heard(t, 200) {
			if !bytes.Equal(told[id], body) {
				t.Fatalf("%s came as %s, to the first one as %s", id, body, told[id])
			}
		}
		eventually(t, "it is noted", func() bool {
			list, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: to.ID, State: store.DeliveryDelivered}, store.DateKey{}, 1000)
			return err == nil && len(list) == 200 && list[0].Replays == round
		})
	}
}

// TestReplayOutrunByTheJournal: events that the journal has dropped before a
// slow replay came to them are not passed over in silence.
func TestReplayOutrunByTheJournal(t *testing.T) {
	h := replaying(t)
	sink := receive(t, nil)
	e, _ := h.create(Create{URL: sink.URL, Events: []event.Type{event.MessageDeleted}})
	var events []event.Event
	for range 50 {
		events = append(events, event.Event{Type: event.MessageDeleted, Account: "a", Message: "m", Snapshot: &event.Snapshot{}})
	}
	off := false
	if _, err := h.service.UpdateEndpoint(context.Background(), Update{ID: e.ID, Events: &[]event.Type{event.Ping}}); err != nil {
		t.Fatal(err)
	}
	h.journal(events...)
	if _, err := h.service.UpdateEndpoint(context.Background(), Update{ID: e.ID, Events: &[]event.Type{event.MessageDeleted}, Enabled: &off}); err != nil {
		t.Fatal(err)
	}
	j, err := h.outbox.Replay(context.Background(), outbox.Replay{Source: store.JobJournal, To: e.ID, PerSecond: 2})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has begun", func() bool {
		now, err := h.outbox.Job(context.Background(), j.ID)
		return err == nil && now.Done > 0
	})
	h.update(func(tx store.Tx) error {
		_, err := tx.TrimJournal(time.Now().Add(time.Hour), 1000)
		return err
	})
	ended, err := h.outbox.Await(context.Background(), j.ID, 10*time.Second)
	if err != nil || ended.State != store.JobFailed || ended.Reason == "" || ended.Done == 0 || ended.Done == 50 {
		t.Errorf("%+v, %v", ended, err)
	}
}
