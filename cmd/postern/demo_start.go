package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/freeport"
	"github.com/postern-mail/postern/internal/seal"
)

// sandboxState is what the sandbox tells about itself in its ready file.
type sandboxState struct {
	Control   string            `json:"control"`
	SMTP      string            `json:"smtp"`
	Providers []sandboxProvider `json:"providers"`
	// Taken are usual addresses in whose place free ones are used.
	Taken []string `json:"taken"`
}

// sandboxProvider is one cloud of the sandbox, and how to use it: what differs
// between providers is data to the demo as well.
type sandboxProvider struct {
	Name, Plugin, Cloud, URL string
	Push                     bool
	Settings                 map[string]string
	// Files are settings that name a file, with what is to be in it.
	Files map[string]string
	// App is what to register at the sandbox, but for the redirect URIs.
	App map[string]any
}

// address gives the usual address of a door, or a free port and a word about
// it where the usual one is taken.
func (d *demo) address(door, usual string) string {
	const free = "127.0.0.1:0"
	if d.Free {
		return free
	}
	l, err := net.Listen("tcp", usual)
	if err != nil {
		d.say("%s: %s is taken, a free port is used", door, usual)
		return free
	}
	_ = l.Close()
	return usual
}

func (d *demo) startSandbox(ctx context.Context) error {
	readyFile, ca := d.path("sandbox.json"), d.path("sandbox-ca.pem")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ports := "spare"
	if d.Free {
		ports = "free"
	}
	args := []string{"--ports", ports, "--ca-out", ca, "--ready-file", readyFile, "--allow-http-notifications", "--parent-pipe"}
	if d.Mail != "" {
		args = append(args, "--mail", d.Mail)
	}
	if d.Keep {
		args = append(args, "--state", d.path(demoWorld))
	}
	if _, err := d.start("sandbox", filepath.Join(d.bin, "postern-sandbox"), args...); err != nil {
		return err
	}
	if err := d.waitFile(ctx, readyFile, &d.sandbox); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	d.info.Sandbox = demoSandbox{Control: d.sandbox.Control, Clouds: map[string]string{}, SMTP: d.sandbox.SMTP, CAFile: ca}
	for _, taken := range d.sandbox.Taken {
		d.say("sandbox: %s is taken, a free port is used", taken)
	}
	for _, p := range d.sandbox.Providers {
		d.info.Sandbox.Clouds[p.Cloud] = p.URL
		d.say("sandbox up: %s plays %s", p.URL, p.Cloud)
	}
	return nil
}

// waitFile waits for a file that is renamed into place, and decodes it.
func (d *demo) waitFile(ctx context.Context, name string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		b, err := os.ReadFile(name)
		if err == nil {
			return json.Unmarshal(b, v)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", ctx.Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

func (d *demo) startReceiver(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c, err := d.start("receiver", self, "demo-receiver")
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(c.stdout)
	lines.Buffer(nil, 8<<20)
	first := make(chan received, 1)
	go func() {
		for n := 0; lines.Scan(); n++ {
			var r received
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				continue
			}
			if n == 0 {
				first <- r
				continue
			}
			d.hooks <- r
		}
	}()
	select {
	case r := <-first:
		d.info.Webhook.URL = "http://" + r.Address + "/"
	case <-time.After(10 * time.Second):
		return errors.New("receiver: not ready in time")
	case <-ctx.Done():
		return ctx.Err()
	}
	d.say("webhook receiver up")
	return nil
}

func (d *demo) startGateway(ctx context.Context) error {
	if err := d.writeConfig(ctx); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if _, err := d.start("gateway", self, "-c", d.configure, "serve", "--parent-pipe"); err != nil {
		return err
	}
	if err := d.waitReady(ctx); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	key, err := os.ReadFile(d.path("data", "admin.key"))
	if err != nil {
		return err
	}
	d.info.APIKey = string(key[:len(key)-1])
	base := "http://" + d.http
	d.info.GraphQL, d.info.GraphiQL, d.info.Config = base+"/graphql", base+"/graphiql", d.configure
	d.client = &client{url: d.info.GraphQL, key: d.info.APIKey, http: &http.Client{Timeout: 30 * time.Second}}
	d.say("gateway up: %s", base)
	return d.keepAuthority(ctx)
}

// waitReady waits until the gateway and its plugins serve.
func (d *demo) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	reason := "it does not answer"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.http+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			var got struct{ Reasons []string }
			_ = json.NewDecoder(resp.Body).Decode(&got)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			reason = fmt.Sprint(got.Reasons)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %s", reason)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// known replaces port 0 by a port that is free, and that no connection takes before
// the gateway does.
func known(addr string) (string, error) {
	if _, port, _ := net.SplitHostPort(addr); port != "0" {
		return addr, nil
	}
	return freeport.Address()
}

// writeConfig writes the gateway's settings, as an operator would.
func (d *demo) writeConfig(ctx context.Context) error {
	// They stand in redirect URLs and mail programs, so they must be known
	// beforehand.
	for _, door := range []struct {
		name, usual string
		at          *string
	}{{"gateway", "127.0.0.1:8080", &d.http}, {"IMAP", "127.0.0.1:1143", &d.imap}, {"SMTP", "127.0.0.1:1587", &d.smtp}} {
		addr, err := known(d.address(door.name, door.usual))
		if err != nil {
			return err
		}
		*door.at = addr
	}
	keyFile := d.path("master.key")
	if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
		key, err := seal.GenerateMasterKey()
		if err != nil {
			return err
		}
		if err := os.WriteFile(keyFile, []byte(key.Encode().Reveal()+"\n"), 0o600); err != nil {
			return err
		}
	}
	cfg := config.Default()
	cfg.PublicURL, cfg.DataDir, cfg.MasterKey.File = "http://"+d.http, d.path("data"), keyFile
	cfg.HTTP.Listen, cfg.HTTP.GraphiQL = d.http, true
	cfg.IMAP.Listen, cfg.IMAP.Cleartext = d.imap, true
	cfg.SMTP.Listen, cfg.SMTP.Cleartext = d.smtp, true
	cfg.Plugins.Dir = d.bin
	cfg.Log.Level = "debug"
	cfg.Webhooks.Allow, cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	for _, p := range d.sandbox.Providers {
		settings := maps.Clone(p.Settings)
		for name, text := range p.Files {
			settings[name] = d.path(p.Name + "-" + name)
			if err := os.WriteFile(settings[name], []byte(text), 0o600); err != nil {
				return err
			}
		}
		cfg.Providers[p.Name] = config.Provider{Plugin: p.Plugin, Push: p.Push, Settings: settings}
	}
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	d.configure = d.path("postern.yaml")
	for _, p := range d.sandbox.Providers {
		if err := d.registerApp(ctx, p); err != nil {
			return err
		}
	}
	d.cfg = cfg
	return os.WriteFile(d.configure, b, 0o600)
}
