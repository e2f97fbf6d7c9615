package webhook

import (
	"context"
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// TestEmptyListsAreRefused: a list that names nothing must not mean everything.
func TestEmptyListsAreRefused(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	sink := receive(t, nil)
	ctx := context.Background()
	for name, in := range map[string]Create{"events": {Events: []event.Type{}}, "accounts": {Accounts: []string{}}} {
		in.URL = sink.URL
		if _, _, err := h.service.CreateEndpoint(ctx, in); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("created with no %s: %v", name, err)
		}
	}
	e, _ := h.create(Create{URL: sink.URL, Accounts: []string{"a"}, Events: []event.Type{event.MessageUpdated}})
	for name, in := range map[string]Update{"events": {Events: &[]event.Type{}}, "accounts": {Accounts: &[]string{}}} {
		in.ID = e.ID
		if _, err := h.service.UpdateEndpoint(ctx, in); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("updated to no %s: %v", name, err)
		}
	}
	var all []string
	var every []event.Type
	got, err := h.service.UpdateEndpoint(ctx, Update{ID: e.ID, Accounts: &all, Events: &every})
	if err != nil || got.Accounts != nil || got.Events != nil {
		t.Errorf("null does not mean all: %+v, %v", got, err)
	}
}

// TestLimitedToAnAccountThatIsGone: what was read of such an endpoint can be
// written back, and it gets nobody else's mail.
func TestLimitedToAnAccountThatIsGone(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.account("a")
	h.account("b")
	sink := receive(t, nil)
	e, _ := h.create(Create{URL: sink.URL, Accounts: []string{"a"}})
	h.update(func(tx store.Tx) error { return tx.DeleteAccount("a") })
	read, err := h.service.GetEndpoint(context.Background(), e.ID)
	if err != nil || !slices.Equal(read.Accounts, []string{"a"}) {
		t.Fatalf("%+v, %v", read, err)
	}
	again, err := h.service.UpdateEndpoint(context.Background(), Update{ID: e.ID, Accounts: &read.Accounts})
	if err != nil || !slices.Equal(again.Accounts, []string{"a"}) {
		t.Fatalf("written back it is for %v: %v", again, err)
	}
	h.journal(updated("b"))
	if n := h.pending(); n != 0 || sink.count() != 0 {
		t.Errorf("it is owed %d events of another account", n)
	}
	other := []string{"a", "nobody"}
	if _, err := h.service.UpdateEndpoint(context.Background(), Update{ID: e.ID, Accounts: &other}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("an account that it never had: %v", err)
	}
}
