package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// soakFaults are what the providers do to everybody, from when the accounts are
// connected until all is compared.
const soakFaults = `[
	{"match": "POST /me/messages/{id}/send", "rate": 0.333, "cut_after": true},
	{"match": "POST /drafts/send", "rate": 0.333, "cut_after": true},
	{"rate": 0.05, "status": 503},
	{"rate": 0.053, "status": 429, "retry_after": 0.2},
	{"cloud": "google", "match": "/gmail/v1/", "rate": 0.03, "status": 403, "retry_after": 0.2},
	{"rate": 0.022, "cut_after": true},
	{"rate": 0.2, "notifications": {"drop": true}},
	{"rate": 0.25, "notifications": {"double": true}},
	{"delta_lag_ms": 300}
]`

func (s *soak) run() {
	s.t.Helper()
	verify, err := standardwebhooks.NewWebhook(s.secret)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sink.mu.Lock() // what was told of connecting may still be arriving
	s.sink.verify = verify
	s.sink.mu.Unlock()
	s.control("DELETE", "/control/counters", "", nil)
	s.control("PUT", "/control/faults", soakFaults, nil)

	ctx, cancel := context.WithCancelCause(s.t.Context())
	defer cancel(nil)
	var group sync.WaitGroup
	work := func(what string, f func(context.Context) error) {
		group.Go(func() {
			if err := f(ctx); err != nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	steps := int64(len(s.load.ops))
	switch {
	case s.plan.kills > 0:
		s.load.gate = newGate(2 * steps / int64(s.plan.kills+1))
		work("kills", s.killAll)
	case s.plan.stops > 0:
		s.load.gate = newGate(2 * steps / int64(s.plan.stops+1))
		work("stops", s.stopAll)
	}
	mailing, enough := context.WithCancel(ctx)
	defer enough()
	var programs sync.WaitGroup
	programs.Go(func() { s.useMail(mailing) })
	work("load", s.load.run)
	group.Wait()
	enough()
	programs.Wait()
	if err := context.Cause(ctx); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("the load is done after %v", time.Since(s.began).Round(time.Second))

	s.until("the mirror, the journal, the webhooks and the subscribers agree with the provider", s.settled)
	s.t.Logf("all agree after %v: %d events, %d webhooks", time.Since(s.began).Round(time.Second), len(s.journal.events), s.sink.total)
	s.checkCounters()
	s.checkKills()
	s.checkJournal()
	s.checkWebhooks()
	s.checkSubscribers()
	s.checkSubmissions()
	s.checkMail()
}

// until waits until cond says yes. It gives up when nothing has moved, and what
// cond says is missing has stayed the same, for long.
func (s *soak) until(what string, cond func() (missing string)) {
	s.t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	last, since := "", time.Now()
	for {
		missing := cond()
		if missing == "" {
			return
		}
		if missing != last {
			last, since = missing, time.Now()
		} else if time.Since(since) > stall {
			s.t.Fatalf("not so, and nothing moves: %s\n%s", what, missing)
		}
		<-tick.C
	}
}

// settled gives what is still missing.
func (s *soak) settled() string {
	s.journal.read(s)
	var missing []string
	add := func(format string, args ...any) { missing = append(missing, fmt.Sprintf(format, args...)) }
	s.hist.mu.Lock()
	for subject, sub := range s.hist.submissions {
		if !s.journal.ended[sub.id] {
			add("%q, submission %s of %s, has not ended", subject, sub.id, sub.from)
		}
	}
	s.hist.mu.Unlock()
	s.mail.mu.Lock()
	if want := len(s.hist.submissions) + len(s.mail.sent); len(s.journal.ended) < want {
		add("%d submissions have ended, %d were accepted", len(s.journal.ended), want)
	}
	s.mail.mu.Unlock()
	if len(missing) > 0 { // before that there is no use in comparing
		return fmt.Sprintf("%d events\n%s", len(s.journal.events), strings.Join(missing, "\n"))
	}
	for _, address := range soakAddresses {
		if diff := cmp.Diff(s.held(address, s.truth(address)), s.held(address, s.mirror(address))); diff != "" {
			add("%s (-provider +mirror):\n%s", address, diff)
		}
	}
	s.journal.read(s)
	s.sink.mu.Lock()
	for i := range s.journal.events {
		if e := &s.journal.events[i]; s.sink.events[e.ID] == nil {
			add("event %s (%s) has not reached the receiver", e.ID, e.Type)
		}
	}
	s.sink.mu.Unlock()
	for _, u := range s.subs {
		if n := u.seen(); n < len(s.journal.events) {
			add("%s has seen %d of %d events %v", u.name, n, len(s.journal.events), u.complaints())
		}
	}
	return strings.Join(missing, "\n")
}

// journal is what events(after:) tells, read on from where it was read to.
type journal struct {
	after  any
	events []toldEvent
	ended  map[string]bool // submissions
}

func (j *journal) read(s *soak) {
	s.t.Helper()
	if j.ended == nil {
		j.ended = map[string]bool{}
	}
	for {
		var got struct{ Events eventList }
		s.query(`query($after: String) { events(after: $after, first: 500) {
			edges { node { `+toldEventFields+` } } pageInfo { endCursor hasNextPage } } }`, map[string]any{"after": j.after}, &got)
		for _, e := range got.Events.Edges {
			j.events = append(j.events, e.Node)
			if strings.HasPrefix(e.Node.Type, "SUBMISSION_") {
				j.ended[e.Node.SubmissionID] = true
			}
		}
		j.after = got.Events.PageInfo.EndCursor
		if !got.Events.PageInfo.HasNextPage {
			return
		}
	}
}
