package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func updated(account string) event.Event {
	return event.Event{Type: event.MessageUpdated, Account: account, Message: "m1", AddedKeywords: []string{mail.Seen}}
}

func TestEventBecomesAVerifiedWebhook(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	e, secret := h.create(Create{URL: sink.URL + "/hook", Events: []event.Type{event.MessageUpdated, event.Ping}})
	if e.State != StateActive || !e.Ordered || e.Payload != PayloadThin || !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("%+v", e)
	}
	sent := h.journal(updated("a"), updated("a"))
	for i := range 2 {
		r := sink.next(t)
		if err := verify(r, secret); err != nil {
			t.Error(err)
		}
		var body struct {
			Type     string
			ID       string
			Sequence uint64
			Cursor   string
			Account  struct{ ID, Address string }
		}
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Fatal(err)
		}
		if body.Type != "message.updated" || body.ID != sent[i].ID || r.header.Get("webhook-id") != sent[i].ID ||
			body.Sequence != sent[i].Sequence || body.Account.Address != "a@example.org" || body.Cursor != sent[i].Cursor().String() {
			t.Errorf("%s", r.body)
		}
		if got := r.header.Get(HeaderPrevious); got != fmt.Sprint(i) {
			t.Errorf("%s: %q, want %d", HeaderPrevious, got, i)
		}
	}
	eventually(t, "both are written down as delivered", func() bool {
		list, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: e.ID, State: store.DeliveryDelivered}, store.DateKey{}, 10)
		return err == nil && len(list) == 2
	})
	if got, err := h.service.GetEndpoint(context.Background(), e.ID); err != nil || got.LastSuccessAt.IsZero() || got.State != StateActive {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOrderPerAccountThroughFailures(t *testing.T) {
	h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: fastPolicy()}})
	sink := receive(t, func(n int, w http.ResponseWriter, _ request) {
		if n%4 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	h.create(Create{URL: sink.URL})
	const accounts, each = 5, 20
	for n := range each {
		var events []event.Event
		for a := range accounts {
			if n == 0 {
				h.account(fmt.Sprintf("a%d", a))
			}
			events = append(events, updated(fmt.Sprintf("a%d", a)))
		}
		h.journal(events...)
	}
	eventually(t, "everything is delivered", func() bool { return h.pending() == 0 })
	last := map[string]uint64{}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	for _, r := range sink.got {
		var body struct {
			Account  struct{ ID string }
			Sequence uint64
		}
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Fatal(err)
		}
		if before := last[body.Account.ID]; body.Sequence != before && body.Sequence != before+1 {
			t.Errorf("account %s: %d came after %d", body.Account.ID, body.Sequence, before)
		}
		last[body.Account.ID] = body.Sequence
	}
	for a, n := range last {
		if n != each {
			t.Errorf("account %s: the last is %d", a, n)
		}
	}
}

// fastPolicy retries within milliseconds.
func fastPolicy() outbox.Policy {
	p := outbox.DefaultPolicy()
	p.Schedule = make([]time.Duration, len(p.Schedule))
	for i := range p.Schedule {
		p.Schedule[i] = 5 * time.Millisecond
	}
	p.Probe, p.MaxProbe = 5*time.Millisecond, 5*time.Millisecond
	return p
}

