package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// runCurl lists, fetches, searches, appends and sends.
func runCurl(ctx context.Context, w *world, r *report) {
	home, err := w.home("curl")
	if err != nil {
		r.fail("home", err)
		return
	}
	imap, smtp := w.ports()
	a := w.ada
	curl := func(stdin []byte, path string, args ...string) (string, error) {
		return program(ctx, home, stdin, "curl", slices.Concat([]string{"-sS", "--ssl-reqd", "--cacert", w.caFile, "-u", a.Address + ":" + a.Password}, args, []string{path})...)
	}
	base := "imap://localhost:" + imap
	if !r.step("list", func() error {
		out, err := curl(nil, base+"/")
		if err == nil && (!strings.Contains(out, "INBOX") || !strings.Contains(out, `\Sent`)) {
			err = fmt.Errorf("no INBOX, or no special use: %s", out)
		}
		return err
	}) {
		return
	}
	r.step("fetch", func() error {
		want, err := w.digests(ctx, a)
		if err != nil {
			return err
		}
		for uid := 1; uid <= 5; uid++ {
			out, err := curl(nil, fmt.Sprintf("%s/INBOX;UID=%d", base, uid))
			if err != nil {
				return err
			}
			if _, ok := slices.BinarySearch(want, digest([]byte(out))); !ok {
				return fmt.Errorf("the bytes of UID %d are none of the provider's", uid)
			}
		}
		return nil
	})
	subject := "appended by curl"
	r.step("append", func() error {
		// It wants to know the length before it begins.
		if err := write(home, "appended", string(message(a.Address, w.grace.Address, subject, "an invoice, not a vo1ce"))); err != nil {
			return err
		}
		if _, err := curl(nil, base+"/INBOX", "-T", filepath.Join(home, "appended")); err != nil {
			return err
		}
		return w.arrives(ctx, a, subject, "INBOX")
	})
	r.step("search", func() error {
		out, err := curl(nil, base+"/INBOX", "-X", `UID SEARCH SUBJECT "ended by CURL" TEXT "nvoic"`)
		if err == nil && !regexp.MustCompile(`SEARCH \d+\s*$`).MatchString(out) {
			err = fmt.Errorf("found: %q", out)
		}
		return err
	})
	r.step("flag", func() error {
		if _, err := curl(nil, base+"/INBOX", "-X", "NOOP"); err != nil {
			return err
		}
		out, err := curl(nil, base+"/INBOX", "-X", `UID SEARCH SUBJECT "appended by curl"`)
		if err != nil {
			return err
		}
		uid := regexp.MustCompile(`\d+`).FindString(strings.TrimPrefix(out, "* SEARCH"))
		if _, err := curl(nil, base+"/INBOX", "-X", "UID STORE "+uid+` +FLAGS (\Flagged $Forwarded)`); err != nil {
			return err
		}
		return errors.Join(w.keyword(ctx, a, subject, "$flagged"), w.keyword(ctx, a, subject, "$forwarded"))
	})
	r.step("send", func() error {
		sent := "sent by curl"
		raw := message(a.Address, w.grace.Address, sent, "hello")
		if _, err := curl(raw, "smtp://localhost:"+smtp, "--mail-from", a.Address, "--mail-rcpt", w.grace.Address, "-T", "-"); err != nil {
			return err
		}
		return errors.Join(w.arrives(ctx, w.grace, sent, "INBOX"), w.arrives(ctx, a, sent, "SENT"))
	})
}

// runSwaks submits with both mechanisms, and is refused what it may not.
func runSwaks(ctx context.Context, w *world, r *report) {
	home, err := w.home("swaks")
	if err != nil {
		r.fail("home", err)
		return
	}
	_, smtp := w.ports()
	swaks := func(args ...string) (string, error) {
		return program(ctx, home, nil, "swaks", append([]string{"--server", "localhost:" + smtp, "--tls", "--tls-verify", "--tls-ca-path", w.caFile,
			"--auth-user", w.alan.Address, "--auth-password", w.alan.Password}, args...)...)
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		r.step("send "+mechanism, func() error {
			subject := "sent by swaks " + mechanism
			if _, err := swaks("--auth", mechanism, "--from", w.alan.Address, "--to", w.ada.Address, "--header", "Subject: "+subject); err != nil {
				return err
			}
			return errors.Join(w.arrives(ctx, w.ada, subject, "INBOX"), w.arrives(ctx, w.alan, subject, "SENT"))
		})
	}
	r.step("bcc", func() error {
		subject := "a blind copy by swaks"
		if _, err := swaks("--auth", "PLAIN", "--from", w.alan.Address, "--to", w.ada.Address+","+w.grace.Address, "--header", "Subject: "+subject, "--h-To", w.ada.Address); err != nil {
			return err
		}
		return errors.Join(w.arrives(ctx, w.ada, subject, "INBOX"), w.arrives(ctx, w.grace, subject, "INBOX"), w.arrives(ctx, w.alan, subject, "SENT"))
	})
	r.step("refused", func() error {
		out, err := swaks("--auth", "PLAIN", "--from", "somebody@else.example", "--to", w.ada.Address)
		if err == nil || !strings.Contains(out, "<** 550") && !strings.Contains(out, "<~* 550") {
			return fmt.Errorf("a foreign sender was not refused by 550: %v", err)
		}
		out, err = program(ctx, home, nil, "swaks", "--server", "localhost:"+smtp, "--tls", "--auth", "PLAIN", "--auth-user", w.alan.Address, "--auth-password", "wrong", "--from", w.alan.Address, "--to", w.ada.Address)
		if err == nil || !strings.Contains(out, "535") {
			return fmt.Errorf("a wrong password was not refused by 535: %v", err)
		}
		return nil
	})
}

// runMsmtp submits as a sendmail does.
func runMsmtp(ctx context.Context, w *world, r *report) {
	home, err := w.home("msmtp")
	if err != nil {
		r.fail("home", err)
		return
	}
	_, smtp := w.ports()
	rc := fmt.Sprintf("account default\nhost localhost\nport %s\nauth on\nuser %s\npassword %s\nfrom %s\ntls on\ntls_starttls on\ntls_trust_file %s\n",
		smtp, w.grace.Address, w.grace.Password, w.grace.Address, w.caFile)
	if err := write(home, "msmtprc", rc); err != nil {
		r.fail("settings", err)
		return
	}
	r.step("send", func() error {
		subject := "sent by msmtp"
		raw := message(w.grace.Address, w.alan.Address, subject, "hello")
		// The same message twice, as after a lost answer: it is sent once.
		for range 2 {
			if _, err := program(ctx, home, raw, "msmtp", "-C", filepath.Join(home, "msmtprc"), w.alan.Address); err != nil {
				return err
			}
		}
		return errors.Join(w.arrives(ctx, w.alan, subject, "INBOX"), w.arrives(ctx, w.grace, subject, "SENT"))
	})
}
