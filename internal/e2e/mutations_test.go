package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// changes carries out mutations and looks at their effect from outside: in the
// sandbox's control API, or at a receiver of webhooks.
type changes struct {
	*demo
	ada, grace string
}

// held is a message as the control API tells it.
type held struct {
	ID                  string
	Mailboxes, Keywords []string
	SHA256              string
}

// holds lists what a sandbox user's mailbox truly holds, by id.
func (d *demo) holds(address string) map[string]held {
	d.t.Helper()
	var list []held
	d.control("GET", "/control/users/"+address+"/messages", "", &list)
	out := map[string]held{}
	for _, m := range list {
		out[m.ID] = m
	}
	return out
}

// counted sums the sandbox's requests of a user.
func (d *demo) counted(user, method, path string) (n int64) {
	d.t.Helper()
	var report struct {
		Requests []struct {
			Method, Path string
			Count        int64
		}
	}
	d.control("GET", "/control/counters?user="+user, "", &report)
	for _, r := range report.Requests {
		if r.Method == method && strings.EqualFold(r.Path, path) {
			n += r.Count
		}
	}
	return n
}

// told is a message as GraphQL gives it.
type told struct {
	ID, ProviderID, Raw, Subject string
	Mailboxes                    []struct{ ID, Name string }
	Keywords                     []string
}

const toldFields = " id providerId raw subject keywords mailboxes { id name } "

// arrive delivers a message to ada and gives it once the mirror has it.
func (c *changes) arrive(subject string) (m told) {
	c.t.Helper()
	c.deliver(ada, subject)
	c.eventually(subject+" is there", func() bool {
		id := c.subjects(c.ada)[subject]
		if id == "" {
			return false
		}
		m = c.message(id)
		return true
	})
	return m
}

func (c *changes) message(id string) told {
	c.t.Helper()
	var got struct{ Message told }
	c.query(`query($id: ID!) { message(id: $id) {`+toldFields+`} }`, map[string]any{"id": id}, &got)
	return got.Message
}

// mailbox gives ada's mailbox of a role.
func (c *changes) mailbox(role string) string {
	c.t.Helper()
	var got struct {
		Account struct{ Mailboxes []struct{ ID, Role string } }
	}
	c.query(`query($id: ID!) { account(id: $id) { mailboxes { id role } } }`, map[string]any{"id": c.ada}, &got)
	for _, m := range got.Account.Mailboxes {
		if m.Role == role {
			return m.ID
		}
	}
	c.t.Fatalf("there is no mailbox of role %s", role)
	return ""
}

// in says in which of our mailboxes the sandbox has one of ada's messages.
func (c *changes) in(providerID string) []string {
	c.t.Helper()
	return c.truth(ada)[providerID].Mailboxes
}

// results runs a mutation on messages. Each must have worked.
func (c *changes) results(mutation string, vars map[string]any) []told {
	c.t.Helper()
	var got map[string]struct {
		Results []struct {
			Message *told
			Error   *struct{ Code, Message string }
		}
	}
	c.query(mutation, vars, &got)
	var out []told
	for _, payload := range got {
		for _, r := range payload.Results {
			if r.Error != nil {
				c.t.Fatalf("%s: %s: %s", mutation, r.Error.Code, r.Error.Message)
			}
			var m told
			if r.Message != nil {
				m = *r.Message
			}
			out = append(out, m)
		}
	}
	return out
}

// get reads a URL that carries its own permission.
func (c *changes) get(to string) []byte {
	c.t.Helper()
	resp, err := http.Get(to)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s %v", to, resp.Status, err)
	}
	return b
}

// submit submits a message of ada's.
func (c *changes) submit(in map[string]any) (id, state string) {
	c.t.Helper()
	in["account"] = c.ada
	var got struct{ SubmitMessage struct{ ID, State string } }
	c.query(`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id state } }`, map[string]any{"in": in}, &got)
	return got.SubmitMessage.ID, got.SubmitMessage.State
}

