package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/store/bolt"
)

type appPasswordsCmd struct {
	List   appPasswordsListCmd   `cmd:"" help:"List app passwords and when they were used last."`
	Create appPasswordsCreateCmd `cmd:"" help:"Make an app password for a mail program; it is shown this once."`
	Revoke appPasswordsRevokeCmd `cmd:"" help:"End an app password and the connections that it opened."`
}

type appPasswordsListCmd struct {
	Account string `arg:"" optional:"" help:"An account's address or id; all without it."`
	JSON    bool   `help:"Print JSON."`
}

func (l appPasswordsListCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var rows []gateway.AppPasswordRow
	err = e.onStore(cfg, "GET", "/app-passwords?"+url.Values{"user": {l.Account}}.Encode(), &rows, func(s *bolt.Store) (err error) {
		rows, err = gateway.ListAppPasswords(e.ctx, gateway.Access(s), s, l.Account)
		return err
	})
	if err != nil {
		return err
	}
	if l.JSON {
		return e.printJSON(rows)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tNAME\tSCOPES\tHIDES\tLAST USED\tID")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.User, r.Name, strings.Join(r.Scopes, ","), cmp.Or(strings.Join(r.HideCaps, ","), "-"), local(r.LastUsedAt), r.ID)
	}
	return w.Flush()
}

type appPasswordsCreateCmd struct {
	Account string   `arg:"" help:"The account's address or id."`
	Name    string   `arg:"" help:"What the program is called."`
	Scope   []string `help:"What it may do: imap:read, imap, smtp. Without it imap and smtp." placeholder:"SCOPE"`
	Hide    []string `help:"A capability of IMAP that the program is not told of, such as IDLE; again for a second one." placeholder:"CAPABILITY"`
	JSON    bool     `help:"Print JSON."`
}

// Run prints what to type into the mail program.
func (c appPasswordsCreateCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var made gateway.AppPasswordRow
	in := gateway.AppPasswordInput{User: c.Account, Name: c.Name, Scopes: c.Scope, HideCaps: c.Hide}
	err = e.onStore(cfg, "POST", "/app-passwords?"+in.Query().Encode(), &made, func(s *bolt.Store) (err error) {
		made, err = gateway.CreateAppPassword(e.ctx, gateway.Access(s), in)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return e.printJSON(made)
	}
	for _, d := range typedDoors(cfg) {
		if !opens(made.Scopes, d.name) {
			continue
		}
		fmt.Fprintf(e.stdout, "%-9s %s\n", d.name, d.text)
	}
	fmt.Fprintf(e.stdout, "%-9s %s\n%-9s %s\n%-9s %s\n%-9s %s\n", "user", made.User, "password", made.Secret, "id", made.ID,
		"scopes", strings.Join(made.Scopes, ","))
	if len(made.HideCaps) > 0 {
		fmt.Fprintf(e.stdout, "%-9s %s\n", "hides", strings.Join(made.HideCaps, ","))
	}
	return nil
}

// opens reports whether an app password of these scopes (imap:read, imap, smtp)
// opens a door, IMAP or SMTP.
func opens(scopes []string, door string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool {
		kind, _, _ := strings.Cut(scope, ":")
		return strings.EqualFold(kind, door)
	})
}

type typedDoor struct{ name, text string }

// typedDoors are the doors for mail programs, as they are typed into one.
func typedDoors(cfg *config.Config) []typedDoor {
	var out []typedDoor
	for _, d := range []struct{ name, listen, security string }{
		{"IMAP", cfg.IMAP.Listen, "STARTTLS"}, {"IMAP", cfg.IMAP.ListenTLS, "TLS"},
		{"SMTP", cfg.SMTP.Listen, "STARTTLS"}, {"SMTP", cfg.SMTP.ListenTLS, "TLS"},
	} {
		host, port, err := net.SplitHostPort(d.listen)
		if err != nil {
			continue // shut
		}
		if host == "" || host == "0.0.0.0" || host == "::" {
			host = cfg.Public().Hostname()
		}
		out = append(out, typedDoor{d.name, fmt.Sprintf("%s  port %s  %s", host, port, d.security)})
	}
	return out
}

type appPasswordsRevokeCmd struct {
	ID string `arg:"" help:"The app password, as list shows it."`
}

func (c appPasswordsRevokeCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	if c.ID == "" {
		return usageError{errors.New("app-passwords revoke: the id is empty; app-passwords list shows them")}
	}
	var gone gateway.AppPasswordRow
	err = e.onStore(cfg, "POST", "/app-passwords/"+pathID(c.ID)+"/revoke", &gone, func(s *bolt.Store) (err error) {
		gone, err = gateway.RevokeAppPassword(e.ctx, gateway.Access(s), c.ID)
		return err
	})
	if err == nil {
		fmt.Fprintf(e.stdout, "App password %s (%s) is revoked.\n", gone.ID, gone.Name)
	}
	return err
}
