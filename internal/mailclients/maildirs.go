package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// runMbsync syncs an account of each provider two ways: twice without a change,
// then with changes on both sides.
func runMbsync(ctx context.Context, w *world, r *report) {
	for _, a := range []account{w.ada, w.alan} {
		who, _, _ := strings.Cut(a.Address, "@")
		home, err := w.home("mbsync-" + who)
		if err != nil {
			r.fail(who, err)
			return
		}
		mail := filepath.Join(home, "mail")
		imap, _ := w.ports()
		rc := fmt.Sprintf(`IMAPAccount a
Host localhost
Port %s
User "%s"
Pass "%s"
SSLType STARTTLS
SystemCertificates no
CertificateFile %s

IMAPStore far
Account a

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
CopyArrivalDate yes
SyncState *
`, imap, a.Address, a.Password, w.caFile, mail, mail)
		if err := errors.Join(write(home, "mbsyncrc", rc), os.MkdirAll(mail, 0o700)); err != nil {
			r.fail(who, err)
			return
		}
		sync := func() (string, error) {
			return program(ctx, home, nil, "mbsync", "-V", "-c", filepath.Join(home, "mbsyncrc"), "-a")
		}
		inbox := filepath.Join(mail, "INBOX")
		ok := r.step(who+" pull", func() error {
			if _, err := sync(); err != nil {
				return err
			}
			return w.sameInbox(ctx, a, inbox, withoutTUID, wireLines)
		})
		ok = ok && r.step(who+" again", func() error { return unchanged(mail, sync) })
		if !ok {
			continue
		}
		subject := "pushed by mbsync for " + who
		r.step(who+" push", func() error {
			raw := message(a.Address, w.grace.Address, subject, "made by hand in the maildir")
			raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
			if err := os.WriteFile(filepath.Join(inbox, "cur", "1700000000.1_1.host:2,S"), raw, 0o600); err != nil {
				return err
			}
			if _, err := sync(); err != nil {
				return err
			}
			return w.arrives(ctx, a, subject, "INBOX")
		})
		r.step(who+" flag", func() error {
			files, err := maildir(inbox)
			if err != nil {
				return err
			}
			flagged := ""
			for _, f := range files {
				if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("Subject: "+subject)) {
					flagged = f
				}
			}
			base, _, _ := strings.Cut(flagged, ":2,")
			if err := os.Rename(flagged, base+":2,FS"); err != nil {
				return err
			}
			if _, err := sync(); err != nil {
				return err
			}
			return w.keyword(ctx, a, subject, "$flagged")
		})
		r.step(who+" expunge", func() error {
			files, err := maildir(inbox)
			if err != nil {
				return err
			}
			for _, f := range files {
				if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("Subject: "+subject)) {
					if err := os.Remove(f); err != nil {
						return err
					}
				}
			}
			if _, err := sync(); err != nil {
				return err
			}
			if a == w.alan {
				// A label's mailbox: what leaves it stays in all mail.
				return w.in(ctx, a, subject, "ALL")
			}
			return w.in(ctx, a, subject, "TRASH")
		})
		r.step(who+" receive", func() error {
			news := "news for mbsync of " + who
			if err := w.deliver(ctx, a.Address, message("news@example.org", a.Address, news, "hello")); err != nil {
				return err
			}
			if err := w.arrives(ctx, a, news, "INBOX"); err != nil {
				return err
			}
			if _, err := sync(); err != nil {
				return err
			}
			return w.sameInbox(ctx, a, inbox, withoutTUID, wireLines)
		})
		// What went to the trash comes down once more; then nothing moves.
		r.step(who+" at rest", func() error {
			if _, err := sync(); err != nil {
				return err
			}
			return unchanged(mail, sync)
		})
	}
}

// sameInbox compares a maildir with the inbox at the provider, byte for byte:
// change takes off what the program has added, and kept gives what it keeps.
func (w *world) sameInbox(ctx context.Context, a account, dir string, change, kept func([]byte) []byte) error {
	files, err := maildir(dir)
	if err != nil {
		return err
	}
	got, err := wireDigests(files, change, kept)
	if err != nil {
		return err
	}
	inbox, err := w.inbox(ctx, a)
	if err != nil {
		return err
	}
	var want []string
	for d, ids := range inbox {
		if _, ok := slices.BinarySearch(got, d); !ok {
			// Programs that keep lines with LF ends drop every other CR, say.
			b, err := w.raw(ctx, ids[0], d)
			if err != nil {
				return err
			}
			d = digest(kept(b))
		}
		for range ids {
			want = append(want, d)
		}
	}
	slices.Sort(want)
	return equalDigests(got, want)
}