// hasMail reports whether a sandbox user was sent a message of a subject: it
// is read from the mirror, and its place from the sandbox.
func (c *changes) hasMail(address, subject string) bool {
	c.t.Helper()
	id, ok := c.subjects(c.account(address))[subject]
	if !ok {
		return false
	}
	_, ok = c.holds(address)[c.message(id).ProviderID]
	return ok
}

// TestEveryMutation carries out every mutation of the schema and sees its
// effect outside of the gateway. A mutation that is not named here fails it.
func TestEveryMutation(t *testing.T) {
	d := startDemo(t)
	c := &changes{demo: d, ada: d.account(ada), grace: d.account(grace)}
	cases := []struct {
		name string
		run  func(*changes, *testing.T)
	}{
		{"updateMessages", (*changes).updateMessages},
		{"moveMessages", (*changes).moveMessages},
		{"copyMessages", (*changes).copyMessages},
		{"deleteMessages", (*changes).deleteMessages},
		{"createMailbox", (*changes).createMailbox},
		{"renameMailbox", (*changes).renameMailbox},
		{"deleteMailbox", (*changes).deleteMailbox},
		{"saveDraft", (*changes).saveDraft},
		{"deleteDraft", (*changes).deleteDraft},
		{"submitMessage", (*changes).submitMessage},
		{"cancelSubmission", (*changes).cancelSubmission},
		{"createEndpoint", (*changes).createEndpoint},
		{"updateEndpoint", (*changes).updateEndpoint},
		{"rotateEndpointSecret", (*changes).rotateEndpointSecret},
		{"sendTestEvent", (*changes).sendTestEvent},
		{"redeliver", (*changes).redeliver},
		{"deleteEndpoint", (*changes).deleteEndpoint},
		{"beginConnect", (*changes).beginConnect},
		{"syncAccount", (*changes).syncAccount},
		{"updateAccount", (*changes).updateAccount},
		{"disconnectAccount", (*changes).disconnectAccount},
	}
	s := d.introspect()
	var known []string
	for _, f := range s.types[s.mutation].Fields {
		known = append(known, f.Name)
	}
	for _, m := range cases {
		t.Run(m.name, func(t *testing.T) {
			if !slices.Contains(known, m.name) {
				t.Errorf("the schema has no mutation %s", m.name)
			}
			outer := d.t
			d.t = t
			defer func() { d.t = outer }()
			m.run(c, t)
		})
		known = slices.DeleteFunc(known, func(name string) bool { return name == m.name })
	}
	for _, name := range known {
		t.Errorf("mutation %s is not carried out here", name)
	}
}

func (c *changes) updateMessages(t *testing.T) {
	m := c.arrive("to be changed")
	c.results(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["$seen", "$flagged", "Blue"]) { results { error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}})
	if got := c.truth(ada)[m.ProviderID].Keywords; !slices.Equal(got, []string{"$flagged", "$seen", "blue"}) {
		t.Errorf("the sandbox has keywords %q", got)
	}
	c.results(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["red"], removeKeywords: ["$flagged", "blue"]) { results { error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}})
	if got := c.truth(ada)[m.ProviderID].Keywords; !slices.Equal(got, []string{"$seen", "red"}) {
		t.Errorf("the sandbox has keywords %q", got)
	}
	// A message here is in one mailbox: adding one and removing the other moves.
	archive := c.mailbox("ARCHIVE")
	c.results(`mutation($ids: [ID!]!, $to: [ID!], $from: [ID!]) { updateMessages(ids: $ids, addToMailboxes: $to, removeFromMailboxes: $from) { results { error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}, "to": []string{archive}, "from": []string{c.mailbox("INBOX")}})
	if got := c.in(m.ProviderID); !slices.Equal(got, []string{archive}) {
		t.Errorf("the sandbox has it in %q, want %s", got, archive)
	}
}

func (c *changes) moveMessages(t *testing.T) {
	one, two, to := c.arrive("to be moved"), c.arrive("to be moved too"), c.mailbox("ARCHIVE")
	got := c.results(`mutation($ids: [ID!]!, $to: ID!) { moveMessages(ids: $ids, to: $to) { results { message {`+toldFields+`} error { code message } } } }`,
		map[string]any{"ids": []string{one.ID, two.ID}, "to": to})
	for i, m := range []told{one, two} {
		if in := c.in(m.ProviderID); !slices.Equal(in, []string{to}) {
			t.Errorf("the sandbox has %q in %q", m.Subject, in)
		}
		if got[i].ID != m.ID || len(got[i].Mailboxes) != 1 || got[i].Mailboxes[0].ID != to {
			t.Errorf("the answer is %+v", got[i])
		}
	}
}

func (c *changes) copyMessages(t *testing.T) {
	m, to := c.arrive("to be copied"), c.mailbox("ARCHIVE")
	got := c.results(`mutation($ids: [ID!]!, $to: ID!) { copyMessages(ids: $ids, to: $to) { results { message {`+toldFields+`} error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}, "to": to})
	if copied := got[0]; copied.ID == m.ID || copied.Subject != m.Subject || !slices.Equal(c.in(copied.ProviderID), []string{to}) {
		t.Errorf("the copy is %+v, in the sandbox in %q", copied, c.in(copied.ProviderID))
	}
	if in := c.in(m.ProviderID); !slices.Equal(in, []string{c.mailbox("INBOX")}) {
		t.Errorf("the original is in %q", in)
	}
}

