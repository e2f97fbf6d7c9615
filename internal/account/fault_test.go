package account

import (
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func secretExpired() error {
	return &mail.Error{Kind: mail.KindMisconfigured, Code: "X7000222", Message: "the secret has expired"}
}

func (w *world) told(kind event.Type) (n int) {
	for _, got := range w.events() {
		if got == kind {
			n++
		}
	}
	return n
}

// provider gives the events about provider instances.
func (w *world) provider() (out []event.Event) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		list, err := tx.EventsAfter(0, 1000)
		for _, e := range list {
			if e.Provider != "" {
				out = append(out, event.Event{Type: e.Type, Account: e.Account, Provider: e.Provider, Reason: e.Reason})
			}
		}
		return err
	}))
	return out
}

// TestEveryFaultIsToldAndItsEnd: each names its instance, and what is said of
// its end is not more than is known.
func TestEveryFaultIsToldAndItsEnd(t *testing.T) {
	w := newWorld(t)
	a := w.connect(ConnectInput{}, ann).Account
	w.svc.GrantRefused(w.ctx, a, secretExpired())
	w.svc.GrantWorks(w.ctx, "memory", a)
	w.svc.GrantWorks(w.ctx, "memory", a)
	w.svc.refusedApplication(w.ctx, "memory", secretExpired())
	w.svc.Reconfigured(w.ctx, []string{"memory"})
	w.svc.GrantRefused(w.ctx, a, secretExpired())
	w.away = true
	w.svc.Reconfigured(w.ctx, []string{"memory"})
	begun := event.Event{Type: event.ProviderMisconfigured, Provider: "memory", Reason: "the secret has expired (X7000222)"}
	ended := func(reason string) event.Event {
		return event.Event{Type: event.ProviderRecovered, Provider: "memory", Reason: reason}
	}
	want := []event.Event{begun, ended(""), begun, ended(configuredNew), begun, ended(notConfigured)}
	if diff := cmp.Diff(want, w.provider()); diff != "" {
		t.Error(diff)
	}
}

// TestFaultIsOverByProof: only what was refused and works again, or what cannot
// live on anything old, ends a fault.
func TestFaultIsOverByProof(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect(ConnectInput{}, ann).Account, w.connect(ConnectInput{}, bob).Account
	faulty := func(want bool, why string) {
		t.Helper()
		if got := w.svc.Misconfigured("memory") != ""; got != want {
			t.Errorf("%s: misconfigured %v", why, got)
		}
	}
	w.svc.GrantRefused(w.ctx, a, secretExpired())
	w.svc.GrantWorks(w.ctx, "memory", b)
	w.must(w.svc.SaveGrant(w.ctx, "memory", b, []byte("new")))
	faulty(true, "another account works still")
	w.svc.GrantRefused(w.ctx, b, secretExpired())
	w.svc.GrantWorks(w.ctx, "memory", a)
	faulty(false, "the account that was refused works")
	w.svc.GrantRefused(w.ctx, b, secretExpired())
	if n := w.told(event.ProviderMisconfigured); n != 2 {
		t.Errorf("two faults were told %d times", n)
	}
	w.svc.PluginStarted("memory")
	w.svc.GrantWorks(w.ctx, "memory", a)
	faulty(false, "a new process has no old tokens")

	w.svc.GrantRefused(w.ctx, a, secretExpired())
	w.must(w.svc.Disconnect(w.ctx, a, false, nil))
	faulty(true, "the account that was refused is gone")
	w.svc.GrantWorks(w.ctx, "memory", b)
	faulty(false, "nobody is left to prove it")
}

// TestFaultSurvivesRestart: a gateway that starts in the midst of a fault knows
// it, and does not tell it again.
func TestFaultSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	a := w.connect(ConnectInput{}, ann).Account
	w.svc.GrantRefused(w.ctx, a, secretExpired())
	again := func() {
		w.svc = New(w.store, journal.New(w.store, &event.Bus{}, w.clock), w, Options{Now: w.clock, PublicURL: &url.URL{Scheme: "http", Host: "x"}})
		w.svc.SetMirror(w)
		w.must(w.svc.Restore(w.ctx))
	}
	again()
	if why := w.svc.Misconfigured("memory"); why != "the secret has expired (X7000222)" {
		t.Errorf("after a restart the provider is %q", why)
	}
	w.svc.GrantRefused(w.ctx, a, secretExpired())
	if n := w.told(event.ProviderMisconfigured); n != 1 {
		t.Errorf("one fault was told %d times", n)
	}
	w.svc.GrantWorks(w.ctx, "memory", a)
	again()
	if why := w.svc.Misconfigured("memory"); why != "" {
		t.Errorf("what is over came back: %q", why)
	}
}

// TestConnectMeetsFault: a wrong secret shows when nobody is connected yet, and
// a reload gives it another chance.
func TestConnectMeetsFault(t *testing.T) {
	w := newWorld(t)
	w.svc.refusedApplication(w.ctx, "memory", mail.Errorf(mail.KindForbidden, "x", "the owner declined"))
	if w.svc.Misconfigured("memory") != "" {
		t.Error("an owner's refusal is the operator's trouble")
	}
	w.svc.refusedApplication(w.ctx, "memory", secretExpired())
	if w.svc.Misconfigured("memory") == "" || !slices.Equal(w.events(), []event.Type{event.ProviderMisconfigured}) {
		t.Errorf("the provider is %q, events %v", w.svc.Misconfigured("memory"), w.events())
	}
	w.svc.Reconfigured(w.ctx, []string{"memory"})
	if why := w.svc.Misconfigured("memory"); why != "" {
		t.Errorf("after a reload that nobody has tried yet: %q", why)
	}
	w.svc.refusedApplication(w.ctx, "memory", secretExpired())
	w.connect(ConnectInput{}, ann)
	if why := w.svc.Misconfigured("memory"); why != "" {
		t.Errorf("somebody could connect, and the provider is %q", why)
	}
}

// TestRemovedProvider: accounts of a provider that is taken out of the settings
// say so; those that wait for their owners go on waiting.
func TestRemovedProvider(t *testing.T) {
	w := newWorld(t)
	a, b := w.connect(ConnectInput{}, ann).Account, w.connect(ConnectInput{}, bob).Account
	w.svc.GrantRefused(w.ctx, b, &mail.Error{Kind: mail.KindGrantExpired, Message: "revoked"})
	missing := mail.Errorf(mail.KindNotFound, "find provider", "no provider")
	w.svc.GrantRefused(w.ctx, a, missing)
	if got := w.account(a); got.State == store.AccountError {
		t.Errorf("the provider is there, but the account is %s", got.State)
	}
	w.away = true
	for _, id := range []string{a, b} {
		w.svc.GrantRefused(w.ctx, id, missing)
	}
	if got := w.account(a); got.State != store.AccountError || got.StateReason == "" || got.Watch.ID != "" {
		t.Errorf("the account is %s (%q), watched by %q", got.State, got.StateReason, got.Watch.ID)
	}
	if got := w.account(b); got.State != store.AccountGrantExpired {
		t.Errorf("the account that waits for its owner is %s", got.State)
	}
}