var addedTUID = regexp.MustCompile(`(?m)^X-TUID: .{12}\n`)

// withoutTUID takes off the field by which mbsync knows again what it stored.
func withoutTUID(b []byte) []byte { return addedTUID.ReplaceAll(b, nil) }

// unchanged runs a sync that must transfer nothing.
func unchanged(dir string, sync func() (string, error)) error {
	before, err := tree(dir)
	if err != nil {
		return err
	}
	if _, err := sync(); err != nil {
		return err
	}
	after, err := tree(dir)
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		return fmt.Errorf("%d files before, %d after, or others: it transferred something", len(before), len(after))
	}
	return nil
}

// runOfflineimap pulls twice, and flags.
func runOfflineimap(ctx context.Context, w *world, r *report) {
	home, err := w.home("offlineimap")
	if err != nil {
		r.fail("home", err)
		return
	}
	a := w.grace
	imap, _ := w.ports()
	rc := fmt.Sprintf(`[general]
accounts = A
metadata = %s/meta
ui = basic
fsync = False
[Account A]
localrepository = L
remoterepository = R
[Repository L]
type = Maildir
localfolders = %s/mail
[Repository R]
type = IMAP
remotehost = localhost
remoteport = %s
remoteuser = %s
remotepass = %s
ssl = no
starttls = yes
sslcacertfile = %s
auth_mechanisms = PLAIN
`, home, home, imap, a.Address, a.Password, w.caFile)
	if err := write(home, "offlineimaprc", rc); err != nil {
		r.fail("settings", err)
		return
	}
	mail, inbox := filepath.Join(home, "mail"), filepath.Join(home, "mail", "INBOX")
	sync := func() (string, error) {
		out, err := program(ctx, home, nil, "offlineimap", "-c", filepath.Join(home, "offlineimaprc"), "-o", "-u", "basic")
		if err == nil && strings.Contains(out, "ERROR") {
			err = fmt.Errorf("offlineimap:\n%s", tail(out, 2000))
		}
		return out, err
	}
	ok := r.step("pull", func() error {
		if _, err := sync(); err != nil {
			return err
		}
		return w.sameInbox(ctx, a, inbox, nil, wireLines)
	})
	if !ok || !r.step("again", func() error { return unchanged(mail, sync) }) {
		return
	}
	subject := "news for offlineimap"
	r.step("receive", func() error {
		if err := w.deliver(ctx, a.Address, message("news@example.org", a.Address, subject, "hello")); err != nil {
			return err
		}
		if err := w.arrives(ctx, a, subject, "INBOX"); err != nil {
			return err
		}
		if _, err := sync(); err != nil {
			return err
		}
		return w.sameInbox(ctx, a, inbox, nil, wireLines)
	})
	r.step("flag", func() error {
		files, err := maildir(inbox)
		if err != nil {
			return err
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte("Subject: "+subject)) {
				base, _, _ := strings.Cut(f, ":2,")
				if err := os.Rename(f, filepath.Join(inbox, "cur", filepath.Base(base)+":2,FS")); err != nil {
					return err
				}
			}
		}
		if _, err := sync(); err != nil {
			return err
		}
		return w.keyword(ctx, a, subject, "$flagged")
	})
	r.step("at rest", func() error { return unchanged(mail, sync) })
}

