package storetest

import (
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func accountCases() []Case {
	return []Case{
		{Name: "an account comes back as it was put", Run: accountRoundTrip},
		{Name: "accounts are listed by id, in pages", Run: accountPages},
		{Name: "a lookup key finds its account, as long as it has it", Run: accountLookup},
		{Name: "a grant comes back as it was put", Run: grantRoundTrip},
		{Name: "a pending consent is found by link and by state", Run: connectFound},
		{Name: "pending consents expire", Run: connectExpire},
	}
}

func fullAccount() *store.Account {
	return &store.Account{
		ID: "a1", Provider: "sandbox", Subject: "s-1", Address: "ada@example.org", Name: "Ada \u00e9",
		ExternalID: "x-1", Grant: "g1", State: store.AccountGrantExpired, StateReason: "expired: sign in again",
		Mirror: store.MirrorFull, Paused: true,
		GrantEnds: day(4), GrantEndsWhy: "a trial", Identities: []mail.Identity{{Email: "b@example.com", Name: "B", ReplyTo: "c@example.com", Default: true}}, IdentitiesPartial: true,
		CreatedAt: day(-3), ConnectedAt: day(-2), SyncedAt: day(-1), LastSyncAt: Start.Add(123456789),
		Done: 17, Total: 99,
		Watch: store.Watch{ID: "w1", State: []byte{0, 1, 2, 255}, Expires: day(3), LookupKeys: []string{"k1", "k2"}, LastHintAt: day(1)},
	}
}

func accountRoundTrip(w *World) {
	a := fullAccount()
	w.update(func(tx store.Tx) error { return tx.PutAccount(a) })
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Account("a1")
		w.same("account", a, got)
		return err
	})
	a.State, a.StateReason, a.Watch = store.AccountReady, "", store.Watch{}
	w.update(func(tx store.Tx) error { return tx.PutAccount(a) })
	w.view(func(tx store.Tx) error {
		got, err := tx.Account("a1")
		w.same("account put again", a, got)
		_, missing := tx.Account("a2")
		w.absent("unknown account", missing)
		return err
	})
	_ = w.refused("an account without an id", func(tx store.Tx) error { return tx.PutAccount(&store.Account{}) })
}

func accountPages(w *World) {
	const n = 25
	for i := range n {
		w.update(func(tx store.Tx) error { return tx.PutAccount(account(name("a", (i*7)%n))) })
	}
	w.view(func(tx store.Tx) error {
		after, seen := "", 0
		for {
			page, err := tx.AccountsAfter(after, 4)
			if err != nil {
				return err
			}
			if len(page) > 4 {
				w.Errorf("a page of %d", len(page))
			}
			for _, a := range page {
				if a.ID != name("a", seen) {
					w.Errorf("account %s at place %d", a.ID, seen)
				}
				seen++
				after = a.ID
			}
			if len(page) == 0 {
				break
			}
		}
		if seen != n {
			w.Errorf("%d accounts of %d", seen, n)
		}
		return nil
	})
}

func accountLookup(w *World) {
	put := func(id, provider string, keys ...string) {
		a := account(id)
		a.Provider, a.Watch.LookupKeys = provider, keys
		w.update(func(tx store.Tx) error { return tx.PutAccount(a) })
	}
	find := func(provider, k, want string) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			got, err := tx.AccountByLookup(provider, k)
			if want == "" {
				w.absent(provider+" "+k, err)
			} else if err != nil || got != want {
				w.Errorf("%s %s: %q, %v, want %s", provider, k, got, err, want)
			}
			return nil
		})
	}
	put("a1", "p", "k1", "k2")
	put("a2", "q", "k1")
	find("p", "k1", "a1")
	find("p", "k2", "a1")
	find("q", "k1", "a2")
	find("q", "k2", "")
	put("a1", "p", "k2", "k3")
	find("p", "k1", "")
	find("p", "k2", "a1")
	find("p", "k3", "a1")
	find("q", "k1", "a2")
	put("a3", "p", "k3") // taken over
	put("a1", "p")
	find("p", "k2", "")
	find("p", "k3", "a3")
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a3") })
	find("p", "k3", "")
}

func grantRoundTrip(w *World) {
	g := &store.Grant{
		ID: "g1", Provider: "sandbox", Accounts: []string{"a1", "a2"}, Granted: []string{"read", "send"},
		Bytes: []byte("opaque \x00 bytes"), UpdatedAt: Start,
	}
	w.update(func(tx store.Tx) error { return tx.PutGrant(g) })
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Grant("g1")
		w.same("grant", g, got)
		return err
	})
	w.update(func(tx store.Tx) error { return errors.Join(tx.DeleteGrant("g1"), tx.DeleteGrant("g2")) })
	w.view(func(tx store.Tx) error {
		_, err := tx.Grant("g1")
		w.absent("deleted grant", err)
		return nil
	})
}

func connectFound(w *World) {
	c := &store.Connect{
		Link: "link-1", State: "state-1", Provider: "sandbox", ReturnURL: "https://app.example/done", ExternalID: "x",
		LoginHint: "ada@example.org", ExpectedAddress: "ada@example.org", Pending: []byte("pkce"), ExpiresAt: day(1),
	}
	w.update(func(tx store.Tx) error { return tx.PutConnect(c) })
	both := func() {
		w.Helper()
		w.view(func(tx store.Tx) error {
			byLink, err := tx.ConnectByLink("link-1")
			if err != nil {
				return err
			}
			byState, err := tx.ConnectByState(c.State)
			w.same("by link", c, byLink)
			w.same("by state", c, byState)
			return err
		})
	}
	both()
	c.State, c.UsedAt, c.ExpiresAt = "state-2", Start, day(2)
	w.update(func(tx store.Tx) error { return tx.PutConnect(c) })
	both()
	w.view(func(tx store.Tx) error {
		_, err := tx.ConnectByState("state-1")
		w.absent("former state", err)
		_, err = tx.ConnectByState("link-1")
		w.absent("a link as a state", err)
		_, err = tx.ConnectByLink("link-2")
		w.absent("unknown link", err)
		return nil
	})
}

func connectExpire(w *World) {
	w.update(func(tx store.Tx) error {
		for i := range 6 {
			c := &store.Connect{Link: name("l", i), State: name("s", i), ExpiresAt: Start.Add(time.Duration(i) * time.Minute)}
			if err := tx.PutConnect(c); err != nil {
				return err
			}
		}
		return nil
	})
	var removed []int
	for range 3 {
		w.update(func(tx store.Tx) error {
			n, err := tx.ExpireConnects(Start.Add(4*time.Minute), 3)
			removed = append(removed, n)
			return err
		})
	}
	w.same("removed", []int{3, 1, 0}, removed)
	w.view(func(tx store.Tx) error {
		_, err := tx.ConnectByLink("l0003")
		w.absent("expired", err)
		_, err = tx.ConnectByState("s0003")
		w.absent("expired, by state", err)
		_, err = tx.ConnectByState("s0004")
		return err
	})
}
