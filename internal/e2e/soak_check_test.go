package e2e

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// checkCounters: that the faults were met is what makes the rest a proof.
func (s *soak) checkCounters() {
	s.t.Helper()
	var got struct {
		Requests []struct {
			Method, Path string
			Status       int
			Count        int64
		}
		Notifications map[string]int64
		MessagesSent  int64 `json:"messages_sent"`
	}
	s.control("GET", "/control/counters", "", &got)
	status := map[int]int64{}
	var all, sends, cutSends int64
	for _, r := range got.Requests {
		status[r.Status] += r.Count
		all += r.Count
		if strings.HasSuffix(r.Path, "/send") {
			sends += r.Count
			if r.Status == 0 {
				cutSends += r.Count
			}
		}
	}
	s.t.Logf("the provider answered %d requests, %d by 503, %d by 429, and cut %d; %d of %d sends were cut; notifications %v; %d messages sent",
		all, status[503], status[429], status[0], cutSends, sends, got.Notifications, got.MessagesSent)
	least := s.plan.least
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"503", status[503], least.unavailable}, {"429", status[429], least.throttled}, {"cut", status[0], least.cut},
		{"dropped notifications", got.Notifications["dropped_by_fault"], least.dropped}, {"doubled notifications", got.Notifications["doubled"], least.doubled},
	} {
		if c.got < c.want {
			s.t.Errorf("the fault %s was met %d times, want at least %d", c.what, c.got, c.want)
		}
	}
	if n := int64(len(s.hist.submissions) + len(s.mail.sent)); got.MessagesSent != n {
		s.t.Errorf("the provider sent %d messages, %d were submitted", got.MessagesSent, n)
	}
}

func (s *soak) checkKills() {
	s.t.Helper()
	if s.plan.kills == 0 {
		return
	}
	s.t.Logf("killed at %v", s.killed)
	total := 0
	for _, p := range s.points(s.cloud(0)) {
		if p.must && s.killed[p.name] < s.plan.hits {
			s.t.Errorf("killed %d times at %q, want at least %d", s.killed[p.name], p.name, s.plan.hits)
		}
	}
	for _, n := range s.killed {
		total += n
	}
	if total != s.plan.kills {
		s.t.Errorf("%d kills, want %d", total, s.plan.kills)
	}
	// A kill between answer and acknowledgement shows: the event comes again.
	again := 0
	for _, e := range s.sink.events {
		again += e.times - 1
	}
	if again < s.killed["acknowledgement"] {
		s.t.Errorf("%d events came again after %d kills before their acknowledgement", again, s.killed["acknowledgement"])
	}
}

// folded is a message as the journal tells it.
type folded struct {
	subject, address    string
	mailboxes, keywords []string
	updates             int
	deleted             bool
}