func (c *changes) deleteMessages(t *testing.T) {
	m, trash := c.arrive("to be deleted"), c.mailbox("TRASH")
	c.results(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids) { results { message { id } error { code message } } } }`, map[string]any{"ids": []string{m.ID}})
	if in := c.in(m.ProviderID); !slices.Equal(in, []string{trash}) {
		t.Errorf("the sandbox has it in %q, want the trash", in)
	}
	c.results(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids, permanently: true) { results { error { code message } } } }`, map[string]any{"ids": []string{m.ID}})
	if _, there := c.holds(ada)[m.ProviderID]; there {
		t.Error("the sandbox still has it")
	}
	var got struct{ Message *told }
	if c.query(`query($id: ID!) { message(id: $id) { id } }`, map[string]any{"id": m.ID}, &got); got.Message != nil {
		t.Error("GraphQL still has it")
	}
}

// putAt has the sandbox deliver a message by a mailbox's path, and says in
// which of our mailboxes it then is.
func (c *changes) putAt(path string) []string {
	c.t.Helper()
	return c.in(c.put(path))
}

func (c *changes) put(path string) (providerID string) {
	c.t.Helper()
	var made struct{ ID string }
	c.control("POST", "/control/users/"+ada+"/messages?mailbox="+strings.NewReplacer("/", "%2F", " ", "%20").Replace(path), letter(ada, "put at "+path), &made)
	return made.ID
}

func (c *changes) create(name, parent string) (id string) {
	c.t.Helper()
	in := map[string]any{"account": c.ada, "name": name}
	if parent != "" {
		in["parent"] = parent
	}
	var got struct{ CreateMailbox struct{ ID string } }
	c.query(`mutation($in: CreateMailboxInput!) { createMailbox(input: $in) { id } }`, map[string]any{"in": in}, &got)
	return got.CreateMailbox.ID
}

func (c *changes) createMailbox(t *testing.T) {
	top := c.create("Created", "")
	below := c.create("Below", top)
	for path, want := range map[string]string{"Created": top, "Created/Below": below} {
		if in := c.putAt(path); !slices.Equal(in, []string{want}) {
			t.Errorf("%s is %q at the sandbox, want %s", path, in, want)
		}
	}
}

