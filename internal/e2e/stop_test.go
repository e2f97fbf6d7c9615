package e2e

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStopsWhileTheProviderKeepsItWaiting: a provider that says to come back
// in a minute does not hold up a stop, whatever waits for it. The demo ends
// with an error where a part of it had to be killed.
func TestStopsWhileTheProviderKeepsItWaiting(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	// One whose bytes are not here, and do not come ahead either.
	raw := `{"user": "` + ada + `", "match": "GET /me/messages/{id}/$value", `
	d.control("PUT", "/control/faults", raw+`"status": 503}`, nil)
	d.deliver(ada, "not here")
	var id string
	d.eventually("the message is listed", func() bool { id = d.subjects(d.account(ada))["not here"]; return id != "" })
	d.control("PUT", "/control/faults", raw+`"status": 429, "retry_after": 60}`, nil)
	d.control("PUT", "/control/faults", `{"user": "`+ada+`", "status": 429, "retry_after": 60}`, nil)
	// A call that leaves, two that stay, and a message to be sent.
	vars := map[string]any{"id": id, "account": d.account(ada)}
	leaves, leave := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer leave()
	text := `query($id: ID!) { message(id: $id) { text } }`
	if _, err := d.ask(leaves, text, vars, nil); err == nil {
		t.Error("the message was fetched from a provider that refuses")
	}
	var stay sync.WaitGroup
	for _, query := range []string{text, `mutation($account: ID!) { syncAccount(id: $account) { id } }`} {
		stay.Go(func() {
			// What they get is that the gateway stops, in one way or another.
			_, _ = d.ask(t.Context(), query, vars, nil)
		})
	}
	var sent struct{ SubmitMessage struct{ ID string } }
	d.query(`mutation($account: ID!) { submitMessage(input: {account: $account, to: [{email: "`+grace+`"}], subject: "waits", text: "waits"}) { id } }`, vars, &sent)
	d.eventually("the message is on its way", func() bool {
		var got struct{ Submission struct{ State string } }
		d.query(`query($id: ID!) { submission(id: $id) { state } }`, map[string]any{"id": sent.SubmitMessage.ID}, &got)
		return got.Submission.State == "SENDING"
	})
	// A mail program's change, which goes on though the program leaves, but not
	// for ever: it is answered that nobody knows whether it was made, and then BYE.
	program, err := dialMail(d.info.IMAP, ada, d.info.AppPasswords[ada])
	if err != nil {
		t.Fatal(err)
	}
	defer program.close()
	if err := program.must("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(program.conn, "w STORE 1 +FLAGS.SILENT (\\Flagged)\r\n"); err != nil {
		t.Fatal(err)
	}
	var counters struct{ Faults map[string]int64 }
	if d.control("GET", "/control/counters", "", &counters); len(counters.Faults) == 0 {
		t.Error("the provider did not say that it must be waited for")
	}
	d.stop()
	stay.Wait()
	var said []string
	for {
		text, _, err := program.response()
		if err != nil {
			break
		}
		said = append(said, text)
	}
	// Where the stop came first, BYE alone: it was not begun.
	if all := "\n" + strings.Join(said, "\n"); strings.Contains(all, "\nw ") && !strings.Contains(all, "w NO [UNAVAILABLE]") || !strings.Contains(all, "* BYE ") {
		t.Errorf("the mail program was told %q", said)
	}
}
