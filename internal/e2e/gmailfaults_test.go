package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox"
)

// polledOften has what no notification tells be found by the poll, which a reload
// of the settings does not change.
func polledOften(_ *sandbox.Options, cfg settings) {
	cfg["sync"] = settings{"poll_watched": "1s", "poll": "1s", "poll_listened": "1s"}
}

// TestGmailFaults has everything happen to one account that a provider with a
// history and notifications of its own kind does to accounts: nothing is lost
// and nothing is told twice.
func TestGmailFaults(t *testing.T) {
	t.Parallel()
	s := newScene(t, polledOften, "gmail")
	account := s.join(alanAtGmail)
	pushed := func() bool { state, _ := s.watchState(account); return state == "PUSH" }
	s.eventually("changes are pushed", pushed)
	watches := func() int {
		t.Helper()
		var got struct{ Subscriptions int }
		s.control("POST", "/control/users/"+alanAtGmail+"/lifecycle", `{"event":"watch_expired"}`, &got)
		return got.Subscriptions
	}
	// once delivers messages, waits until the mirror has them, and checks that
	// each was told once.
	once := func(what string, n int, during func(i int)) {
		t.Helper()
		_, from := s.events(account, "")
		want := map[string]int{}
		for i := range n {
			subject := fmt.Sprintf("%s %d", what, i)
			want[subject] = 1
			s.deliver(alanAtGmail, subject)
			if during != nil {
				during(i)
			}
		}
		s.inStep(alanAtGmail)
		told, _ := s.events(account, from)
		if diff := cmp.Diff(want, createdOf(told)); diff != "" {
			t.Errorf("%s: told\n%s", what, diff)
		}
	}
	fault := func(f string) { s.control("PUT", "/control/faults", f, nil) }

	fault(`{"user":"` + alanAtGmail + `","notifications":{"drop":true}}`)
	once("dropped", 3, nil)
	fault(`{"user":"` + alanAtGmail + `","notifications":{"double":true}}`)
	once("doubled", 5, nil)
	s.control("DELETE", "/control/faults", "", nil)
	if n := s.counted(alanAtGmail).Notifications; n["dropped_by_fault"] == 0 || n["doubled"] == 0 {
		t.Errorf("of the notifications became %v", n)
	}
	once("survivor", 30, func(i int) {
		if i%10 == 5 {
			s.kill(s.plugins("gmail")["gmail"])
		}
	})
	if n := watches(); n != 1 {
		t.Errorf("there were %d watches", n)
	}
	once("unwatched", 2, nil)

	// The owner takes the consent back, and gives it again.
	_, from := s.events(account, "")
	s.control("POST", "/control/users/"+alanAtGmail+"/revoke", "", nil)
	s.deliver(alanAtGmail, "revoked 0")
	s.eventually("the owner is asked to connect again", func() bool { return s.state(account) == "GRANT_EXPIRED" })
	gone := s.subjects(account)["dropped 0"]
	s.deliver(alanAtGmail, "revoked 1")
	s.control("DELETE", "/control/users/"+alanAtGmail+"/messages/"+s.providerID(gone), "", nil)
	if again := s.join(alanAtGmail); again != account {
		t.Errorf("connected again it is %s, was %s", again, account)
	}
	s.inStep(alanAtGmail)
	told, _ := s.events(account, from)
	count := map[string]int{}
	for _, e := range told {
		count[e.Type]++
		if e.Type == "MESSAGE_DELETED" && e.MessageID != gone {
			t.Errorf("%s was told deleted", e.MessageID)
		}
	}
	if diff := cmp.Diff(map[string]int{"revoked 0": 1, "revoked 1": 1}, createdOf(told)); diff != "" {
		t.Errorf("connected again, told\n%s", diff)
	}
	if count["ACCOUNT_GRANT_EXPIRED"] != 1 || count["ACCOUNT_RECOVERED"] != 1 || count["MESSAGE_DELETED"] != 1 {
		t.Errorf("while the consent was gone, and after: %v", count)
	}
	s.eventually("changes are pushed again", pushed)
	if n := watches(); n != 1 {
		t.Errorf("connected again it has %d watches", n)
	}
	s.whileDown(account)
}