func (c *changes) renameMailbox(t *testing.T) {
	a, b := c.create("Old name", ""), c.create("New parent", "")
	var got struct {
		RenameMailbox struct{ ID, Path string }
	}
	rename := `mutation($in: RenameMailboxInput!) { renameMailbox(input: $in) { id path } }`
	c.query(rename, map[string]any{"in": map[string]any{"id": a, "name": "New name"}}, &got)
	if in := c.putAt("New name"); !slices.Equal(in, []string{a}) || got.RenameMailbox.Path != "New name" {
		t.Errorf("renamed: %+v, at the sandbox %q", got, in)
	}
	c.query(rename, map[string]any{"in": map[string]any{"id": a, "parent": b}}, &got)
	if in := c.putAt("New parent/New name"); !slices.Equal(in, []string{a}) || got.RenameMailbox.Path != "New parent/New name" {
		t.Errorf("moved: %+v, at the sandbox %q", got, in)
	}
	c.query(rename, map[string]any{"in": map[string]any{"id": a, "parent": nil, "name": "At the top"}}, &got)
	if in := c.putAt("At the top"); !slices.Equal(in, []string{a}) || got.RenameMailbox.Path != "At the top" {
		t.Errorf("back at the top: %+v, at the sandbox %q", got, in)
	}
}

func (c *changes) deleteMailbox(t *testing.T) {
	id := c.create("Short lived", "")
	message := c.put("Short lived")
	if in := c.in(message); !slices.Equal(in, []string{id}) {
		t.Fatalf("the sandbox has it as %q", in)
	}
	c.query(`mutation($id: ID!) { deleteMailbox(id: $id) }`, map[string]any{"id": id}, nil)
	// The provider keeps a deleted folder, with what is in it, in the trash. Its
	// old place is free.
	if again := c.putAt("Short lived"); slices.Equal(again, []string{id}) {
		t.Error("the sandbox still has the mailbox in its place")
	}
	c.eventually("the mirror knows the new place of what was in it", func() bool {
		truth, mirror := c.truth(ada)[message], c.mirror(ada)[message]
		c.lastDiff = fmt.Sprintf("at the sandbox %+v, in the mirror %+v", truth, mirror)
		return slices.Equal(truth.Mailboxes, mirror.Mailboxes)
	})
}

func (c *changes) saveDraft(t *testing.T) {
	save := func(in map[string]any) told {
		in["account"] = c.ada
		var got struct{ SaveDraft told }
		c.query(`mutation($in: SaveDraftInput!) { saveDraft(input: $in) {`+toldFields+`} }`, map[string]any{"in": in}, &got)
		return got.SaveDraft
	}
	check := func(m told, subject string) {
		t.Helper()
		at := c.truth(ada)[m.ProviderID]
		if !slices.Equal(at.Mailboxes, []string{c.mailbox("DRAFTS")}) || !slices.Contains(at.Keywords, "$draft") || m.Subject != subject {
			t.Errorf("the draft is %+v, at the sandbox %+v", m, at)
		}
	}
	first := save(map[string]any{"to": []string{grace}, "bcc": []string{"eve@fabrikam.example"}, "subject": "a first draft", "text": "I think",
		"attachments": []map[string]any{{"name": "a.txt", "content": "YQ=="}}})
	check(first, "a first draft")
	raw := c.get(first.Raw)
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != c.holds(ada)[first.ProviderID].SHA256 {
		t.Error("the draft's bytes are not what the sandbox has")
	}
	if text := strings.ToLower(string(raw)); !strings.Contains(text, "bcc: <eve@fabrikam.example>") && !strings.Contains(text, "bcc: eve@fabrikam.example") || !strings.Contains(text, "a.txt") {
		t.Errorf("the draft lacks something:\n%s", raw)
	}
	second := save(map[string]any{"replaces": first.ID, "subject": "a second draft", "html": "<p>I know</p>"})
	check(second, "a second draft")
	if _, there := c.holds(ada)[first.ProviderID]; there {
		t.Error("the first draft is still there")
	}
	third := save(map[string]any{"raw": "U3ViamVjdDogcmF3IGRyYWZ0DQpUbzogZ3JhY2VAY29udG9zby5leGFtcGxlDQoNCmhpDQo="})
	check(third, "raw draft")
	answered := c.arrive("a question")
	answer := save(map[string]any{"reply": answered.ID, "text": "an answer"})
	check(answer, "Re: a question")
	if raw := string(c.get(answer.Raw)); !strings.Contains(raw, "a.question@fabrikam.example") {
		t.Errorf("the answer does not name what it answers:\n%s", raw)
	}
}

