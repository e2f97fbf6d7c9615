package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
)

type demoCmd struct {
	Mail string `help:"Show your own mail: a folder of .eml and mbox files." type:"existingdir" placeholder:"DIR"`
	Dir  string `help:"Where the demo keeps its things." default:".demo" type:"path"`
	Keep bool   `help:"Go on with what a former demo with --keep left, and leave it for the next (also KEEP=1)." env:"KEEP"`
	Bin  string `help:"Where the other programs are. Default: beside this one." type:"path"`
	Free bool   `help:"Take free ports from the start, not the usual ones."`
	Mute bool   `help:"Send no mail between the accounts."`
}

// demoInfo is demo.json: where a running demo's doors are. A door that is not
// built yet is null.
type demoInfo struct {
	GraphQL string  `json:"graphql"`
	APIKey  string  `json:"api_key"`
	Console *string `json:"console"`
	// IMAP and SMTP are the addresses of the doors for mail programs, AppPasswords
	// what opens them, by the account's address.
	IMAP         *string           `json:"imap"`
	SMTP         *string           `json:"smtp"`
	AppPasswords map[string]string `json:"app_passwords"`
	// CAFile is the authority that mail programs trust the doors by.
	CAFile   string        `json:"ca_file"`
	GraphiQL string        `json:"graphiql"`
	Sandbox  demoSandbox   `json:"sandbox"`
	Accounts []demoAccount `json:"accounts"`
	Webhook  demoWebhook   `json:"webhook"`
	Config   string        `json:"config"`
	PID      int           `json:"pid"`
	// Processes are the demo's programs and their process ids.
	Processes map[string]int `json:"processes"`
}

type demoSandbox struct {
	Control string `json:"control"`
	// Clouds are the addresses of the providers that it plays, by name.
	Clouds map[string]string `json:"clouds"`
	SMTP   string            `json:"smtp"`
	CAFile string            `json:"ca_file"`
}

type demoAccount struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Provider string `json:"provider"`
	// IMAP and SMTP are what to type into a mail program.
	IMAP demoLogin `json:"imap"`
	SMTP demoLogin `json:"smtp"`
}

type demoWebhook struct {
	Endpoint string `json:"endpoint"`
	URL      string `json:"url"`
}

// demo is a running demo.
type demo struct {
	demoCmd
	e       *env
	bin     string
	procs   []*child
	sandbox sandboxState
	http    string // the gateway's address
	imap    string
	smtp    string
	// fingerprint is that of the authority that mail programs trust.
	fingerprint string
	client      *client
	info        demoInfo
	kept        demoKept
	began       time.Time
	hooks       chan received
	broken      chan error // a process ended that should not have
	configure   string
	cfg         *config.Config // what is in it
}

func (d demoCmd) Run(e *env) error {
	// A terminal that is closed stops the demo as Ctrl-C does.
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGHUP)
	defer stop()
	e.ctx = ctx
	x := &demo{demoCmd: d, e: e, began: time.Now(), hooks: make(chan received, 256), broken: make(chan error, 8)}
	unlock, err := x.prepare()
	if err != nil {
		return err
	}
	defer unlock()
	err = x.run()
	if err != nil && e.ctx.Err() == nil {
		x.tails()
	}
	if rmErr := os.Remove(filepath.Join(d.Dir, "demo.json")); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	if stopErr := x.stop(); err == nil || e.ctx.Err() != nil {
		err = stopErr
	}
	if err == nil {
		x.say("stopped")
	}
	return err
}

// prepare makes the folder, alone in it.
func (d *demo) prepare() (unlock func(), err error) {
	if d.bin = d.Bin; d.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		d.bin = filepath.Dir(self)
	}
	if err := d.mine(); err != nil {
		return nil, err
	}
	unlock, err = lockFile(filepath.Join(d.Dir, "lock"))
	if err != nil {
		return nil, usageError{fmt.Errorf("a demo is running already in %s; stop it with Ctrl-C where it runs, or give this one another --dir", d.Dir)}
	}
	if err := os.WriteFile(d.path(demoMark), []byte("What is in this folder belongs to `postern demo`, which deletes it.\n"), 0o600); err != nil {
		return unlock, err
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return unlock, err
	}
	// All or nothing: a gateway that is kept beside a new world would find all
	// its mail deleted.
	keep := d.Keep
	if _, err := os.Stat(d.path(demoWorld, "world.json")); keep && err != nil {
		if keep = false; len(entries) > 2 {
			d.say("the last demo ran without KEEP=1 and its world is gone: this one begins anew")
		}
	}
	for _, en := range entries {
		if en.Name() == "lock" || en.Name() == demoMark || (keep && en.Name() != "demo.json") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(d.Dir, en.Name())); err != nil {
			return unlock, err
		}
	}
	if err := d.recall(); err != nil {
		return unlock, err
	}
	return unlock, os.MkdirAll(filepath.Join(d.Dir, "logs"), 0o700)
}

