package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// terminal is a program that wants a terminal: script gives it one.
type terminal struct {
	cmd    *exec.Cmd
	keys   io.WriteCloser
	screen string
	seen   int
	done   chan error
}

func openTerminal(ctx context.Context, home, command string, env ...string) (*terminal, error) {
	t := &terminal{screen: filepath.Join(home, "screen"), done: make(chan error, 1)}
	if err := os.WriteFile(t.screen, nil, 0o600); err != nil {
		return nil, err
	}
	t.cmd = exec.CommandContext(ctx, "script", "-qefc", "stty rows 40 cols 160; exec "+command, t.screen)
	t.cmd.Dir, t.cmd.Env, t.cmd.WaitDelay = home, environment(home, env...), 5*time.Second
	var err error
	if t.keys, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { t.done <- t.cmd.Wait() }()
	return t, nil
}

var control = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")

// shows waits until the terminal has shown a text since the last keys.
func (t *terminal) shows(ctx context.Context, text string) error {
	last := ""
	err := until(ctx, 45*time.Second, "", func() (bool, error) {
		b, err := os.ReadFile(t.screen)
		if err != nil {
			return false, err
		}
		last = control.ReplaceAllString(string(b[min(t.seen, len(b)):]), "")
		return strings.Contains(last, text), nil
	})
	if err != nil {
		return fmt.Errorf("the screen never showed %q: %s", text, tail(last, 500))
	}
	return nil
}

// press sends keys.
func (t *terminal) press(keys string) error {
	if b, err := os.ReadFile(t.screen); err == nil {
		t.seen = len(b)
	}
	_, err := io.WriteString(t.keys, keys)
	return err
}