func (c *changes) deleteDraft(t *testing.T) {
	var got struct{ SaveDraft told }
	c.query(`mutation($in: SaveDraftInput!) { saveDraft(input: $in) {`+toldFields+`} }`,
		map[string]any{"in": map[string]any{"account": c.ada, "subject": "never mind"}}, &got)
	if _, there := c.holds(ada)[got.SaveDraft.ProviderID]; !there {
		t.Fatal("the sandbox has no such draft")
	}
	c.query(`mutation($id: ID!) { deleteDraft(id: $id) }`, map[string]any{"id": got.SaveDraft.ID}, nil)
	if _, there := c.holds(ada)[got.SaveDraft.ProviderID]; there {
		t.Error("the sandbox still has the draft")
	}
}

func (c *changes) submitMessage(t *testing.T) {
	sent := func() (n int64) {
		var counters struct {
			N int64 `json:"messages_sent"`
		}
		c.control("GET", "/control/counters?user="+ada, "", &counters)
		return counters.N
	}
	before := sent()
	in := map[string]any{"to": []string{grace}, "subject": "composed", "text": "Hello", "html": "<p>Hello</p>", "idempotencyKey": "k1"}
	id, _ := c.submit(in)
	c.eventually("grace has it", func() bool { return c.hasMail(grace, "composed") })
	if again, _ := c.submit(in); again != id {
		t.Errorf("the same key made another submission %s, not %s", again, id)
	}
	c.eventually("it is told sent, with its copy", func() bool {
		var got struct {
			Submission struct {
				State   string
				Message *told
			}
		}
		c.query(`query($id: ID!) { submission(id: $id) { state message {`+toldFields+`} } }`, map[string]any{"id": id}, &got)
		return got.Submission.State == "SENT" && got.Submission.Message != nil &&
			slices.Equal(c.in(got.Submission.Message.ProviderID), []string{c.mailbox("SENT")})
	})
	// A whole message: the recipients given beside it stand in place of its own.
	c.submit(map[string]any{"to": []string{grace},
		"raw": "VG86IG5vYm9keUBmYWJyaWthbS5leGFtcGxlDQpTdWJqZWN0OiBhcyByYXcgYnl0ZXMNCg0KaGkNCg=="})
	c.eventually("grace has the raw one", func() bool { return c.hasMail(grace, "as raw bytes") })
	// Answers and forwards have a subject of their own accord, and answers
	// somebody to go to.
	question := c.arrive("shall we")
	c.submit(map[string]any{"reply": question.ID, "to": []string{grace}, "text": "Yes"})
	c.submit(map[string]any{"forward": question.ID, "to": []string{grace}, "text": "See"})
	for _, subject := range []string{"Re: shall we", "Fwd: shall we"} {
		c.eventually("grace has "+subject, func() bool { return c.hasMail(grace, subject) })
	}
	if n := sent() - before; n != 4 {
		t.Errorf("%d messages were sent, want 4", n)
	}
}

func (c *changes) cancelSubmission(t *testing.T) {
	at := time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	cancelled, state := c.submit(map[string]any{"to": []string{grace}, "subject": "cancelled", "text": "no", "sendAt": at})
	if state != "SCHEDULED" {
		t.Fatalf("the submission is %s", state)
	}
	c.submit(map[string]any{"to": []string{grace}, "subject": "not cancelled", "text": "yes", "sendAt": at})
	var got struct{ CancelSubmission struct{ State string } }
	c.query(`mutation($id: ID!) { cancelSubmission(id: $id) { state } }`, map[string]any{"id": cancelled}, &got)
	if got.CancelSubmission.State != "CANCELLED" {
		t.Errorf("the submission is %s", got.CancelSubmission.State)
	}
	c.eventually("the other one is sent", func() bool { return c.hasMail(grace, "not cancelled") })
	if c.hasMail(grace, "cancelled") {
		t.Error("the cancelled one was sent")
	}
}

// message says that a webhook tells of a new message of a subject.
func messageHook(subject string) func(*hook) bool {
	return func(h *hook) bool { return h.Body.Type == "message.created" && h.Body.Data.Envelope.Subject == subject }
}

func isPing(h *hook) bool { return h.Body.Type == "ping" }

