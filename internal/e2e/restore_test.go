package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// entry is what a journal entry says, as far as it must not change.
type entry struct{ ID, Type, Message string }

// journalFrom reads all events after a cursor.
func (d *demo) journalFrom(after string) (all []entry, cursor string) {
	d.t.Helper()
	cursor = after
	for {
		var page struct {
			Events struct {
				Edges []struct {
					Node struct {
						ID, Type  string
						MessageID *string
					}
				}
				PageInfo struct {
					EndCursor   string
					HasNextPage bool
				}
			}
		}
		vars := map[string]any{}
		if cursor != "" {
			vars["after"] = cursor
		}
		d.query(`query($after: String) { events(after: $after, first: 200) { edges { node { id type messageId } } pageInfo { endCursor hasNextPage } } }`, vars, &page)
		for _, e := range page.Events.Edges {
			n := entry{ID: e.Node.ID, Type: e.Node.Type}
			if e.Node.MessageID != nil {
				n.Message = *e.Node.MessageID
			}
			all = append(all, n)
		}
		if page.Events.PageInfo.EndCursor != "" {
			cursor = page.Events.PageInfo.EndCursor
		}
		if !page.Events.PageInfo.HasNextPage {
			return all, cursor
		}
	}
}

func (d *demo) submitFrom(account string, in map[string]any) (id string) {
	d.t.Helper()
	in["account"] = account
	var got struct{ SubmitMessage struct{ ID string } }
	d.query(`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": in}, &got)
	return got.SubmitMessage.ID
}

func (d *demo) submissionState(id string) string {
	d.t.Helper()
	var got struct{ Submission struct{ State string } }
	d.query(`query($id: ID!) { submission(id: $id) { state } }`, map[string]any{"id": id}, &got)
	return got.Submission.State
}

// TestBackupUnderLoadAndRestore backs a gateway up while it works, lets it go
// on for a while, loses it, and goes on from the backup: nothing that happened
// since is lost or told twice, nothing is sent twice, and whoever kept a place
// in the journal is told that it is no more.
func TestBackupUnderLoadAndRestore(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, p, s := d.own(t, func(string, settings) {})
	dir, data := filepath.Dir(g.info.Config), s["data_dir"].(string)
	account := g.join(ada)
	other := g.join(grace)
	const gil = "gil@contoso.example"
	third := g.connect(gil, nil)
	g.eventually("the push channel is there", func() bool { state, _ := g.watchState(account); return state == "PUSH" })

	// refusing makes the receiver refuse what it gets.
	var refusing atomic.Bool
	r := d.receive(func(w http.ResponseWriter, _ *hook) {
		if refusing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	_, secret := g.endpoint(map[string]any{"url": r.URL + "/hook", "events": []string{"MESSAGE_CREATED"}})
	g.deliver(ada, "first of all")
	r.wait("the first", 1, messageHook("first of all"))

	tomorrow := g.submitFrom(account, map[string]any{"to": []string{grace}, "subject": "for tomorrow", "text": "x", "sendAt": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)})
	soon := g.submitFrom(account, map[string]any{"to": []string{grace}, "subject": "sent since", "text": "x", "sendAt": time.Now().Add(8 * time.Second).UTC().Format(time.RFC3339Nano)})
	refusing.Store(true)
	g.deliver(ada, "owed in the backup")
	g.eventually("it is in the mirror", func() bool { return g.subjects(account)["owed in the backup"] != "" })

	// Mail arrives while the backup is made.
	stop, load := context.WithCancel(context.Background())
	defer load()
	var arriving sync.WaitGroup
	arriving.Go(func() {
		for n := 0; stop.Err() == nil && n < 60; n++ {
			d.deliver(ada, fmt.Sprintf("under load %d", n))
		}
	})
	backup := filepath.Join(dir, "backup.tar")
	out, err := postern(t, g.info.Config, "backup", backup)
	if err != nil || !strings.Contains(out, "master key that opens it is not in it") {
		t.Fatalf("backup: %v %s", err, out)
	}
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if out, err := postern(t, g.info.Config, "backup", backup); err == nil || !strings.Contains(out, "exists") {
		t.Errorf("over another file: %v %s", err, out)
	}
	load()
	arriving.Wait()

	// Life goes on: mail comes and goes, and what was to be sent is.
	refusing.Store(false)
	for i := range 5 {
		g.deliver(ada, fmt.Sprintf("after the backup %d", i))
	}
	g.inStep(ada)
	gone := g.subjects(account)["first of all"]
	g.query(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids, permanently: true) { results { error { code } } } }`, map[string]any{"ids": []string{gone}}, nil)
	g.eventually("the submission is sent", func() bool { return g.submissionState(soon) == "SENT" })
	g.inStep(grace)
	r.wait("what was owed", 1, messageHook("owed in the backup"))
	// One owner takes the consent back and gives another: that of the backup is
	// worth nothing any more.
	g.control("POST", "/control/users/"+gil+"/revoke", "", nil)
	g.tryMailbox(third, "refused")
	g.eventually("the grant has expired", func() bool { return g.state(third) == "GRANT_EXPIRED" })
	g.rejoin(gil, third)
	before, cursor := g.journalFrom("")
	if out, err := postern(t, g.info.Config, "verify"); err != nil || !strings.Contains(out, "The store is sound.") {
		t.Errorf("verify: %v %s", err, out)
	}

	// Not while it runs, and not over the data by mistake.
	if out, err := postern(t, g.info.Config, "restore", "--force", backup); err == nil || !strings.Contains(out, "in use by process") {
		t.Errorf("while it runs: %v %s", err, out)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	d.deliver(ada, "while nobody looked")
	if out, err := postern(t, g.info.Config, "restore", backup); err == nil || !strings.Contains(out, "--force") {
		t.Errorf("not forced: %v %s", err, out)
	}
	if out, err := postern(t, g.info.Config, "restore", "--force", backup); err != nil || !strings.Contains(out, "kept") && !strings.Contains(out, "before-restore") {
		t.Fatalf("restore: %v %s", err, out)
	}
	if aside, err := filepath.Glob(filepath.Join(data, "before-restore-*", "postern.db")); err != nil || len(aside) != 1 {
		t.Errorf("kept aside: %v %v", aside, err)
	}
	g, _ = d.serve(t, dir, s)

	// A place of before is refused, wherever it is given.
	errs := g.try(`query($after: String) { events(after: $after) { edges { cursor } } }`, map[string]any{"after": cursor}, nil)
	if len(errs) != 1 || errs[0].Extensions.Code != "CURSOR_EXPIRED" || !strings.Contains(errs[0].Message, "restored from a backup") {
		t.Fatalf("an old cursor: %+v", errs)
	}
	oldest := errs[0].Extensions.Oldest
	told := <-g.subscribe(`subscription { events(after: "` + cursor + `") { cursor } }`)
	if told != nil && strings.Contains(string(told), `"cursor"`) {
		t.Errorf("a subscription from an old cursor tells %s", told)
	}

	g.inStep(ada)
	g.inStep(grace)
	g.eventually("a new push channel is there", func() bool { state, _ := g.watchState(account); return state == "PUSH" })
	g.eventually("the old grant is refused", func() bool { return g.state(third) == "GRANT_EXPIRED" })
	g.rejoin(gil, third)
	after, _ := g.journalFrom(oldest)
	known := map[string]entry{}
	for _, e := range before {
		known[e.ID] = e
	}
	created, deleted := map[string]int{}, 0
	fresh := 0
	for _, e := range after {
		if was, ok := known[e.ID]; ok && was != e {
			t.Errorf("event %s was %+v and is %+v", e.ID, was, e)
		} else if !ok {
			fresh++
		}
		if e.Type == "MESSAGE_CREATED" {
			created[e.Message]++
		}
		if e.Type == "MESSAGE_DELETED" && e.Message == gone {
			deleted++
		}
	}
	if deleted != 1 {
		t.Errorf("what was deleted since the backup was told as deleted %d times", deleted)
	}
	if fresh == 0 {
		t.Error("no event is new")
	}
	for address, id := range map[string]string{ada: account, grace: other} {
		if len(g.truth(address)) < 2 {
			t.Fatalf("the sandbox has no mail for %s", address)
		}
		for subject, message := range g.subjects(id) {
			if created[message] != 1 {
				t.Errorf("%q of %s was told as created %d times", subject, address, created[message])
			}
		}
	}

	// Nothing is sent twice, and what was to be sent later still is to be.
	g.eventually("what became of it is known", func() bool { return g.submissionState(soon) == "SENT" })
	if state := g.submissionState(tomorrow); state != "SCHEDULED" {
		t.Errorf("the submission for tomorrow is %s", state)
	}
	g.inStep(grace)
	if n := g.sentCopies("sent since"); n != 1 {
		t.Errorf("grace has it %d times", n)
	}

	// Webhooks flow, verified as ever, and what was owed comes under its old id.
	d.deliver(ada, "in the new life")
	if h := r.wait("the new life", 1, messageHook("in the new life")); !h.verified(t, secret) {
		t.Error("the webhook is not signed with the endpoint's secret")
	}
	ids := map[string]string{}
	r.mu.Lock()
	for i := range r.hooks {
		h := &r.hooks[i]
		id, subject := h.Header.Get("webhook-id"), h.Body.Data.Envelope.Subject
		if was, ok := ids[id]; ok && was != subject {
			t.Errorf("webhook %s was about %q and is about %q", id, was, subject)
		}
		ids[id] = subject
	}
	r.mu.Unlock()
	if out, err := postern(t, g.info.Config, "verify", "--json"); err != nil {
		t.Errorf("verify after the restore: %v %s", err, out)
	} else if err := json.Unmarshal([]byte(out), &struct{ Records int64 }{}); err != nil {
		t.Errorf("%v in %s", err, out)
	}
}

// rejoin has an owner give a new consent to an account that is there.
func (d *demo) rejoin(address, account string) {
	d.t.Helper()
	back := d.decide(d.browser(), d.link(nil), address, "approve")
	if back.Get("account") != account {
		d.t.Fatalf("%s was connected as %v, want %s", address, back, account)
	}
	d.eventually(address+" is back", func() bool { return d.state(account) == "READY" })
}

// sentCopies counts grace's messages of a subject, as the sandbox holds them.
func (d *demo) sentCopies(subject string) (n int) {
	d.t.Helper()
	var got struct {
		Account struct {
			Messages struct {
				Edges []struct{ Node struct{ Subject string } }
			}
		}
	}
	d.query(`query($id: ID!) { account(id: $id) { messages(first: 200) { edges { node { subject } } } } }`, map[string]any{"id": d.account(grace)}, &got)
	for _, e := range got.Account.Messages.Edges {
		if e.Node.Subject == subject {
			n++
		}
	}
	return n
}