// runGetmail retrieves everything once, and nothing the second time.
func runGetmail(ctx context.Context, w *world, r *report) {
	home, err := w.home("getmail")
	if err != nil {
		r.fail("home", err)
		return
	}
	dir := filepath.Join(home, "mail")
	a := w.grace
	imap, _ := w.ports()
	// It knows no STARTTLS over IMAP; the demo takes a login in the clear from
	// this machine.
	rc := fmt.Sprintf(`[retriever]
type = SimpleIMAPRetriever
server = localhost
port = %s
username = %s
password = %s
timeout = 5
mailboxes = ("INBOX",)
[destination]
type = Maildir
path = %s/
[options]
read_all = false
delete = false
delivered_to = false
received = false
verbose = 2
`, imap, a.Address, a.Password, dir)
	err = write(home, "getmailrc", rc)
	for _, sub := range []string{"cur", "new", "tmp"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	if err != nil {
		r.fail("settings", err)
		return
	}
	// It delivers nothing as root.
	command := []string{"getmail", "--getmaildir", home, "--rcfile", filepath.Join(home, "getmailrc")}
	if os.Geteuid() == 0 {
		command = append([]string{"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"}, command...)
		if _, err := program(ctx, home, nil, "sh", "-c", fmt.Sprintf("chown -R nobody %s && chmod 711 %s", home, w.dir)); err != nil {
			r.fail("settings", err)
			return
		}
	}
	// It starts to wait for the child that stores a message after it has started
	// it, and where the child was faster it gives up on the message after timeout,
	// though it is stored: the next run brings it once more.
	fetch := func() (out string, err error) {
		for range 10 {
			out, err = program(ctx, home, nil, command[0], command[1:]...)
			if err == nil || !strings.Contains(out, "timed out") {
				return out, err
			}
		}
		return out, err
	}
	if !r.step("retrieve", func() error {
		if _, err := fetch(); err != nil {
			return err
		}
		if err := once(dir); err != nil {
			return err
		}
		return w.sameInbox(ctx, a, dir, withoutGetmail, squeezed)
	}) {
		return
	}
	r.step("again", func() error { return unchanged(dir, fetch) })
}

var ownReturnPath = regexp.MustCompile(`\AReturn-Path: [^\n]*\n`)

// squeezed is what getmail keeps: it folds long lines of the header anew, and puts
// a Return-Path in place of the one that is there.
func squeezed(b []byte) []byte {
	return bytes.Join(bytes.Fields(ownReturnPath.ReplaceAll(b, nil)), nil)
}

// once leaves one file of each message.
func once(dir string) error {
	files, err := maildir(dir)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if seen[digest(b)] {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		seen[digest(b)] = true
	}
	return nil
}

var addedByGetmail = regexp.MustCompile(`(?m)\AReturn-Path: [^\n]*\n(X-getmail-retrieved-from-mailbox: INBOX\n\n)?|^X-getmail-retrieved-from-mailbox: INBOX\n`)

// withoutGetmail takes off the fields that getmail adds, and the empty line after
// them where the message had no header.
func withoutGetmail(b []byte) []byte { return addedByGetmail.ReplaceAll(b, nil) }

// runFetchmail fetches everything, and nothing the second time.
func runFetchmail(ctx context.Context, w *world, r *report) {
	home, err := w.home("fetchmail")
	if err != nil {
		r.fail("home", err)
		return
	}
	a := w.grace
	imap, _ := w.ports()
	got := filepath.Join(home, "got")
	rc := fmt.Sprintf(`set no bouncemail
set invisible
poll localhost service %s protocol IMAP
  user "%s" password "%s" is root here
  sslproto "TLS1+" sslcertck sslcertfile "%s"
  keep no rewrite no mimedecode
  mda "cat >> %s"
`, imap, a.Address, a.Password, w.caFile, got)
	if err := write(home, "fetchmailrc", rc); err != nil {
		r.fail("settings", err)
		return
	}
	fetch := func(args ...string) (string, error) {
		out, err := program(ctx, home, nil, "fetchmail", append([]string{"-f", filepath.Join(home, "fetchmailrc"), "-i", filepath.Join(home, "ids"), "--pidfile", filepath.Join(home, "pid"), "-v"}, args...)...)
		var ended *exec.ExitError
		if errors.As(err, &ended) && ended.ExitCode() == 1 { // RETURN VALUES: no mail was there
			err = nil
		}
		return out, err
	}
	subject := "news for fetchmail"
	if !r.step("fetch all", func() error {
		if err := w.deliver(ctx, a.Address, message("news@example.org", a.Address, subject, "hello")); err != nil {
			return err
		}
		if err := w.arrives(ctx, a, subject, "INBOX"); err != nil {
			return err
		}
		want, err := w.digests(ctx, a)
		if err != nil {
			return err
		}
		out, err := fetch("--all")
		if err != nil {
			return err
		}
		n := strings.Count(out, "not flushed")
		if b, err := os.ReadFile(got); err != nil || !bytes.Contains(b, []byte("Subject: "+subject)) || n != len(want) {
			return fmt.Errorf("%d of %d messages fetched, err %v\n%s", n, len(want), err, tail(out, 500))
		}
		return nil
	}) {
		return
	}
	r.step("seen", func() error { return w.keyword(ctx, a, subject, "$seen") })
	r.step("again", func() error {
		before, err := os.ReadFile(got)
		if err != nil {
			return err
		}
		if _, err := fetch(); err != nil {
			return err
		}
		after, err := os.ReadFile(got)
		if err == nil && !slices.Equal(before, after) {
			err = errors.New("it fetched something again")
		}
		return err
	})
}
