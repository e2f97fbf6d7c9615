package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// TestFirstSyncIsGoneOnWith kills the gateway in the middle of a first sync that
// every message costs units of a quota: the next one goes on where it was.
func TestFirstSyncIsGoneOnWith(t *testing.T) {
	t.Parallel()
	const n = 800
	s := newScene(t, func(o *sandbox.Options, cfg settings) {
		q := &o.GoogleSettings.Mail.Quota
		q.UserUnits, q.ProjectUnits = -1, -1
		cfg.section("providers", "gmail", "settings")["quota_units"] = "10000000" // no pause, for the test's sake
	}, "gmail")
	s.fill(alanAtGmail, n)
	// What a listing cannot do without: a profile, a page of every five hundred,
	// and each message once.
	const least = 1 + 5*((n+499)/500) + 20*n
	s.control("PUT", "/control/faults", `{"user":"`+alanAtGmail+`","match":"POST /batch","delay_ms":15}`, nil)
	account := s.enter(alanAtGmail)
	s.eventually("a part of it is read", func() bool { return s.counted(alanAtGmail).UnitsSpent > least*2/5 })
	s.halt()
	before := s.counted(alanAtGmail)
	if before.UnitsSpent >= least {
		t.Errorf("killed too late: %d units were spent, and %d suffice", before.UnitsSpent, least)
	}
	s.control("DELETE", "/control/faults", "", nil)
	s.start()
	s.eventually("it is in step", func() bool { return s.state(account) == "READY" })
	after := s.counted(alanAtGmail)
	s.inStep(alanAtGmail)
	if after.UnitsSpent > least*12/10 {
		t.Errorf("%d units were spent, and %d suffice: %d before the kill, then %v", after.UnitsSpent, least, before.UnitsSpent, after.Units)
	}
	if len(after.Refusals) > 0 {
		t.Errorf("requests were refused: %v", after.Refusals)
	}
}

// fill puts messages into a mailbox, a minute apart, without telling.
func (s *scene) fill(address string, n int) {
	s.t.Helper()
	for i := range n {
		_, err := s.world.Google().Deliver(context.Background(), address, cloud.Delivery{
			Raw: []byte(letter(address, fmt.Sprintf("filled %d", i))), Date: time.Now().Add(-time.Duration(i+1) * time.Minute)})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}