// ends waits for the program to end by itself.
func (t *terminal) ends(ctx context.Context) error {
	select {
	case err := <-t.done:
		return err
	case <-time.After(30 * time.Second):
		_ = t.cmd.Process.Kill()
		return errors.New("it did not end")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runNeomutt opens a mailbox twice, the second time out of its header cache,
// then flags, moves and sends.
func runNeomutt(ctx context.Context, w *world, r *report) {
	home, err := w.home("neomutt")
	if err != nil {
		r.fail("home", err)
		return
	}
	imap, smtp := w.ports()
	a := w.ada
	user := url.QueryEscape(a.Address)
	rc := fmt.Sprintf(`set imap_user="%s"
set imap_pass="%s"
set ssl_starttls=yes
set ssl_force_tls=yes
set ssl_ca_certificates_file="%s"
set certificate_file="%s/certificates"
set header_cache="%s/headers"
set message_cachedir="%s/bodies"
set folder="imap://localhost:%s/"
set spoolfile="+INBOX"
set record="+%s"
set from="%s"
set use_from=yes
set realname="A mutt"
set smtp_url="smtp://%s@localhost:%s/"
set smtp_pass="%s"
set imap_authenticators="plain"
set confirmappend=no
set delete=yes
set move=no
set quit=yes
set wait_key=no
`, a.Address, a.Password, w.caFile, home, home, home, imap, "Sent Items", a.Address, user, smtp, a.Password)
	if err := write(home, "muttrc", rc); err != nil {
		r.fail("settings", err)
		return
	}
	mutt := func(log, push string) (string, error) {
		name := filepath.Join(home, log) // it adds a number
		t, err := openTerminal(ctx, home, fmt.Sprintf("neomutt -n -F %s/muttrc -d 3 -l %s -e \"push '%s'\"", home, name, push))
		if err != nil {
			return "", err
		}
		err = t.ends(ctx)
		b, readErr := os.ReadFile(name + "0")
		return string(b), errors.Join(err, readErr)
	}
	subject := "news for neomutt"
	if !r.step("open", func() error {
		if err := w.deliver(ctx, a.Address, message("news@example.org", a.Address, subject, "hello mutt")); err != nil {
			return err
		}
		if err := w.arrives(ctx, a, subject, "INBOX"); err != nil {
			return err
		}
		log, err := mutt("first.log", "<quit>")
		if err == nil && !strings.Contains(log, "HEADER.FIELDS") {
			err = fmt.Errorf("it fetched no headers: %s", tail(log, 500))
		}
		return err
	}) {
		return
	}
	r.step("cached", func() error {
		log, err := mutt("second.log", "<quit>")
		if err == nil && strings.Contains(log, "HEADER.FIELDS") {
			err = errors.New("it fetched headers again, though they are in its cache")
		}
		return err
	})
	r.step("flag", func() error {
		if _, err := mutt("flag.log", "<limit>~s \\\""+subject+"\\\"<enter><flag-message><quit>"); err != nil {
			return err
		}
		return w.keyword(ctx, a, subject, "$flagged")
	})
	r.step("move", func() error {
		if _, err := mutt("move.log", "<limit>~s \\\""+subject+"\\\"<enter><save-message>=Archive<enter><sync-mailbox><quit>"); err != nil {
			return err
		}
		return w.in(ctx, a, subject, "Archive")
	})
	r.step("send", func() error {
		sent := "sent by neomutt"
		if err := write(home, "body", "hello\n"); err != nil {
			return err
		}
		t, err := openTerminal(ctx, home, fmt.Sprintf("sh -c 'neomutt -n -F %s/muttrc -s \"%s\" -- %s < body'", home, sent, w.grace.Address))
		if err != nil {
			return err
		}
		if err := t.ends(ctx); err != nil {
			b, _ := os.ReadFile(t.screen)
			return fmt.Errorf("%w: %s", err, tail(string(b), 500))
		}
		// It also stores a copy of its own in record: there is one all the same.
		return errors.Join(w.arrives(ctx, w.grace, sent, "INBOX"), w.arrives(ctx, a, sent, "SENT"))
	})
}

// runAerc lists, reads, flags, moves.
func runAerc(ctx context.Context, w *world, r *report) {
	home, err := w.home("aerc")
	if err != nil {
		r.fail("home", err)
		return
	}
	imap, smtp := w.ports()
	a := w.grace
	login := url.QueryEscape(a.Address) + ":" + url.QueryEscape(a.Password)
	dir := filepath.Join(home, ".config", "aerc")
	err = errors.Join(os.MkdirAll(dir, 0o700),
		write(dir, "accounts.conf", fmt.Sprintf("[Grace]\nsource = imap://%s@localhost:%s\noutgoing = smtp+plain://%s@localhost:%s\nsmtp-starttls = yes\ndefault = INBOX\nfrom = <%s>\n", login, imap, login, smtp, a.Address)),
		write(dir, "aerc.conf", "[general]\nunsafe-accounts-conf=true\n[filters]\ntext/plain=cat\n[viewer]\npager=cat\n"))
	if err != nil {
		r.fail("settings", err)
		return
	}
	subject := "news for aerc"
	if err := errors.Join(w.deliver(ctx, a.Address, message("news@example.org", a.Address, subject, "viewerword")), w.arrives(ctx, a, subject, "INBOX")); err != nil {
		r.fail("deliver", err)
		return
	}
	t, err := openTerminal(ctx, home, "aerc", "SSL_CERT_FILE="+w.caFile)
	if err != nil {
		r.fail("start", err)
		return
	}
	if !r.step("list", func() error { return t.shows(ctx, subject) }) {
		_ = t.cmd.Process.Kill()
		<-t.done
		return
	}
	r.step("read", func() error {
		return errors.Join(t.press("\r"), t.shows(ctx, "viewerword"), t.press(":close\r"))
	})
	r.step("flag", func() error {
		return errors.Join(t.press(":flag -t\r"), w.keyword(ctx, a, subject, "$flagged"))
	})
	r.step("idle", func() error {
		next := "more news for aerc"
		return errors.Join(w.deliver(ctx, a.Address, message("news@example.org", a.Address, next, "hello")), t.shows(ctx, next))
	})
	r.step("move", func() error {
		return errors.Join(t.press(":mv Archive\r"), until(ctx, 30*time.Second, "a message in Archive", func() (bool, error) {
			var moved bool
			for _, s := range []string{subject, "more news for aerc"} {
				all, err := w.bySubject(ctx, a, s)
				if err != nil {
					return false, err
				}
				for _, m := range all {
					moved = moved || len(m.Mailboxes) > 0 && m.Mailboxes[0].Name == "Archive"
				}
			}
			return moved, nil
		}))
	})
	r.step("quit", func() error { return errors.Join(t.press(":quit\r"), t.ends(ctx)) })
}
