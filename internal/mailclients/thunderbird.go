package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postern-mail/postern/internal/freeport"
)

//go:embed thunderbird.js
var thunderbirdScript string

// thunderbirdPrefs keep a fresh profile quiet. What matters to mail is left as
// it comes out of the box.
func thunderbirdPrefs(port int) map[string]any {
	return map[string]any{
		"marionette.port": port, "remote.log.level": "Info", "app.update.enabled": false, "datareporting.policy.dataSubmissionEnabled": false,
		"mail.provider.suppress_dialog_on_startup": true, "mail.spotlight.firstRunDone": true, "mail.winsearch.firstRunDone": true,
		"mail.rights.version": 1, "mailnews.start_page.enabled": false, "toolkit.telemetry.enabled": false,
		"network.captive-portal-service.enabled": false, "network.connectivity-service.enabled": false,
		"extensions.update.enabled": false, "browser.safebrowsing.enabled": false, "signon.rememberSignons": true,
	}
}

// runThunderbird drives the real program without a screen: it adds the account
// with the local authority trusted, lists, reads, flags, moves, searches, sends,
// and is told of new mail while it idles.
func runThunderbird(ctx context.Context, w *world, r *report) {
	home, err := w.home("thunderbird")
	if err != nil {
		r.fail("home", err)
		return
	}
	m, stop, err := startThunderbird(ctx, home)
	if err != nil {
		r.fail("start", err)
		return
	}
	defer stop()
	a := w.ada
	imap, smtp := w.ports()
	ca, err := os.ReadFile(w.caFile)
	if err != nil {
		r.fail("start", err)
		return
	}
	run := func(name string, check func(json.RawMessage) error, call string, args ...any) bool {
		return r.step(name, func() error {
			got, err := m.run("return await window.postern."+call+"(...a);", args...)
			if err != nil || check == nil {
				return err
			}
			return check(got)
		})
	}
	if _, err := m.run(thunderbirdScript); err != nil {
		r.fail("start", err)
		return
	}
	if !run("account", nil, "account", number(imap), number(smtp), a.Address, a.Password, string(ca)) {
		return
	}
	if !run("list", func(got json.RawMessage) error {
		for _, role := range []string{"inbox", "sent", "trash", "drafts", "junk"} {
			if !strings.Contains(string(got), `"`+role+`"`) {
				return fmt.Errorf("no folder is known for %s: %s", role, got)
			}
		}
		return nil
	}, "list") {
		return
	}
	run("headers", func(got json.RawMessage) error {
		want, err := w.digests(ctx, a)
		if err != nil {
			return err
		}
		if string(got) != strconv.Itoa(len(want)) {
			return fmt.Errorf("%s messages, the provider has %d", got, len(want))
		}
		return nil
	}, "headers")
	run("read", func(got json.RawMessage) error {
		var sources []string
		if err := json.Unmarshal(got, &sources); err != nil {
			return err
		}
		want, err := w.digests(ctx, a)
		if err != nil {
			return err
		}
		for _, s := range sources {
			var raw []byte
			for _, c := range s { // a byte per character
				raw = append(raw, byte(c))
			}
			ok := false
			for _, d := range want {
				ok = ok || d == digest(raw)
			}
			if !ok {
				return fmt.Errorf("the source of a message is none of the provider's: %.80q", s)
			}
		}
		return nil
	}, "read", 10)
	subject := "news for thunderbird"
	run("idle", nil, "idle")
	r.step("receive", func() error {
		if err := w.deliver(ctx, a.Address, message("news@example.org", a.Address, subject, "a needle in it")); err != nil {
			return err
		}
		_, err := m.run("return await window.postern.receive(...a);", subject)
		return err
	})
	run("flag", func(json.RawMessage) error {
		return errors.Join(w.keyword(ctx, a, subject, "$flagged"), w.keyword(ctx, a, subject, "$seen"))
	}, "flag", subject)
	run("search", func(got json.RawMessage) error {
		if string(got) != "1" {
			return fmt.Errorf("the server found %s messages", got)
		}
		return nil
	}, "search", "a needle in it")
	run("folder", nil, "folder", "Made by Thunderbird")
	run("move", func(json.RawMessage) error { return w.in(ctx, a, subject, "Made by Thunderbird") }, "move", subject, "Made by Thunderbird")
	run("send", func(json.RawMessage) error {
		return errors.Join(w.arrives(ctx, w.alan, "sent by thunderbird", "INBOX"), w.arrives(ctx, a, "sent by thunderbird", "SENT"))
	}, "send", w.alan.Address, "sent by thunderbird")
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// startThunderbird starts it in a fresh profile.
func startThunderbird(ctx context.Context, home string) (*marionette, func(), error) {
	port, err := freeport.Port()
	if err != nil {
		return nil, nil, err
	}
	profile := filepath.Join(home, "profile")
	if err := os.MkdirAll(profile, 0o700); err != nil {
		return nil, nil, err
	}
	var prefs strings.Builder
	for name, value := range thunderbirdPrefs(port) {
		v, err := json.Marshal(value)
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(&prefs, "user_pref(%q, %s);\n", name, v)
	}
	if err := write(profile, "user.js", prefs.String()); err != nil {
		return nil, nil, err
	}
	logFile, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		return nil, nil, err
	}
	defer logFile.Close()
	cmd := exec.Command("thunderbird", "--headless", "--marionette", "-remote-allow-system-access", "--no-remote", "--profile", profile)
	cmd.Env = environment(home, "MOZ_HEADLESS=1", "MOZ_LOG="+os.Getenv("MOZ_LOG"), "MOZ_LOG_FILE="+filepath.Join(home, "wire"))
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
	}
	var m *marionette
	err = until(ctx, time.Minute, "Thunderbird's remote port", func() (bool, error) {
		m, err = openMarionette(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err == nil, nil
	})
	if err == nil {
		_, err = m.command("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"timeouts": map[string]int{"script": 120000}}}})
	}
	if err == nil {
		_, err = m.command("Marionette:SetContext", map[string]string{"value": "chrome"})
	}
	if err == nil {
		_, err = m.command("WebDriver:SetTimeouts", map[string]int{"script": 120000})
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return m, stop, nil
}