func (h *house) pending() int64 {
	h.t.Helper()
	var n int64
	if err := h.store.View(context.Background(), func(tx store.Tx) error {
		s, err := tx.OutboxStats()
		n = s.Pending
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestHangingReceiverDoesNotDelayAnother(t *testing.T) {
	h := newHouse(t, houseOptions{carrier: CarrierOptions{Total: time.Minute}, outbox: outbox.Options{Workers: 16, Grace: time.Millisecond}})
	release := make(chan struct{})
	hang := receive(t, func(int, http.ResponseWriter, request) { <-release })
	t.Cleanup(func() { close(release) })
	good := receive(t, nil)
	for a := range 10 {
		h.account(fmt.Sprintf("a%d", a))
	}
	h.create(Create{URL: hang.URL})
	h.create(Create{URL: hang.URL, Unordered: true})
	e, _ := h.create(Create{URL: good.URL})
	if _, err := h.service.SendTest(context.Background(), e.ID, ""); err != nil {
		t.Fatal(err)
	}
	good.next(t)
	for n := range 30 {
		began := time.Now()
		h.journal(updated(fmt.Sprintf("a%d", n%10)))
		r := good.next(t)
		if took := r.at.Sub(began); took > 10*time.Second {
			t.Errorf("webhook %d took %s beside a receiver that hangs", n, took)
		}
	}
}

func TestGoneDisablesAndTellsTheOthers(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	gone := receive(t, func(_ int, w http.ResponseWriter, _ request) { w.WriteHeader(http.StatusGone) })
	other := receive(t, nil)
	woken := h.bus.Listen(func(e event.Event) bool { return e.Type == event.EndpointDisabled })
	defer h.bus.Stop(woken)
	e, _ := h.create(Create{URL: gone.URL, Events: []event.Type{event.MessageUpdated}})
	h.create(Create{URL: other.URL, Events: []event.Type{event.EndpointDisabled}})
	h.journal(updated("a"))
	var body struct {
		Type string
		Data struct{ Endpoint, Reason string }
	}
	if err := json.Unmarshal(other.next(t).body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "endpoint.disabled" || body.Data.Endpoint != e.ID || !strings.Contains(body.Data.Reason, "410") {
		t.Errorf("%+v", body)
	}
	select {
	case <-woken.C:
	case <-time.After(time.Minute):
		t.Error("the bus was not woken")
	}
	ctx := context.Background()
	got, err := h.service.GetEndpoint(ctx, e.ID)
	if err != nil || got.State != StateDisabled || !strings.Contains(got.Reason, "410") {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := h.service.SendTest(ctx, e.ID, ""); mail.KindOf(err) != mail.KindConflict {
		t.Errorf("a test event to a disabled endpoint: %v", err)
	}
	// What it was owed, and what came meanwhile, goes out when it is enabled.
	h.journal(updated("a"))
	back := receive(t, nil)
	on := true
	if _, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, URL: &back.URL, Enabled: &on}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0", "1"} {
		if r := back.next(t); r.header.Get(HeaderPrevious) != want {
			t.Errorf("%s: %q, want %s", HeaderPrevious, r.header.Get(HeaderPrevious), want)
		}
	}
}

func TestRetryAfterPausesTheEndpoint(t *testing.T) {
	h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: fastPolicy()}})
	h.account("a")
	h.account("b")
	sink := receive(t, func(n int, w http.ResponseWriter, _ request) {
		if n == 1 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	e, _ := h.create(Create{URL: sink.URL})
	h.journal(updated("a"))
	first := sink.next(t)
	eventually(t, "the endpoint is paused", func() bool {
		got, err := h.service.GetEndpoint(context.Background(), e.ID)
		return err == nil && got.State == StateFailing && !got.PausedUntil.IsZero()
	})
	h.journal(updated("b"))
	for range 2 {
		if r := sink.next(t); r.at.Sub(first.at) < 1900*time.Millisecond {
			t.Errorf("the next attempt came after %s", r.at.Sub(first.at))
		}
	}
	eventually(t, "the endpoint is well again", func() bool {
		got, err := h.service.GetEndpoint(context.Background(), e.ID)
		return err == nil && got.State == StateActive && got.FailingSince.IsZero()
	})
}

func TestRedirectIsRetriedAndNeverFollowed(t *testing.T) {
	h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: fastPolicy()}})
	h.account("a")
	target := receive(t, nil)
	sink := receive(t, func(n int, w http.ResponseWriter, _ request) {
		w.Header().Set("Location", target.URL)
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	e, _ := h.create(Create{URL: sink.URL, Attempts: 3})
	h.journal(updated("a"))
	eventually(t, "it is a dead letter", func() bool {
		list, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: e.ID, State: store.DeliveryDead}, store.DateKey{}, 1)
		return err == nil && len(list) == 1 && list[0].Attempts == 3 && list[0].LastStatus == 308 && strings.Contains(list[0].LastError, "redirects are not followed")
	})
	if target.count() != 0 {
		t.Errorf("the redirect was followed %d times", target.count())
	}
}