// demoMark is the file that says that a folder is a demo's.
const demoMark = ".postern-demo"

// demoWorld is the folder of the sandbox's state, which only a demo that is to
// be kept has.
const demoWorld = "sandbox"

// mine makes the folder ours, readable by nobody else. Each demo empties it,
// so one that holds anything but a demo's things is refused.
func (d *demo) mine() error {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return err
	}
	marked := func(en os.DirEntry) bool { return en.Name() == demoMark }
	if !slices.ContainsFunc(entries, marked) {
		for _, en := range entries {
			if en.Name() != "lock" { // another demo may be about to mark it
				return usageError{fmt.Errorf("%s holds %s and is no demo's folder; a demo deletes what is in its folder, so delete it yourself if it is one of an earlier version, or give an empty or a new one by --dir", d.Dir, en.Name())}
			}
		}
	}
	return os.Chmod(d.Dir, 0o700)
}

func (d *demo) path(names ...string) string {
	return filepath.Join(append([]string{d.Dir}, names...)...)
}

// say prints one line per step.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.e.stdout, "%5.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) run() error {
	ctx, cancel := context.WithCancel(d.e.ctx)
	defer cancel()
	steps := []func(context.Context) error{
		d.startSandbox, d.startReceiver, d.startGateway, d.createEndpoint, d.connectAll, d.makePasswords, d.waitSynced, d.writeAcross, d.ready,
	}
	for _, step := range steps {
		errs := make(chan error, 1)
		go func() { errs <- step(ctx) }()
		// A step that is given up is waited for: it may be starting a process,
		// which the caller is about to stop.
		select {
		case err := <-errs:
			if err != nil && d.e.ctx.Err() == nil {
				return err
			}
		case err := <-d.broken:
			cancel()
			<-errs
			return err
		case <-ctx.Done():
			<-errs
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return d.follow(ctx)
}

// demoEndpoint describes the demo's endpoint, by which it is found again.
const demoEndpoint = "the demo's receiver"

// createEndpoint makes the webhook endpoint, or points the one that a former
// demo left at the new receiver, and hands its secret to the receiver.
func (d *demo) createEndpoint(ctx context.Context) error {
	type withSecret struct {
		Endpoint struct{ ID string }
		Secret   string
	}
	var former struct {
		Endpoints []struct{ ID, Description string }
	}
	if err := d.client.do(ctx, `{ endpoints { id description } }`, nil, &former); err != nil {
		return fmt.Errorf("list endpoints: %w", err)
	}
	var got withSecret
	create := map[string]any{"url": d.info.Webhook.URL, "description": demoEndpoint}
	for _, e := range former.Endpoints {
		if e.Description != demoEndpoint || got.Secret != "" {
			continue
		}
		var reused struct{ RotateEndpointSecret withSecret }
		err := d.client.do(ctx, `mutation($id: ID!, $url: String!) {
			updateEndpoint(input: {id: $id, url: $url, enabled: true}) { id }
			rotateEndpointSecret(id: $id) { endpoint { id } secret } }`, map[string]any{"id": e.ID, "url": d.info.Webhook.URL}, &reused)
		if err != nil {
			return fmt.Errorf("update endpoint: %w", err)
		}
		got = reused.RotateEndpointSecret
	}
	if got.Secret == "" {
		var made struct{ CreateEndpoint withSecret }
		err := d.client.do(ctx, `mutation($url: String!, $description: String!) {
			createEndpoint(input: {url: $url, description: $description}) { endpoint { id } secret } }`, create, &made)
		if err != nil {
			return fmt.Errorf("create endpoint: %w", err)
		}
		got = made.CreateEndpoint
	}
	d.info.Webhook.Endpoint = got.Endpoint.ID
	if err := d.child("receiver").write(got.Secret + "\n"); err != nil {
		return fmt.Errorf("hand over the webhook secret: %w", err)
	}
	d.say("webhook endpoint made: %s", d.info.Webhook.URL)
	return nil
}

// waitSynced waits until every account's mail is in the mirror.
func (d *demo) waitSynced(ctx context.Context) error {
	for _, a := range d.info.Accounts {
		var got struct {
			Account struct {
				State string
			}
		}
		for {
			err := d.client.do(ctx, `query($id: ID!) { account(id: $id) { state } }`, map[string]any{"id": a.ID}, &got)
			if err != nil {
				return fmt.Errorf("look at account %s: %w", a.Address, err)
			}
			if got.Account.State == "READY" {
				break
			}
			if got.Account.State == "ERROR" || got.Account.State == "GRANT_EXPIRED" {
				return fmt.Errorf("account %s is %s", a.Address, got.Account.State)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		n, err := d.messages(ctx, a.ID)
		if err != nil {
			return fmt.Errorf("count the messages of %s: %w", a.Address, err)
		}
		d.say("%s is in step: %d messages", a.Address, n)
	}
	return nil
}

// messages counts an account's messages, as `accounts list` does: the progress
// of the first sync does not count on, and a message may be in many mailboxes.
func (d *demo) messages(ctx context.Context, account string) (int64, error) {
	var rows []gateway.AccountRow
	if err := gateway.Call(ctx, d.cfg, http.MethodGet, "/accounts", &rows); err != nil {
		return 0, err
	}
	for _, r := range rows {
		if r.ID == account {
			return r.Messages, nil
		}
	}
	return 0, errors.New("the account is gone")
}

// ready writes demo.json and tells what to try.
func (d *demo) ready(context.Context) error {
	d.info.PID, d.info.Processes = os.Getpid(), map[string]int{}
	for _, c := range d.procs {
		d.info.Processes[c.name] = c.cmd.Process.Pid
	}
	if err := d.writeJSON("demo.json", d.info); err != nil {
		return err
	}
	d.say("ready")
	show := func(name string) string {
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, name); err == nil && !strings.HasPrefix(rel, "..") {
				return rel
			}
		}
		return name
	}
	postern, sandbox, cfg := show(filepath.Join(d.bin, "postern")), show(filepath.Join(d.bin, "postern-sandbox")), show(d.configure)
	var to string
	if len(d.info.Accounts) > 0 {
		to = d.info.Accounts[0].Address
	}
	fmt.Fprintf(d.e.stdout, `
  GraphQL    %s
  explorer   %s
  API key    %s
  sandbox    %s  (users, deliver mail, faults, counters)
  SMTP in    %s  (mail to a sandbox user)
  logs       %s

%s
Try in another terminal:

  %s -c %s accounts list
  %s -c %s graphql '{ accounts { edges { node { address mailboxes { name unread total } } } } }'
  %s deliver --control %s --to %s --subject "Hello from the sandbox"

Webhooks, as they arrive (Ctrl-C stops everything):
`, d.info.GraphQL, d.info.GraphiQL, d.info.APIKey, d.info.Sandbox.Control, d.info.Sandbox.SMTP, show(d.path("logs")), d.programs(show),
		postern, cfg, postern, cfg, sandbox, d.info.Sandbox.Control, to)
	return nil
}

// follow prints one line per webhook until the demo is stopped.
func (d *demo) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.e.stdout)
			d.say("stopping")
			return nil
		case err := <-d.broken:
			return err
		case h := <-d.hooks:
			d.printHook(h)
		}
	}
}

func (d *demo) printHook(h received) {
	var body struct {
		Type    string
		Account struct{ Address string }
		Data    struct {
			Message  string
			Envelope struct{ Subject string }
			Subject  string
		}
	}
	_ = json.Unmarshal(h.Body, &body) // a body that is no JSON is shown as unverified
	mark := "verified"
	if !h.Verified {
		mark = "NOT VERIFIED: " + h.Error
	}
	subject := body.Data.Envelope.Subject
	if subject == "" {
		subject = body.Data.Subject
	}
	line := []string{time.Now().Format(time.TimeOnly), "webhook", mark, body.Type, body.Account.Address}
	if subject != "" {
		line = append(line, fmt.Sprintf("%q", subject))
	}
	fmt.Fprintln(d.e.stdout, strings.Join(slices.DeleteFunc(line, func(s string) bool { return s == "" }), "  "))
}
