package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

const (
	ada   = "ada@contoso.example"
	grace = "grace@contoso.example"
)

// subscribe opens a subscription over graphql-transport-ws and gives what it
// tells.
func (d *demo) subscribe(query string) <-chan json.RawMessage {
	d.t.Helper()
	ctx := d.ctx()
	c, _, err := websocket.Dial(ctx, strings.Replace(d.info.GraphQL, "http", "ws", 1), &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.CloseNow() })
	send := func(v any) {
		b, err := json.Marshal(v)
		if err == nil {
			err = c.Write(ctx, websocket.MessageText, b)
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	read := func() (m struct {
		Type    string
		Payload struct{ Data json.RawMessage }
	}, err error) {
		_, b, err := c.Read(ctx)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		return m, err
	}
	send(map[string]any{"type": "connection_init", "payload": map[string]string{"authorization": "Bearer " + d.info.APIKey}})
	if m, err := read(); err != nil || m.Type != "connection_ack" {
		d.t.Fatalf("connection_init was answered by %q, %v", m.Type, err)
	}
	send(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": query}})
	out := make(chan json.RawMessage, 100)
	go func() {
		defer close(out)
		for {
			m, err := read()
			if err != nil {
				return
			}
			if m.Type == "next" {
				out <- m.Payload.Data
			}
		}
	}()
	return out
}

// TestNewcomer does what somebody does who has just typed `make demo`, with
// mail of their own.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	own := rand.Text()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.eml"), []byte(letter(ada, "own "+own)), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDemo(t, "--mail", dir, "--mute=false")
	if _, ok := d.subjects(d.account(ada))["own "+own]; !ok {
		t.Errorf("the mail given by --mail is not listed")
	}
	// The demo has written from one provider to the other.
	across := d.info.Accounts[len(d.info.Accounts)-1]
	if _, ok := d.subjects(across.ID)["From one provider to the other"]; !ok || across.Provider == d.info.Accounts[0].Provider {
		t.Errorf("%s of %s has no mail of %s", across.Address, across.Provider, d.info.Accounts[0].Address)
	}
	// From a place in the journal on: when a subscription begins is not said.
	var journal struct {
		Events struct{ PageInfo struct{ EndCursor string } }
	}
	d.query(`{ events(first: 1) { pageInfo { endCursor } } }`, nil, &journal)
	told := d.subscribe(`subscription { events(after: "` + journal.Events.PageInfo.EndCursor + `", types: [MESSAGE_CREATED]) { type account { address } message { subject } } }`)

	byControl, bySMTP := "control "+rand.Text(), "smtp "+rand.Text()
	d.deliver(ada, byControl)
	if err := smtp.SendMail(d.info.Sandbox.SMTP, nil, "eve@fabrikam.example", []string{grace}, []byte(letter(grace, bySMTP))); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{byControl, bySMTP} {
		if _, err := d.lines.wait(d.ctx(), func(s string) bool {
			return strings.Contains(s, "webhook  verified  message.created") && strings.Contains(s, subject)
		}); err != nil {
			t.Errorf("no verified webhook tells of %q: %v", subject, err)
		}
	}
	want := map[string]bool{byControl: true, bySMTP: true}
	for len(want) > 0 {
		raw, ok := <-told
		if !ok {
			t.Fatalf("the subscription ended before it told of %v", want)
		}
		var e struct {
			Events struct{ Message struct{ Subject string } }
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		delete(want, e.Events.Message.Subject)
	}
	if _, ok := d.subjects(d.account(ada))[byControl]; !ok {
		t.Errorf("GraphQL does not list %q", byControl)
	}
	if _, ok := d.subjects(d.account(grace))[bySMTP]; !ok {
		t.Errorf("GraphQL does not list %q", bySMTP)
	}
	var counters struct {
		Tokens    map[string]map[string]int64
		Authorize map[string]int64
	}
	d.control("GET", "/control/counters", "", &counters)
	accounts := int64(len(d.info.Accounts)) // of both clouds
	if n := counters.Authorize["approved"]; n != accounts || n < 3 {
		t.Errorf("%d sign-ins were approved, want %d: %v", n, accounts, counters.Authorize)
	}
	if n := counters.Tokens["authorization_code"]["ok"]; n != accounts || len(counters.Tokens["authorization_code"]) != 1 {
		t.Errorf("code exchanges: %v, want %d good ones", counters.Tokens["authorization_code"], accounts)
	}
	d.commands()
}

// commands are the ones that the demo prints to try.
func (d *demo) commands() {
	d.t.Helper()
	run := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			d.t.Errorf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := run(program("postern"), "-c", d.info.Config, "accounts", "list"); !strings.Contains(out, ada) || !strings.Contains(out, "READY") {
		d.t.Errorf("accounts list printed:\n%s", out)
	}
	if out := run(program("postern"), "-c", d.info.Config, "graphql", "{ viewer { id } }"); !strings.Contains(out, `"viewer"`) {
		d.t.Errorf("graphql printed:\n%s", out)
	}
	if out := run(program("postern"), "-c", d.info.Config, "plugins", "list"); !strings.Contains(out, "running") {
		d.t.Errorf("plugins list printed:\n%s", out)
	}
	subject := "tried " + rand.Text()
	run(program("postern-sandbox"), "deliver", "--control", d.info.Sandbox.Control, "--to", ada, "--subject", subject)
	if _, err := d.lines.wait(d.ctx(), func(s string) bool { return strings.Contains(s, subject) }); err != nil {
		d.t.Errorf("the delivered mail shows in no webhook: %v", err)
	}
}

// TestSecondDemoSaysSo: one demo per folder.
func TestSecondDemoSaysSo(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	second := launchDemo(t, d.dir)
	<-second.done
	if second.err == nil || !strings.Contains(second.lines.String(), "running already") {
		t.Errorf("a second demo ended with %v and printed:\n%s", second.err, second.lines)
	}
	cmd := exec.Command(program("postern"), "-c", d.info.Config, "serve")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "process") {
		t.Errorf("a second serve on the same data ended with %v and printed:\n%s", err, out)
	}
	resp, err := http.Get(strings.Replace(d.info.GraphQL, "/graphql", "/readyz", 1))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the first demo is not ready any more: %v %v", resp, err)
	}
}