// checkJournal: the journal, read from its beginning, leads to what the
// provider has; every step changes something and is explained by what was done;
// sequences have no gap.
func (s *soak) checkJournal() {
	s.t.Helper()
	addresses := map[string]string{}
	for _, a := range s.info.Accounts {
		addresses[a.ID] = a.Address
	}
	at, states := map[string]int64{}, map[string]*folded{}
	wrong := func(e *toldEvent, format string, args ...any) {
		s.t.Errorf("event %s, %s %d of %s: %s", e.ID, e.Type, e.Sequence, addresses[e.AccountID], fmt.Sprintf(format, args...))
	}
	providerID := map[string]string{}
	for i := range s.journal.events {
		e := &s.journal.events[i]
		if at[e.AccountID]++; e.Sequence != at[e.AccountID] {
			wrong(e, "want sequence %d", at[e.AccountID])
			at[e.AccountID] = e.Sequence
		}
		m := states[e.MessageID]
		switch e.Type {
		case "MESSAGE_CREATED":
			switch {
			case m != nil:
				wrong(e, "%q was there already", m.subject)
			case e.Snapshot == nil:
				wrong(e, "no snapshot")
			default:
				states[e.MessageID] = &folded{subject: e.Snapshot.Subject, address: addresses[e.AccountID],
					mailboxes: slices.Clone(e.Snapshot.MailboxIDs), keywords: slices.Clone(e.Snapshot.Keywords)}
				providerID[e.MessageID] = e.Snapshot.ProviderID
			}
		case "MESSAGE_UPDATED", "MESSAGE_DELETED":
			if m == nil || m.deleted {
				wrong(e, "there is no such message")
				continue
			}
			if e.Type == "MESSAGE_DELETED" {
				m.deleted = true
				continue
			}
			m.updates++
			changed := false
			for _, c := range []struct {
				set         *[]string
				add, remove []string
			}{{&m.keywords, e.AddedKeywords, e.RemovedKeywords}, {&m.mailboxes, e.AddedMailboxIDs, e.RemovedMailboxIDs}} {
				for _, k := range c.add {
					if slices.Contains(*c.set, k) {
						wrong(e, "%q: %s is added to what has it", m.subject, k)
					}
					*c.set, changed = append(*c.set, k), true
				}
				for _, k := range c.remove {
					if !slices.Contains(*c.set, k) {
						wrong(e, "%q: %s is taken from what has it not", m.subject, k)
					}
					*c.set, changed = slices.DeleteFunc(*c.set, func(x string) bool { return x == k }), true
				}
			}
			if !changed {
				wrong(e, "%q: nothing has changed", m.subject)
			}
			s.explained(e, providerID[e.MessageID], m, wrong)
		case "MAILBOX_CREATED", "ACCOUNT_CONNECTED", "ACCOUNT_SYNCED", "SUBMISSION_SENT", "MAILBOX_UPDATED":
		default:
			wrong(e, "nothing has led to that")
		}
	}
	s.compareFolded(states, providerID)
}

// explained finds what led to an update.
func (s *soak) explained(e *toldEvent, id string, m *folded, wrong func(*toldEvent, string, ...any)) {
	t := s.hist.touched[id]
	if t == nil {
		wrong(e, "%q: nobody has touched it: %+v", m.subject, e)
		return
	}
	if m.updates > t.attempts {
		wrong(e, "%q: update %d, and %d changes were tried", m.subject, m.updates, t.attempts)
	}
	for _, k := range e.AddedKeywords {
		if t.added[k] == 0 {
			wrong(e, "%q: nobody has added %s", m.subject, k)
		}
	}
	for _, k := range e.RemovedKeywords {
		if t.removed[k] == 0 {
			wrong(e, "%q: nobody has removed %s", m.subject, k)
		}
	}
	if len(e.AddedMailboxIDs)+len(e.RemovedMailboxIDs) > 0 && t.moves == 0 {
		wrong(e, "%q: nobody has moved it", m.subject)
	}
}

// compareFolded compares what the journal leads to with the provider, and what
// arrived with what was sent there.
func (s *soak) compareFolded(states map[string]*folded, providerID map[string]string) {
	s.t.Helper()
	arrived := map[string]map[string]int{}
	told := map[string]map[string]placed{}
	for _, address := range soakAddresses {
		arrived[address], told[address] = map[string]int{}, map[string]placed{}
	}
	for id, m := range states {
		if m.address == "" {
			s.t.Errorf("message %s is of no account", id)
			continue
		}
		arrived[m.address][m.subject]++
		if t := s.hist.touched[providerID[id]]; m.deleted && (t == nil || !t.deleted) {
			s.t.Errorf("%q of %s is told as deleted, and nobody has deleted it", m.subject, m.address)
		}
		if m.deleted {
			continue
		}
		slices.Sort(m.keywords)
		slices.Sort(m.mailboxes)
		told[m.address][providerID[id]] = placed{m.mailboxes, slices.Clip(m.keywords)}
	}
	for id, t := range s.hist.touched {
		// What was deleted before it was ever seen need not be told.
		if subject := s.hist.subjects[id]; t.deleted && arrived[t.address][subject] == 0 {
			delete(s.hist.expected[t.address], subject)
		}
	}
	for _, address := range soakAddresses {
		if diff := cmp.Diff(s.hist.expected[address], arrived[address]); diff != "" {
			s.t.Errorf("%s: messages by subject (-sent there +told as created):\n%s", address, diff)
		}
		if diff := cmp.Diff(s.held(address, s.truth(address)), s.held(address, told[address])); diff != "" {
			s.t.Errorf("%s: what the journal leads to (-provider +journal):\n%s", address, diff)
		}
	}
}

