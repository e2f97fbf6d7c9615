package webhook

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func TestOweChoosesByTypeAccountAndBackfill(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	h.account("b")
	sink := receive(t, nil)
	names := map[string]string{}
	for name, in := range map[string]Create{
		"all":      {},
		"created":  {Events: []event.Type{event.MessageCreated}},
		"of b":     {Accounts: []string{"b"}},
		"backfill": {Backfill: true, Events: []event.Type{event.MessageCreated, event.MessageUpdated}},
		"full":     {Payload: PayloadFull},
		"disabled": {},
	} {
		in.URL = sink.URL
		e, _ := h.create(in)
		names[e.ID] = name
		if name == "disabled" {
			off := false
			if _, err := h.service.UpdateEndpoint(context.Background(), Update{ID: e.ID, Enabled: &off}); err != nil {
				t.Fatal(err)
			}
		}
	}
	created := event.Event{Type: event.MessageCreated, Account: "a", Message: "m1", Snapshot: &event.Snapshot{Subject: "s"}}
	old := created
	old.Backfill = true
	internal := updated("a")
	internal.Internal = true
	for _, tc := range []struct {
		name  string
		event event.Event
		want  string
	}{
		{"created", created, "all:thin backfill:thin created:thin disabled:thin full:full"},
		{"created, backfill", old, "backfill:thin"},
		{"updated of b", updated("b"), "all:thin backfill:thin disabled:thin full:full of b:thin"},
		{"internal", internal, ""},
		{"an event of no account", event.Event{Type: event.ProviderMisconfigured}, "all:thin disabled:thin full:thin"},
		{"a ping to nobody here", event.Event{Type: event.Ping, Endpoint: "ep_other"}, ""},
	} {
		e := h.journal(tc.event)[0]
		var got []string
		for id, name := range names {
			for _, p := range []Payload{PayloadThin, PayloadFull} {
				if d, _, err := h.outbox.Delivery(context.Background(), deliveryID(id, &e, p)); err == nil {
					got = append(got, name+":"+d.Rendition)
				}
			}
		}
		if have := strings.Join(sorted(got), " "); have != tc.want {
			t.Errorf("%s: owed to %q, want %q", tc.name, have, tc.want)
		}
	}
}

func sorted(list []string) []string { return distinct(list) }

func TestDamagedEndpointDoesNotStopTheMirror(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	h.update(func(tx store.Tx) error {
		return tx.PutEndpoint(&store.Endpoint{ID: "ep_damaged", Config: []byte(`{"url":`), Ordered: true})
	})
	_, secret := h.create(Create{URL: sink.URL})
	h.journal(updated("a"))
	if err := verify(sink.next(t), secret); err != nil {
		t.Error(err)
	}
	h.stop()
	if !strings.Contains(h.log.String(), "endpoint is damaged") {
		t.Error("nobody was told")
	}
}

func TestEventsOfOneTransactionShareABody(t *testing.T) {
	h := buildHouse(t, houseOptions{})
	h.account("a")
	for range 3 {
		h.create(Create{URL: "http://127.0.0.1:9000/"})
	}
	e := h.journal(updated("a"))[0]
	err := h.store.View(context.Background(), func(tx store.Tx) error {
		list, err := tx.Deliveries(store.DeliveryFilter{Account: "a"}, store.DateKey{}, 10)
		if err != nil {
			return err
		}
		if len(list) != 3 {
			t.Errorf("%d deliveries", len(list))
		}
		for _, d := range list {
			if d.Event != e.ID || d.Rendition != "thin" || d.Lane != "a" || d.State != store.DeliveryPending {
				t.Errorf("%+v", d)
			}
		}
		_, err = tx.Body(list[0])
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
