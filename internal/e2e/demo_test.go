package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long an event may take on a busy machine.
const patience = 60 * time.Second

// demo is a running `postern demo`.
type demo struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	info struct {
		GraphQL string `json:"graphql"`
		APIKey  string `json:"api_key"`
		// IMAP is the door for mail programs, AppPasswords are by address.
		IMAP         string            `json:"imap"`
		AppPasswords map[string]string `json:"app_passwords"`
		Sandbox      struct {
			Control, SMTP string
			// Clouds are where each provider is played.
			Clouds map[string]string
			CAFile string `json:"ca_file"`
		}
		Accounts []struct{ ID, Address, Provider string }
		Webhook  struct{ Endpoint, URL string }
		Config   string
		// Processes by name: sandbox, receiver, gateway.
		Processes map[string]int
	}
	lines *lines
	done  chan struct{}
	err   error
	// gateway is the program that serve starts, where it is not the usual one.
	gateway string
	// lastDiff is shown when the mirror does not come into step.
	lastDiff string
}

// lines are what a program printed; readers wait for the one they want.
type lines struct {
	mu   sync.Mutex
	all  []string
	more chan struct{}
	end  bool
}

func (l *lines) add(s string, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end {
		l.end = true
	} else {
		l.all = append(l.all, s)
	}
	close(l.more)
	l.more = make(chan struct{})
}

// wait gives the first line for which want says yes.
func (l *lines) wait(ctx context.Context, want func(string) bool) (string, error) {
	for next := 0; ; {
		l.mu.Lock()
		for ; next < len(l.all); next++ {
			if want(l.all[next]) {
				defer l.mu.Unlock()
				return l.all[next], nil
			}
		}
		more, end := l.more, l.end
		l.mu.Unlock()
		if end {
			return "", errors.New("the program ended before it printed that")
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// startDemo runs a demo on free ports until the test ends. It sends no mail
// between its accounts unless --mute=false is among the arguments.
func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	d := launchDemo(t, filepath.Join(t.TempDir(), "demo"), args...)
	d.waitReady()
	t.Cleanup(d.stop)
	return d
}

func launchDemo(t *testing.T, dir string, args ...string) *demo {
	t.Helper()
	d := &demo{t: t, dir: dir, lines: &lines{more: make(chan struct{})}, done: make(chan struct{})}
	d.cmd = exec.Command(program("postern"), append([]string{"demo", "--free", "--mute", "--dir", dir}, args...)...)
	r, w := io.Pipe()
	d.cmd.Stdout, d.cmd.Stderr = w, w
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			d.lines.add(s.Text(), false)
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	go func() {
		d.err = d.cmd.Wait()
		_ = w.Close()
		<-read
		d.lines.add("", true)
		close(d.done)
	}()
	return d
}

func (d *demo) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	d.t.Cleanup(cancel)
	return ctx
}

func (d *demo) waitReady() {
	d.t.Helper()
	if _, err := d.lines.wait(d.ctx(), func(s string) bool { return strings.HasSuffix(s, "  ready") }); err != nil {
		_ = d.cmd.Process.Kill()
		d.t.Fatalf("the demo did not become ready: %v\n%s", err, d.lines)
	}
	b, err := os.ReadFile(filepath.Join(d.dir, "demo.json"))
	if err != nil {
		d.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d.info); err != nil {
		d.t.Fatal(err)
	}
}

// stop ends the demo as Ctrl-C does; it must end cleanly.
func (d *demo) stop() {
	d.t.Helper()
	select {
	case <-d.done:
		return
	default:
	}
	_ = d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.done:
		if d.err != nil {
			d.t.Errorf("the demo ended with %v\n%s", d.err, d.lines)
		}
	case <-time.After(patience):
		_ = d.cmd.Process.Kill()
		d.t.Errorf("the demo did not stop\n%s", d.lines)
	}
	if d.t.Failed() {
		d.t.Logf("the demo printed:\n%s", d.lines)
		if log, err := os.ReadFile(filepath.Join(d.dir, "logs", "gateway.log")); err == nil {
			d.t.Logf("end of the gateway's log:\n%s", log[max(0, len(log)-8000):])
		}
	}
}

// account gives the id of an address.
func (d *demo) account(address string) string {
	d.t.Helper()
	for _, a := range d.info.Accounts {
		if a.Address == address {
			return a.ID
		}
	}
	d.t.Fatalf("no account %s", address)
	return ""
}

// gqlError is one error of a GraphQL answer.
type gqlError struct {
	Message    string
	Extensions struct {
		Code string
		// RetryAfter is in seconds; Oldest goes with CURSOR_EXPIRED, ID with
		// INTERNAL.
		RetryAfter int
		Oldest, ID string
	}
}

// try runs a query and gives its errors.
func (d *demo) try(query string, vars map[string]any, data any) []gqlError {
	d.t.Helper()
	errs, err := d.ask(d.ctx(), query, vars, data)
	if err != nil {
		d.t.Fatal(err)
	}
	return errs
}

// ask is try for goroutines, which must not end the test.
func (d *demo) ask(ctx context.Context, query string, vars map[string]any, data any) ([]gqlError, error) {
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.info.GraphQL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.info.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var got struct {
		Data   json.RawMessage
		Errors []gqlError
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return nil, fmt.Errorf("answered %s, no JSON: %w", resp.Status, err)
	}
	if data != nil && len(got.Data) > 0 && string(got.Data) != "null" {
		if err := json.Unmarshal(got.Data, data); err != nil {
			return nil, fmt.Errorf("%w in %s", err, got.Data)
		}
	}
	return got.Errors, nil
}

// query runs a query that must succeed.
func (d *demo) query(query string, vars map[string]any, data any) {
	d.t.Helper()
	if errs := d.try(query, vars, data); len(errs) > 0 {
		d.t.Fatalf("%s\n%v", query, errs)
	}
}

// control calls the sandbox's control API.
func (d *demo) control(method, path, body string, out any) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.ctx(), method, d.info.Sandbox.Control+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode/100 != 2 {
		d.t.Fatalf("%s %s: %s %s", method, path, resp.Status, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			d.t.Fatalf("%v in %s", err, b)
		}
	}
}

func letter(to, subject string) string {
	return fmt.Sprintf("From: Eve <eve@fabrikam.example>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s@fabrikam.example>\r\nDate: %s\r\n\r\nThis is about %s.\r\n",
		to, subject, strings.ReplaceAll(subject, " ", "."), time.Now().UTC().Format(time.RFC1123Z), subject)
}

// deliver puts a message into a sandbox user's inbox.
func (d *demo) deliver(to, subject string) {
	d.t.Helper()
	d.control("POST", "/control/users/"+to+"/messages", letter(to, subject), nil)
}

// eventually waits until cond says that something is so. It asks again
// whenever the account's journal has moved, and at least every so often.
func (d *demo) eventually(what string, cond func() bool) {
	d.t.Helper()
	ctx := d.ctx()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.t.Fatalf("not so in time: %s\n%s", what, d.lastDiff)
		}
	}
}

// subjects lists the subjects of an account's newest messages.
func (d *demo) subjects(account string) map[string]string {
	d.t.Helper()
	var got struct {
		Account struct {
			Messages struct {
				Edges []struct{ Node struct{ ID, Subject string } }
			}
		}
	}
	d.query(`query($id: ID!) { account(id: $id) { messages(first: 200) { edges { node { id subject } } } } }`, map[string]any{"id": account}, &got)
	out := map[string]string{}
	for _, e := range got.Account.Messages.Edges {
		out[e.Node.Subject] = e.Node.ID
	}
	return out
}

// alive reports whether a process still runs.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