func TestRotationSignsWithBothForADay(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	h := newHouse(t, houseOptions{webhook: Options{Now: clock}})
	h.account("a")
	ctx := context.Background()
	sink := receive(t, nil)
	e, first := h.create(Create{URL: sink.URL})
	h.journal(updated("a"))
	if err := verify(sink.next(t), first); err != nil {
		t.Error(err)
	}
	_, second, err := h.service.RotateSecret(ctx, e.ID, Rotate{})
	if err != nil || second == first {
		t.Fatal(second, err)
	}
	h.journal(updated("a"))
	r := sink.next(t)
	for _, secret := range []string{first, second} {
		if err := verify(r, secret); err != nil {
			t.Error(err)
		}
	}
	for range 3 {
		if _, _, err := h.service.RotateSecret(ctx, e.ID, Rotate{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := h.service.RotateSecret(ctx, e.ID, Rotate{}); mail.KindOf(err) != mail.KindConflict {
		t.Errorf("a sixth key within a day: %v", err)
	}
	now = now.Add(25 * time.Hour)
	if _, _, err := h.service.RotateSecret(ctx, e.ID, Rotate{}); err != nil {
		t.Errorf("a day later: %v", err)
	}
	err = h.store.View(ctx, func(tx store.Tx) error {
		r, err := tx.Endpoint(e.ID)
		if err != nil {
			return err
		}
		c, err := decodeConfig(r.Config)
		if err == nil && len(c.Keys) != 2 {
			t.Errorf("%d keys are kept", len(c.Keys))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// No secret where somebody may read it.
	h.stop()
	for _, secret := range []string{first, second, strings.TrimPrefix(first, secretPrefix)} {
		if strings.Contains(h.log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func TestBadInputIsRefusedByKind(t *testing.T) {
	h := newHouse(t, houseOptions{})
	ctx := context.Background()
	for name, in := range map[string]Create{
		"credentials":      {URL: "https://user:pass@example.com"},
		"private":          {URL: "https://192.168.0.1"},
		"unknown type":     {URL: "https://example.com", Events: []event.Type{"message.exploded"}},
		"unknown payload":  {URL: "https://example.com", Payload: "fat"},
		"attempts":         {URL: "https://example.com", Attempts: 13},
		"fewer attempts":   {URL: "https://example.com", Attempts: -1},
		"unknown account":  {URL: "https://example.com", Accounts: []string{"nobody"}},
		"long description": {URL: "https://example.com", Description: long('x', 1001)},
	} {
		if _, _, err := h.service.CreateEndpoint(ctx, in); mail.KindOf(err) != mail.KindInvalid || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := h.service.ListEndpoints(ctx); err != nil || len(list) != 0 {
		t.Errorf("%v, %v after nothing but refusals", list, err)
	}
	none := "ep_none"
	calls := map[string]func() error{
		"get":    func() error { _, err := h.service.GetEndpoint(ctx, none); return err },
		"update": func() error { _, err := h.service.UpdateEndpoint(ctx, Update{ID: none}); return err },
		"rotate": func() error { _, _, err := h.service.RotateSecret(ctx, none, Rotate{}); return err },
		"delete": func() error { return h.service.DeleteEndpoint(ctx, none) },
		"test":   func() error { _, err := h.service.SendTest(ctx, none, ""); return err },
	}
	for name, call := range calls {
		if err := call(); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("%s of no endpoint: %v", name, err)
		}
	}
	e, _ := h.create(Create{URL: "https://example.com", Description: "mine"})
	bad := "http://10.0.0.1"
	if _, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, URL: &bad}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("an update to a private address: %v", err)
	}
	got, err := h.service.GetEndpoint(ctx, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("the refused update changed something:\n%s", diff)
	}
}

func TestUpdateHoldsForTheNextEvent(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	ctx := context.Background()
	first, second := receive(t, nil), receive(t, nil)
	e, secret := h.create(Create{URL: first.URL, Events: []event.Type{event.AccountSynced}})
	h.journal(updated("a"))
	types, backfill, attempts, description, ordered := []event.Type{event.MessageUpdated}, true, 6, "new", false
	got, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, URL: &second.URL, Events: &types, Backfill: &backfill,
		Attempts: &attempts, Description: &description, Ordered: &ordered})
	if err != nil {
		t.Fatal(err)
	}
	if got.URL != second.URL || !got.Backfill || got.Attempts != 6 || got.Description != "new" || got.Ordered {
		t.Errorf("%+v", got)
	}
	sent := h.journal(updated("a"))
	r := second.next(t)
	if r.header.Get("webhook-id") != sent[0].ID {
		t.Errorf("got %s", r.body)
	}
	if err := verify(r, secret); err != nil {
		t.Error(err)
	}
	if first.count() != 0 {
		t.Errorf("%d requests to the old address", first.count())
	}
}

func TestDeletedEndpointGetsNothingMore(t *testing.T) {
	h := newHouse(t, houseOptions{outbox: outbox.Options{Policy: fastPolicy()}})
	h.account("a")
	sink := receive(t, func(_ int, w http.ResponseWriter, _ request) { w.WriteHeader(http.StatusInternalServerError) })
	e, _ := h.create(Create{URL: sink.URL})
	for range 5 {
		h.journal(updated("a"))
	}
	sink.next(t)
	if err := h.service.DeleteEndpoint(context.Background(), e.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what it was owed is gone", func() bool { return h.pending() == 0 })
	h.journal(updated("a"))
	if n := h.pending(); n != 0 {
		t.Errorf("%d deliveries are owed to an endpoint that is gone", n)
	}
	if list, err := h.service.ListEndpoints(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestPingWaitsForNobody(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, func(_ int, w http.ResponseWriter, r request) {
		if !strings.Contains(string(r.body), `"type":"ping"`) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	e, secret := h.create(Create{URL: sink.URL})
	h.journal(updated("a"), event.Event{Type: event.ProviderMisconfigured})
	sink.next(t)
	sink.next(t)
	id, err := h.service.SendTest(context.Background(), e.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	r := sink.next(t)
	if err := verify(r, secret); err != nil || !strings.Contains(string(r.body), `"type":"ping"`) {
		t.Errorf("%v: %s", err, r.body)
	}
	eventually(t, "the ping is written down", func() bool {
		d, attempts, err := h.outbox.Delivery(context.Background(), id)
		return err == nil && d.State == store.DeliveryDelivered && len(attempts) == 1 && attempts[0].Peer != ""
	})
}
