package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

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
	id, state := c.submit(in)
	if state != "SENDING" {
		t.Errorf("what is sent at once is %s", state)
	}
	c.eventually("grace has it", func() bool { return c.hasMail(grace, "composed") })
	if again, _ := c.submit(in); again != id {
		t.Errorf("the same key made another submission %s, not %s", again, id)
	}
	other := map[string]any{"account": c.ada, "to": []string{grace}, "subject": "another one", "idempotencyKey": "k1"}
	if errs := c.try(`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": other}, nil); len(errs) != 1 || errs[0].Extensions.Code != "CONFLICT" {
		t.Errorf("another message under the same key: %v", errs)
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
	at := time.Now().Add(10 * time.Second).UTC().Format(time.RFC3339Nano)
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
