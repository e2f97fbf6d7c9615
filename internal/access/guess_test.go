package access

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestGuessing: it takes longer each time, then nothing is looked at for a
// while, from there and for that user alone.
func TestGuessing(t *testing.T) {
	s := newScene(t)
	s.account("a1", "ann@example.com", nil)
	s.account("a2", "bob@example.com", nil)
	_, secret := s.create("a1")
	_, bobs := s.create("a2")
	p, err := s.login("a1", secret)
	if err != nil {
		t.Fatal(err)
	}
	ended, release := s.access.Revoked(p)
	defer release()
	var before time.Duration
	for i := range userLimit {
		slept := s.slept
		_, err := s.login("ann@example.com", fmt.Sprint("guess", i))
		s.refused(mail.KindUnauthorized, err)
		if wait := s.slept - slept; wait < before || wait == 0 {
			t.Errorf("guess %d waited %s after %s", i, wait, before)
		} else {
			before = wait
		}
	}
	if before != lastDelay {
		t.Errorf("the last guess waited %s", before)
	}
	// Locked: what is right is not looked at either, however it is spelt.
	_, err = s.login("ANN@example.com", secret)
	s.refused(mail.KindThrottled, err)
	if wait := mail.RetryAfter(err); wait <= 0 || wait > firstLock {
		t.Errorf("come back in %s", wait)
	}
	select {
	case <-ended:
		t.Error("who was there was thrown out")
	default:
	}
	if _, err := s.login("bob@example.com", bobs); err != nil {
		t.Errorf("another user of the same address: %v", err)
	}
	if _, err := s.access.Login(t.Context(), Login{User: "ann@example.com", Secret: secret, Need: []Scope{ScopeIMAP}, Remote: there}); err != nil {
		t.Errorf("the same user from elsewhere: %v", err)
	}
	s.at = s.at.Add(firstLock)
	if _, err := s.login("ann@example.com", secret); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

// TestLocksGrowAndEnd: each lasts twice as long, to a limit, and none for ever.
func TestLocksGrowAndEnd(t *testing.T) {
	s := newScene(t)
	for i, want := range []time.Duration{firstLock, 2 * firstLock, 4 * firstLock, 8 * firstLock, lastLock, lastLock} {
		for range userLimit {
			_, err := s.login("x", "wrong")
			s.refused(mail.KindUnauthorized, err)
		}
		_, err := s.login("x", "wrong")
		if s.refused(mail.KindThrottled, err); mail.RetryAfter(err) != want {
			t.Errorf("lock %d lasts %s, want %s", i, mail.RetryAfter(err), want)
		}
		s.at = s.at.Add(want)
	}
	s.at = s.at.Add(forgetAfter + lastLock)
	slept := s.slept
	if _, err := s.login("x", "wrong"); s.slept-slept != firstDelay {
		t.Errorf("%v after %s: nothing was forgotten", err, s.slept-slept)
	}
}

// TestManyUsersFromOneAddress: trying a list of names is guessing, too; of an
// IPv6 network all addresses are one.
func TestManyUsersFromOneAddress(t *testing.T) {
	s := newScene(t)
	from := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)) }
	for i := range remoteLimit {
		_, err := s.access.Login(t.Context(), Login{User: fmt.Sprint("user", i), Secret: "x", Need: []Scope{ScopeIMAP}, Remote: from(i)})
		s.refused(mail.KindUnauthorized, err)
	}
	_, err := s.access.Login(t.Context(), Login{User: "new", Secret: "x", Need: []Scope{ScopeIMAP}, Remote: from(9999)})
	s.refused(mail.KindThrottled, err)
	_, err = s.access.Login(t.Context(), Login{User: "new", Secret: "x", Need: []Scope{ScopeIMAP}, Remote: netip.MustParseAddr("2001:db8:0:1::1")})
	s.refused(mail.KindUnauthorized, err)
	// An address that is mapped into IPv6 is itself.
	for range userLimit {
		_, _ = s.access.Login(t.Context(), Login{User: "v4", Secret: "x", Need: []Scope{ScopeIMAP}, Remote: netip.MustParseAddr("::ffff:192.0.2.7")})
	}
	_, err = s.login("v4", "x")
	s.refused(mail.KindThrottled, err)
}

// TestGuessersAreBounded: whoever comes from everywhere makes us forget, not
// grow.
func TestGuessersAreBounded(t *testing.T) {
	s := newScene(t)
	g := s.access.guesses
	for i := range maxGuessers {
		g.wrong(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "x", false)
	}
	if len(g.m) != maxGuessers || g.seen.Len() != maxGuessers {
		t.Errorf("%d and %d are remembered", len(g.m), g.seen.Len())
	}
	long := make([]byte, 1<<20)
	g.wrong(here, string(long), false)
	for who := range g.m {
		if len(who.user) > 320 {
			t.Errorf("a user name of %d bytes is remembered", len(who.user))
		}
	}
}
