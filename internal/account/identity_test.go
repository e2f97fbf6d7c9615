package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

const sales = "sales@example.com"

// asked counts the questions for identities that reach the provider.
func (w *world) asked() *int {
	n := 0
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "identities" {
			n++
		}
		return nil
	})
	return &n
}

func (w *world) senders(id string) (out []string) {
	w.t.Helper()
	list, err := w.svc.Identities(w.ctx, w.account(id))
	w.must(err)
	for _, i := range list {
		out = append(out, i.Email)
	}
	return out
}

func TestIdentities(t *testing.T) {
	w := newWorld(t)
	id := w.connect(ConnectInput{}, ann).Account
	n := w.asked()
	if got := w.senders(id); !slices.Equal(got, []string{ann}) || *n != 1 {
		t.Errorf("%v after %d questions", got, *n)
	}
	if w.senders(id); *n != 1 {
		t.Error("what is known was asked for again")
	}

	// An address that was added a moment ago is found when it is used.
	w.must(w.cloud.AddIdentity(ann, mail.Identity{Email: sales, Name: "Sales", Default: true}))
	if err := w.svc.MaySend(w.ctx, w.account(id), sales); code(err) != CodeNotPermitted || *n != 1 {
		t.Errorf("a moment after it was asked: %v after %d questions", err, *n)
	}
	w.advance(identitiesAgain)
	if err := w.svc.MaySend(w.ctx, w.account(id), strings.ToUpper(sales)); err != nil || *n != 2 {
		t.Errorf("the new address: %v after %d questions", err, *n)
	}
	if got := w.senders(id); !slices.Equal(got, []string{ann, sales}) {
		t.Errorf("kept: %v", got)
	}
	w.advance(identitiesAgain)
	err := w.svc.MaySend(w.ctx, w.account(id), "boss@example.com")
	if mail.KindOf(err) != mail.KindForbidden || code(err) != CodeNotPermitted || strings.Contains(err.Error(), "boss") {
		t.Errorf("somebody else's: %v", err)
	}

	// What is known is enough while the provider is away; what is not is not
	// guessed.
	w.advance(identitiesAgain)
	w.cloud.OnCall(func(context.Context, string, string) error {
		return &mail.Error{Kind: mail.KindUnavailable, Message: "away"}
	})
	if err := w.svc.MaySend(w.ctx, w.account(id), sales); err != nil {
		t.Errorf("a known address while the provider is away: %v", err)
	}
	if err := w.svc.MaySend(w.ctx, w.account(id), "boss@example.com"); code(err) != CodeNotPermitted {
		t.Errorf("another one meanwhile: %v", err)
	}
	other := w.connect(ConnectInput{}, bob).Account
	if err := w.svc.MaySend(w.ctx, w.account(other), sales); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("of an account whose identities nobody knows: %v", err)
	}
	*n = 0
	away := errors.New("away")
	w.cloud.OnCall(func(context.Context, string, string) error { *n++; return away })
	for range 3 {
		if got := w.senders(other); !slices.Equal(got, []string{bob}) {
			t.Errorf("it shows %v", got)
		}
	}
	if *n != 0 {
		t.Errorf("who reads asked %d times a moment after nobody answered", *n)
	}
	w.advance(identitiesAgain)
	if w.senders(other); *n != 1 {
		t.Errorf("later it was asked %d times", *n)
	}
}

// TestPartialIdentities: where the provider does not tell all, or nothing at
// all, it is the one to judge.
func TestPartialIdentities(t *testing.T) {
	w := newWorld(t)
	w.cloud.PartialIdentities(true)
	id := w.connect(ConnectInput{}, ann).Account
	n := w.asked()
	for range 2 {
		if err := w.svc.MaySend(w.ctx, w.account(id), "boss@example.com"); err != nil || *n != 1 {
			t.Errorf("%v after %d questions", err, *n)
		}
	}
	if a := w.account(id); !a.IdentitiesPartial || len(a.Identities) != 1 {
		t.Errorf("kept: %+v, partial %v", a.Identities, a.IdentitiesPartial)
	}
	// It tells all of them from now on, which the next round finds out.
	w.cloud.PartialIdentities(false)
	_, _, err := w.svc.askIdentities(w.ctx, w.account(id), provider.Backfill)
	w.must(err)
	if err := w.svc.MaySend(w.ctx, w.account(id), "boss@example.com"); code(err) != CodeNotPermitted {
		t.Errorf("once all are told: %v", err)
	}

	w.plugin = memory.New(memory.Options{Without: []provider.Capability{provider.CapIdentities}})
	silent := &store.Account{ID: "silent", Provider: "memory", Address: bob, Name: "Bob"}
	if err := w.svc.MaySend(w.ctx, silent, "boss@example.com"); err != nil {
		t.Errorf("of a provider that tells nothing: %v", err)
	}
	list, err := w.svc.Identities(w.ctx, silent)
	w.must(err)
	if want := []mail.Identity{{Email: bob, Name: "Bob", Default: true}}; !slices.Equal(list, want) {
		t.Errorf("it shows %v, want %v", list, want)
	}
}

// TestIdentitiesAfterRounds: the list follows the provider without anybody
// sending.
func TestIdentitiesAfterRounds(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	defer func() {
		cancel()
		w.must(<-done)
	}()
	told := make(chan struct{}, 8)
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "identities" {
			told <- struct{}{}
		}
		return nil
	})
	wait := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatal(what + ": not asked")
		}
	}
	id := w.connect(ConnectInput{}, ann).Account
	wait("after connecting")
	w.svc.GrantWorks(w.ctx, "memory", id)
	w.must(w.cloud.AddIdentity(ann, mail.Identity{Email: sales}))
	w.advance(identitiesFresh)
	w.svc.GrantWorks(w.ctx, "memory", id)
	wait("an hour later")
	if len(told) > 0 {
		t.Error("a round within the hour asked as well")
	}
	for range 1000 {
		if slices.ContainsFunc(w.account(id).Identities, func(i mail.Identity) bool { return i.Email == sales }) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the new address was not kept")
}

// TestConsentThatEnds: an account says while all is well when its consent will
// end, and connecting again renews it.
func TestConsentThatEnds(t *testing.T) {
	w := newWorld(t)
	ends := w.clock().Add(7 * 24 * time.Hour)
	w.cloud.GrantsEnd(ends, "the application is in testing")
	id := w.connect(ConnectInput{}, ann).Account
	want := "the consent ends on " + ends.Format(time.DateOnly) + ": the application is in testing"
	if a := w.account(id); a.Ending() != want || a.State == store.AccountGrantExpired || a.StateReason != "" {
		t.Errorf("it says %q, %q", a.Ending(), a.StateReason)
	}
	w.svc.GrantRefused(w.ctx, id, &mail.Error{Kind: mail.KindGrantExpired, Message: "it has ended"})
	if a := w.account(id); a.Ending() != "" || a.StateReason != "it has ended" {
		t.Errorf("after the end it says %q, %q", a.Ending(), a.StateReason)
	}
	later := ends.Add(24 * time.Hour)
	w.cloud.GrantsEnd(later, "")
	w.connect(ConnectInput{}, ann)
	if a := w.account(id); a.Ending() != "the consent ends on "+later.Format(time.DateOnly) {
		t.Errorf("connected again it says %q", a.Ending())
	}
	w.cloud.GrantsEnd(time.Time{}, "")
	w.connect(ConnectInput{}, ann)
	if a := w.account(id); a.Ending() != "" {
		t.Errorf("published it says %q", a.Ending())
	}
}
