package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/internal/gateway"
)

// demoLogin is what to type into a mail program.
type demoLogin struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	// Security is STARTTLS; without TLS (none) works from this machine, too.
	Security string `json:"security"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// keepAuthority fetches the certificate authority that mail programs are told
// to trust.
func (d *demo) keepAuthority(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.http+"/ca.pem", nil)
	if err != nil {
		return err
	}
	resp, err := d.client.http.Do(req)
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	block, _ := pem.Decode(raw)
	if resp.StatusCode != http.StatusOK || block == nil {
		return errors.New("certificate authority: the gateway answered " + resp.Status)
	}
	d.info.CAFile, d.fingerprint = d.path("ca.pem"), gateway.Fingerprint(block.Bytes)
	return os.WriteFile(d.info.CAFile, raw, 0o644)
}

// demoPassword is what the demo's app passwords are called.
const demoPassword = "demo"

// makePasswords sees that each account has one app password of ours: the one of
// the demo before, which mail programs may have been given, or a new one.
func (d *demo) makePasswords(ctx context.Context) error {
	d.info.IMAP, d.info.SMTP, d.info.AppPasswords = &d.imap, &d.smtp, map[string]string{}
	for i := range d.info.Accounts {
		a := &d.info.Accounts[i]
		secret, err := d.password(ctx, a.ID)
		if err != nil {
			return fmt.Errorf("an app password for %s: %w", a.Address, err)
		}
		d.info.AppPasswords[a.Address] = secret
		for login, addr := range map[*demoLogin]string{&a.IMAP: d.imap, &a.SMTP: d.smtp} {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return err
			}
			number, err := strconv.Atoi(port)
			if err != nil {
				return err
			}
			*login = demoLogin{Host: host, Port: number, Security: "STARTTLS", User: a.Address, Password: secret}
		}
	}
	return nil
}

// password gives the account's app password. Those of ours whose secret nobody
// knows any more are revoked.
func (d *demo) password(ctx context.Context, account string) (string, error) {
	var former struct {
		Account struct {
			AppPasswords []struct{ ID, Name string }
		}
	}
	if err := d.client.do(ctx, `query($id: ID!) { account(id: $id) { appPasswords { id name } } }`, map[string]any{"id": account}, &former); err != nil {
		return "", fmt.Errorf("list: %w", err)
	}
	kept, known := d.kept.AppPasswords[account], false
	for _, p := range former.Account.AppPasswords {
		switch {
		case p.ID == kept.ID:
			known = true
		case p.Name == demoPassword:
			var revoked struct{ RevokeAppPassword string }
			if err := d.client.do(ctx, `mutation($id: ID!) { revokeAppPassword(id: $id) }`, map[string]any{"id": p.ID}, &revoked); err != nil {
				return "", fmt.Errorf("revoke: %w", err)
			}
		}
	}
	if known {
		return kept.Secret, nil
	}
	var made struct {
		CreateAppPassword struct {
			AppPassword struct{ ID string }
			Password    string
		}
	}
	err := d.client.do(ctx, `mutation($in: CreateAppPasswordInput!) { createAppPassword(input: $in) { appPassword { id } password } }`,
		map[string]any{"in": map[string]any{"account": account, "name": demoPassword}}, &made)
	if err != nil {
		return "", fmt.Errorf("make: %w", err)
	}
	secret := made.CreateAppPassword.Password
	d.kept.AppPasswords[account] = demoSecret{ID: made.CreateAppPassword.AppPassword.ID, Secret: secret}
	return secret, d.remember()
}

// programs tells what to type into a mail program.
func (d *demo) programs(show func(string) string) string {
	if len(d.info.Accounts) == 0 {
		return ""
	}
	var b strings.Builder
	first := d.info.Accounts[0]
	fmt.Fprintf(&b, "Any mail program:\n\n")
	fmt.Fprintf(&b, "  IMAP       %s  port %d  STARTTLS, or no encryption\n", first.IMAP.Host, first.IMAP.Port)
	fmt.Fprintf(&b, "  SMTP       %s  port %d  STARTTLS, or no encryption\n", first.SMTP.Host, first.SMTP.Port)
	for _, a := range d.info.Accounts {
		fmt.Fprintf(&b, "  user       %s  password  %s\n", a.Address, a.IMAP.Password)
	}
	fmt.Fprintf(&b, "  trust      %s  (%s/ca.pem)\n  SHA-256    %s\n", show(d.info.CAFile), "http://"+d.http, d.fingerprint)
	return b.String()
}