// TestAMessageThatIsNeverGiven: what comes behind it is told, and the account
// says what is missing.
func TestAMessageThatIsNeverGiven(t *testing.T) {
	t.Parallel()
	s := newScene(t, polledOften, "gmail")
	account := s.join(alanAtGmail)
	s.inStep(alanAtGmail)
	pause := func(yes bool) {
		s.query(`mutation($id: ID!, $p: Boolean!) { updateAccount(input: {id: $id, paused: $p}) { id } }`, map[string]any{"id": account, "p": yes}, nil)
	}
	pause(true)
	var bad struct{ ID string }
	s.control("POST", "/control/users/"+alanAtGmail+"/messages", letter(alanAtGmail, "never given"), &bad)
	s.deliver(alanAtGmail, "behind it")
	s.control("PUT", "/control/faults", `{"match":"/messages/`+bad.ID+`","status":409}`, nil)
	pause(false)
	s.eventually("what is behind it is told", func() bool { return s.subjects(account)["behind it"] != "" })
	s.eventually("the account says so", func() bool {
		var got struct {
			Account struct{ State, StateReason string }
		}
		s.query(`query($id: ID!) { account(id: $id) { state stateReason } }`, map[string]any{"id": account}, &got)
		return got.Account.State == "READY" && strings.Contains(got.Account.StateReason, "cannot be read, and is tried again")
	})
	if _, there := s.subjects(account)["never given"]; there || s.metric("postern_messages_unreadable") != 1 {
		t.Errorf("it is there: %v; %v are counted", there, s.metric("postern_messages_unreadable"))
	}
}

// providerID is what the provider calls a message.
func (d *demo) providerID(id string) string {
	d.t.Helper()
	var got struct{ Message struct{ ProviderID string } }
	d.query(`query($id: ID!) { message(id: $id) { providerId } }`, map[string]any{"id": id}, &got)
	return got.Message.ProviderID
}

// whileDown changes the mailbox while there is no gateway, and has the provider
// forget its history: exactly what differs is told.
func (s *scene) whileDown(account string) {
	t := s.t
	t.Helper()
	_, from := s.events(account, "")
	ids := s.subjects(account)
	edit := map[string]string{"survivor 0": `{"add_keywords":["$flagged"]}`, "survivor 1": `{"mailbox":"archive"}`, "survivor 2": ""}
	s.halt()
	type change struct{ Type, Message string }
	var want []change
	for subject, body := range edit {
		id := ids[subject]
		if id == "" {
			t.Fatalf("%s is not there", subject)
		}
		for _, m := range s.listed(alanAtGmail) {
			if m.Subject != subject {
				continue
			}
			if body == "" {
				s.control("DELETE", "/control/users/"+alanAtGmail+"/messages/"+m.ID, "", nil)
				want = append(want, change{"MESSAGE_DELETED", id})
			} else {
				s.control("PATCH", "/control/users/"+alanAtGmail+"/messages/"+m.ID, body, nil)
				want = append(want, change{"MESSAGE_UPDATED", id})
			}
		}
	}
	s.deliver(alanAtGmail, "while down")
	s.control("POST", "/control/users/"+alanAtGmail+"/forget-cursors", "", nil)
	s.start()
	s.inStep(alanAtGmail)
	want = append(want, change{"MESSAGE_CREATED", s.subjects(account)["while down"]})
	told, _ := s.events(account, from)
	var got []change
	for _, e := range told {
		if e.MessageID != "" {
			got = append(got, change{e.Type, e.MessageID})
		}
	}
	order := func(a, b change) int {
		return slices.Compare([]string{a.Type, a.Message}, []string{b.Type, b.Message})
	}
	slices.SortFunc(got, order)
	slices.SortFunc(want, order)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what came to be while there was no gateway is told wrongly:\n%s", diff)
	}
}

// listed is what the sandbox says is in a mailbox.
func (d *demo) listed(address string) (all []struct{ ID, Subject string }) {
	d.t.Helper()
	d.control("GET", "/control/users/"+address+"/messages", "", &all)
	return all
}

// TestGmailRefusesOwners: an owner who unticks a box at the sign-in page, and one
// whose account has no mail, are told so and have no account; with all boxes
// ticked the same owner comes in.
func TestGmailRefusesOwners(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, "gmail")
	nobody, err := json.Marshal(map[string]any{"cloud": "google", "address": "nobody@gmail.example", "gmail": false})
	if err != nil {
		t.Fatal(err)
	}
	s.control("POST", "/control/users", string(nobody), nil)
	for address, tc := range map[string]struct {
		form url.Values
		code string
	}{
		alanAtGmail:            {url.Values{"granular": {"1"}}, "missing_scopes"},
		"nobody@gmail.example": {nil, "mail_service_not_enabled"},
	} {
		if back := s.signIn(address, tc.form); back.Get("status") != "error" || back.Get("code") != tc.code || back.Get("account") != "" {
			t.Errorf("%s came back with %v, want %s", address, back, tc.code)
		}
	}
	var got struct {
		Accounts struct {
			Edges []struct{ Node struct{ Address string } }
		}
	}
	s.query(`{ accounts(first: 10) { edges { node { address } } } }`, nil, &got)
	if len(got.Accounts.Edges) != 0 {
		t.Errorf("accounts of refused owners: %v", got.Accounts.Edges)
	}
	s.deliver(alanAtGmail, "for who ticks all")
	s.join(alanAtGmail)
	s.inStep(alanAtGmail)
}
