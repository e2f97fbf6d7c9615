package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/session"
)

// host is one among others.
type host struct {
	provider.Host
	name string
}

func TestHostIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slot session.Host
		first, second := &host{name: "first"}, &host{name: "second"}
		got := make(chan provider.Host, 2)
		for range 2 {
			go func() {
				h, err := slot.Get(t.Context())
				if err != nil {
					t.Error(err)
				}
				got <- h
			}()
		}
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("a host where there is none")
		}
		slot.Set(first)
		for range 2 {
			if h := <-got; h != first {
				t.Fatalf("got %v", h)
			}
		}
		slot.Set(second)
		slot.Clear(first) // too late
		if h, err := slot.Get(t.Context()); err != nil || h != second {
			t.Fatalf("got %v, %v", h, err)
		}
		slot.Clear(second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if h, err := slot.Get(ctx); !errors.Is(err, session.ErrNoHost) || h != nil {
			t.Fatalf("got %v, %v of a session that ended", h, err)
		}
	})
}

func TestCallsEndWithTheSession(t *testing.T) {
	var calls session.Calls
	one, endOne := calls.Add(t.Context())
	two, endTwo := calls.Add(t.Context())
	defer endTwo()
	endOne()
	if one.Err() == nil || two.Err() != nil {
		t.Fatalf("after the end of one: %v, %v", one.Err(), two.Err())
	}
	calls.CancelAll()
	late, endLate := calls.Add(t.Context())
	defer endLate()
	if two.Err() == nil || late.Err() == nil {
		t.Fatalf("after the session: %v, %v", two.Err(), late.Err())
	}
	calls.Open()
	next, endNext := calls.Add(t.Context())
	defer endNext()
	if next.Err() != nil {
		t.Fatal("a call of the next session is cancelled")
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slot session.Host
		var calls session.Calls
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { session.Run(ctx, &host{name: "first"}, &slot, &calls); close(ended) }()
		if _, err := slot.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		call, done := calls.Add(t.Context())
		defer done()
		end()
		<-ended
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := slot.Get(gone); err == nil || call.Err() == nil {
			t.Errorf("after the session there is a host, or a call: %v", call.Err())
		}
	})
}
