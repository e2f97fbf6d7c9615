// Package mirrortest is a world for tests of what reads and writes the mirror:
// one account in a real store, mirrored by the real service from a provider in
// memory. Nothing runs by itself: Sync mirrors what the provider has, Run does
// what the gateway does.
//
// Where to start: New.
package mirrortest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

// The account.
const (
	Ann     = "ann@example.com"
	Account = "account-1"
)

// World is Ann's account.
type World struct {
	Cloud  *memory.Cloud
	Plugin *memory.Provider
	Store  store.Store
	Bus    *event.Bus
	Mirror *mailbox.Service
	// Front, where it is set, stands in front of the plugin.
	Front func(provider.Provider) provider.Provider

	t         testing.TB
	delivered int
}

// New connects the account. Nothing is mirrored yet.
func New(t testing.TB, opts memory.Options) *World {
	t.Helper()
	w := &World{t: t, Plugin: memory.New(opts), Store: bolttest.Open(t), Bus: &event.Bus{}}
	w.Cloud = w.Plugin.Cloud()
	w.Cloud.AddAccount(Ann, "Ann")
	// The feeds of the provider in memory do not lag.
	w.Mirror = mailbox.New(w.Store, journal.New(w.Store, w.Bus, time.Now), host{w}, host{w}, mailbox.Options{FeedLag: time.Nanosecond})
	go func() { _ = w.Plugin.Session(t.Context(), pluginHost{}) }()
	if _, err := w.Plugin.OpenAccount(Account, Ann); err != nil {
		t.Fatal(err)
	}
	w.must(w.Store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutAccount(&store.Account{ID: Account, Provider: "memory", Address: Ann, State: store.AccountConnecting, ConnectedAt: time.Now().Truncate(time.Second)})
	}))
	return w
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Letter is the n-th message that tests deliver.
func Letter(n int) []byte {
	return fmt.Appendf(nil, "From: bob@example.org\r\nTo: %s\r\nSubject: Letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\nThis is letter %d.\r\n", Ann, n, n, n)
}

// Deliver puts a message into a mailbox, the inbox for "", and gives the
// provider's id. Its date is a minute after the one before it, so that UIDs are
// in the order of delivery.
func (w *World) Deliver(mailbox string, raw []byte, keywords ...string) string {
	w.t.Helper()
	w.delivered++
	id, err := w.Cloud.Deliver(Ann, memory.Delivery{Mailbox: mailbox, Raw: raw, Keywords: keywords, Date: time.Date(2026, 3, 1, 9, w.delivered, 0, 0, time.UTC)})
	w.must(err)
	return id
}

// Delivered is how often Deliver was called.
func (w *World) Delivered() int { return w.delivered }

// Sync mirrors what the provider has now.
func (w *World) Sync() {
	w.t.Helper()
	for range 5 {
		w.must(w.Mirror.Round(w.t.Context(), Account))
		var pending []store.Absence
		w.must(w.Store.View(w.t.Context(), func(tx store.Tx) (err error) {
			pending, err = tx.Absences(Account, 1000)
			return err
		}))
		if len(pending) == 0 {
			return
		}
	}
	w.t.Fatal("absences were not settled after five rounds")
}

// Run syncs in the background until the test ends.
func (w *World) Run() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Mirror.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// host is what the mirror needs of the gateway: plugins, and somebody who hears
// of grants.
type host struct{ w *World }

func (h host) Provider(string) (provider.Provider, error) {
	if h.w.Front != nil {
		return h.w.Front(h.w.Plugin), nil
	}
	return h.w.Plugin, nil
}

func (h host) Info(string) (*provider.Info, error) {
	return h.w.Plugin.Describe(context.Background())
}

func (host) GrantWorks(context.Context, string, string)  {}
func (host) GrantRefused(context.Context, string, error) {}

// pluginHost is the host that the plugin talks to.
type pluginHost struct{}

func (pluginHost) GrantRefused(context.Context, string, error) error { return nil }
func (pluginHost) SaveGrant(context.Context, string, []byte) error   { return nil }
func (pluginHost) Hint(context.Context, *provider.Hint) error        { return nil }