func (c *changes) createEndpoint(t *testing.T) {
	r := c.receive(nil)
	thinID, secret := c.endpoint(map[string]any{"url": r.URL + "/thin", "events": []string{"MESSAGE_CREATED"}, "accounts": []string{c.ada}})
	fullID, fullSecret := c.endpoint(map[string]any{"url": r.URL + "/full", "payload": "FULL", "ordered": false})
	c.deliver(grace, "not for the thin one")
	c.deliver(ada, "for both")
	thin := r.wait("thin", 1, func(h *hook) bool { return h.Path == "/thin" && messageHook("for both")(h) })
	full := r.wait("full", 1, func(h *hook) bool { return h.Path == "/full" && messageHook("for both")(h) })
	r.wait("full, other account", 1, func(h *hook) bool { return h.Path == "/full" && messageHook("not for the thin one")(h) })
	if !thin.verified(t, secret) || !full.verified(t, fullSecret) || thin.verified(t, fullSecret) {
		t.Error("signatures do not verify with the secrets, or with any")
	}
	if thin.Body.ID == "" || thin.Body.ID != full.Body.ID || thin.Body.Account.Address != ada {
		t.Errorf("thin and full tell %+v and %+v", thin.Body, full.Body)
	}
	if n := r.count(func(h *hook) bool { return h.Path == "/thin" && h.Body.Account.Address != ada }); n != 0 {
		t.Errorf("%d webhooks told of an account that was not asked for", n)
	}
	for _, id := range []string{thinID, fullID} { // the full one would have bytes brought ahead
		c.query(`mutation($id: ID!) { deleteEndpoint(id: $id) }`, map[string]any{"id": id}, nil)
	}
}