// checkWebhooks: everything came, nothing else, in order, each with one body.
func (s *soak) checkWebhooks() {
	s.t.Helper()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, text := range s.sink.bad {
		s.t.Error("webhook: " + text)
	}
	told := map[string]*toldEvent{}
	for i := range s.journal.events {
		told[s.journal.events[i].ID] = &s.journal.events[i]
	}
	for id, got := range s.sink.events {
		want := told[id]
		switch {
		case want == nil:
			s.t.Errorf("webhook %s is of no event: %s", id, got.body)
		case strings.ToUpper(strings.ReplaceAll(got.event.Type, ".", "_")) != want.Type || got.event.Sequence != want.Sequence ||
			got.event.Cursor != want.Cursor || got.event.account() != want.AccountID:
			s.t.Errorf("webhook %s differs from its event %+v: %s", id, want, got.body)
		}
	}
	for account, ids := range s.sink.lanes {
		before := int64(0)
		for i, id := range ids {
			e := s.sink.events[id]
			if e.event.Sequence <= before || e.previous != before {
				s.t.Errorf("lane %q: first delivery %d has sequence %d, previous %d, after %d", account, i, e.event.Sequence, e.previous, before)
			}
			before = e.event.Sequence
		}
	}
}

// checkSubscribers: each has seen the journal, event for event.
func (s *soak) checkSubscribers() {
	s.t.Helper()
	want := make([]string, len(s.journal.events))
	for i := range s.journal.events {
		want[i] = s.journal.events[i].ID
	}
	for _, u := range s.subs {
		u.mu.Lock()
		for _, text := range u.wrong {
			s.t.Errorf("%s: %s", u.name, text)
		}
		if diff := cmp.Diff(want, u.ids); diff != "" {
			s.t.Errorf("%s has seen something else (-journal +seen):\n%s", u.name, diff)
		}
		u.mu.Unlock()
		n := u.via.count()
		s.t.Logf("%s was cut %d times", u.name, n)
		if n < s.plan.cuts {
			s.t.Errorf("%s was cut %d times, want %d", u.name, n, s.plan.cuts)
		}
	}
}

// checkSubmissions: each is in its recipient's mailbox once, by the provider's
// own list, of which the mirror is the image.
func (s *soak) checkSubmissions() {
	s.t.Helper()
	sent := map[string]int{}
	for i := range s.journal.events {
		switch e := &s.journal.events[i]; e.Type {
		case "SUBMISSION_SENT":
			sent[e.SubmissionID]++
		}
	}
	found := map[string]map[string]int{}
	for _, address := range soakAddresses {
		found[address] = s.subjectsOf(address)
	}
	for subject, sub := range s.hist.submissions {
		if n := sent[sub.id]; n != 1 {
			s.t.Errorf("%q, submission %s, was told as sent %d times", subject, sub.id, n)
		}
		if n := found[sub.to][subject]; n != 1 {
			s.t.Errorf("%q is in the mailbox of %s %d times", subject, sub.to, n)
		}
		if n := found[sub.from][subject]; n != 1 {
			s.t.Errorf("%q is in the mailbox of its sender %s %d times", subject, sub.from, n)
		}
	}
}

// subjectsOf counts the messages of an account by subject, all pages.
func (s *soak) subjectsOf(address string) map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for after := any(nil); ; {
		var got struct {
			Account struct {
				Messages struct {
					Edges    []struct{ Node struct{ Subject string } }
					PageInfo struct {
						EndCursor   string
						HasNextPage bool
					}
				}
			}
		}
		s.query(`query($id: ID!, $after: String) { account(id: $id) { messages(first: 500, after: $after) {
			edges { node { subject } } pageInfo { endCursor hasNextPage } } } }`, map[string]any{"id": s.account(address), "after": after}, &got)
		for _, e := range got.Account.Messages.Edges {
			out[e.Node.Subject]++
		}
		if !got.Account.Messages.PageInfo.HasNextPage {
			return out
		}
		after = got.Account.Messages.PageInfo.EndCursor
	}
}