func (c *changes) updateEndpoint(t *testing.T) {
	r := c.receive(nil)
	id, _ := c.endpoint(map[string]any{"url": r.URL + "/before"})
	update := func(in map[string]any) (state string) {
		t.Helper()
		in["id"] = id
		var got struct{ UpdateEndpoint struct{ State string } }
		c.query(`mutation($in: UpdateEndpointInput!) { updateEndpoint(input: $in) { state } }`, map[string]any{"in": in}, &got)
		return got.UpdateEndpoint.State
	}
	update(map[string]any{"url": r.URL + "/after"})
	c.deliver(ada, "after the change")
	if h := r.wait("after the change", 1, messageHook("after the change")); h.Path != "/after" {
		t.Errorf("it came to %s", h.Path)
	}
	if state := update(map[string]any{"enabled": false}); state != "DISABLED" {
		t.Errorf("the endpoint is %s", state)
	}
	c.arrive("while it is disabled")
	if state := update(map[string]any{"enabled": true}); state != "ACTIVE" {
		t.Errorf("the endpoint is %s", state)
	}
	r.wait("what it was owed", 1, messageHook("while it is disabled"))
	update(map[string]any{"events": []string{"MESSAGE_UPDATED"}})
	m := c.arrive("not asked for any more")
	c.results(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["$flagged"]) { results { error { code } } } }`, map[string]any{"ids": []string{m.ID}})
	r.wait("the update", 1, func(h *hook) bool { return h.Body.Type == "message.updated" && h.Body.Data.Message == m.ID })
	if r.count(messageHook("not asked for any more")) != 0 {
		t.Error("it got an event of a type that it does not want any more")
	}
}

func (c *changes) rotateEndpointSecret(t *testing.T) {
	r := c.receive(nil)
	id, before := c.endpoint(map[string]any{"url": r.URL})
	var got struct{ RotateEndpointSecret struct{ Secret string } }
	c.query(`mutation($id: ID!) { rotateEndpointSecret(id: $id) { secret } }`, map[string]any{"id": id}, &got)
	after := got.RotateEndpointSecret.Secret
	c.ping(id)
	if h := r.wait("ping", 1, isPing); after == before || !h.verified(t, before) || !h.verified(t, after) {
		t.Error("the request is not signed with both secrets")
	}
}

func (c *changes) ping(id string) (delivery string) {
	c.t.Helper()
	var got struct{ SendTestEvent struct{ ID string } }
	c.query(`mutation($id: ID!) { sendTestEvent(id: $id) { id } }`, map[string]any{"id": id}, &got)
	return got.SendTestEvent.ID
}

func (c *changes) sendTestEvent(t *testing.T) {
	r := c.receive(nil)
	id, secret := c.endpoint(map[string]any{"url": r.URL})
	c.ping(id)
	if h := r.wait("ping", 1, isPing); !h.verified(t, secret) || h.Body.Data.Endpoint != id {
		t.Errorf("the ping is %+v", h.Body)
	}
}

func (c *changes) redeliver(t *testing.T) {
	r := c.receive(nil)
	id, secret := c.endpoint(map[string]any{"url": r.URL})
	delivery := c.ping(id)
	first := r.wait("ping", 1, isPing)
	delivered := func() bool {
		var got struct{ Delivery struct{ State string } }
		c.query(`query($id: ID!) { delivery(id: $id) { state } }`, map[string]any{"id": delivery}, &got)
		return got.Delivery.State == "DELIVERED"
	}
	c.eventually("it is noted", delivered)
	for n, vars := range []map[string]any{{"ids": []string{delivery}}, {"filter": map[string]any{"endpoint": id, "state": "DELIVERED", "type": "PING"}}} {
		var got struct{ Redeliver struct{ Count int } }
		c.query(`mutation($ids: [ID!], $filter: DeliveryFilter) { redeliver(ids: $ids, filter: $filter) { count } }`, vars, &got)
		again := r.wait("the ping once more", n+2, isPing)
		if got.Redeliver.Count != 1 || again.Body.ID != first.Body.ID || string(again.Raw) != string(first.Raw) || !again.verified(t, secret) {
			t.Errorf("%d were put back; the ping came as %s, then as %s", got.Redeliver.Count, first.Raw, again.Raw)
		}
		c.eventually("it is noted", delivered)
	}
}

func (c *changes) deleteEndpoint(t *testing.T) {
	r := c.receive(nil)
	id, _ := c.endpoint(map[string]any{"url": r.URL + "/deleted"})
	c.endpoint(map[string]any{"url": r.URL + "/stays"})
	c.query(`mutation($id: ID!) { deleteEndpoint(id: $id) }`, map[string]any{"id": id}, nil)
	c.deliver(ada, "for the one that stays")
	r.wait("the one that stays", 1, messageHook("for the one that stays"))
	if n := r.count(func(h *hook) bool { return h.Path == "/deleted" }); n != 0 {
		t.Errorf("the deleted endpoint got %d webhooks", n)
	}
}

const newcomer = "nell@contoso.example"

func (c *changes) beginConnect(t *testing.T) {
	r := c.receive(nil)
	c.endpoint(map[string]any{"url": r.URL, "events": []string{"ACCOUNT_CONNECTED", "ACCOUNT_SYNCED"}})
	id := c.connect(newcomer, map[string]any{"externalId": "customer 7", "expectedAddress": newcomer})
	if h := r.wait("account.synced", 1, func(h *hook) bool { return h.Body.Type == "account.synced" }); h.Body.Account.ID != id || h.Body.Account.ExternalID != "customer 7" {
		t.Errorf("the webhook tells of %+v", h.Body.Account)
	}
	if n := c.counted(newcomer, "POST", "/subscriptions"); n == 0 {
		c.eventually("the sandbox was asked to push", func() bool { return c.counted(newcomer, "POST", "/subscriptions") > 0 })
	}
	// Connecting again keeps the account.
	back := c.decide(c.browser(), c.link(nil), newcomer, "approve")
	if back.Get("status") != "connected" || back.Get("account") != id {
		t.Errorf("connected again: %v, want account %s", back, id)
	}
}

// newcomerID finds the account that beginConnect has made.
func (c *changes) newcomerID() string {
	c.t.Helper()
	var got struct {
		Accounts struct {
			Edges []struct{ Node struct{ ID string } }
		}
	}
	c.query(`query($a: String) { accounts(filter: {address: $a}) { edges { node { id } } } }`, map[string]any{"a": newcomer}, &got)
	if len(got.Accounts.Edges) != 1 {
		c.t.Fatalf("%d accounts of %s", len(got.Accounts.Edges), newcomer)
	}
	return got.Accounts.Edges[0].Node.ID
}

func (c *changes) syncAccount(t *testing.T) {
	id := c.newcomerID()
	c.control("POST", "/control/users/"+newcomer+"/messages?notify=false", letter(newcomer, "unannounced"), nil)
	before := c.counted(newcomer, "GET", "/me/mailFolders")
	c.query(`mutation($id: ID!) { syncAccount(id: $id) { id lastSyncAt } }`, map[string]any{"id": id}, nil)
	if _, there := c.subjects(id)["unannounced"]; !there {
		t.Error("the sync did not bring what had arrived")
	}
	if after := c.counted(newcomer, "GET", "/me/mailFolders"); after <= before {
		t.Errorf("the sandbox was not asked: %d requests before, %d after", before, after)
	}
}

func (c *changes) updateAccount(t *testing.T) {
	id := c.newcomerID()
	update := func(in map[string]any) (state, mirror, externalID string) {
		t.Helper()
		in["id"] = id
		var got struct {
			UpdateAccount struct{ State, Mirror, ExternalID string }
		}
		c.query(`mutation($in: UpdateAccountInput!) { updateAccount(input: $in) { state mirror externalId } }`, map[string]any{"in": in}, &got)
		return got.UpdateAccount.State, got.UpdateAccount.Mirror, got.UpdateAccount.ExternalID
	}
	const raw = "/me/messages/{id}/$value"
	before := c.counted(newcomer, "GET", raw)
	if _, mirror, ext := update(map[string]any{"mirror": "FULL", "externalId": "customer 8"}); mirror != "FULL" || ext != "customer 8" {
		t.Errorf("the account's mirror is %s, its id outside %s", mirror, ext)
	}
	c.eventually("the bytes are brought ahead", func() bool { return c.counted(newcomer, "GET", raw) > before })

	if state, _, _ := update(map[string]any{"paused": true}); state != "PAUSED" {
		t.Errorf("the account is %s", state)
	}
	// Another account's mail comes by while this one waits.
	c.deliver(newcomer, "while paused")
	c.arrive("while the newcomer is paused")
	if _, there := c.subjects(id)["while paused"]; there {
		t.Error("a paused account was synced")
	}
	if state, _, _ := update(map[string]any{"paused": false}); state != "READY" {
		t.Errorf("the account is %s", state)
	}
	c.eventually("what came meanwhile is there", func() bool { _, there := c.subjects(id)["while paused"]; return there })
}

func (c *changes) disconnectAccount(t *testing.T) {
	r := c.receive(nil)
	c.endpoint(map[string]any{"url": r.URL, "events": []string{"ACCOUNT_DISCONNECTED"}})
	id := c.newcomerID()
	c.query(`mutation($id: ID!) { disconnectAccount(id: $id) }`, map[string]any{"id": id}, nil)
	if h := r.wait("account.disconnected", 1, func(h *hook) bool { return h.Body.Type == "account.disconnected" }); h.Body.Account.Address != newcomer {
		t.Errorf("the webhook tells of %+v", h.Body.Account)
	}
	if state := c.state(id); state != "" {
		t.Errorf("the account is still there: %s", state)
	}
	if n := c.counted(newcomer, "DELETE", "/subscriptions/{id}"); n == 0 {
		t.Error("the push channel was not ended")
	}
	// From now on the sandbox hears nothing of it, whatever happens there.
	quiet := func() (n int64) {
		var report struct {
			Requests []struct{ Count int64 }
		}
		c.control("GET", "/control/counters?user="+newcomer, "", &report)
		for _, r := range report.Requests {
			n += r.Count
		}
		return n
	}
	before := quiet()
	c.deliver(newcomer, "nobody listens")
	c.arrive(fmt.Sprintf("after %s has gone", newcomer))
	if after := quiet(); after != before {
		t.Errorf("the sandbox had %d more requests for an account that is gone", after-before)
	}
}
