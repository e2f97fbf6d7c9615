// Package program is the command line of postern-sandbox.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"

	"github.com/postern-mail/postern/internal/sandbox"
)

// flags are the program's. Their defaults are those of the documentation.
type flags struct {
	Microsoft string `help:"Address of the stand-in for Microsoft (https)." default:"${microsoft}" placeholder:"HOST:PORT"`
	Google    string `help:"Address of the stand-in for Google (http)." default:"${google}" placeholder:"HOST:PORT"`
	Control   string `help:"Address of the control API and its page." default:"${control}" placeholder:"HOST:PORT"`
	SMTP      string `name:"smtp" help:"Address that takes mail by SMTP." default:"${smtp}" placeholder:"HOST:PORT"`
	Ports     string `help:"Ports to listen on: those given, a free (spare) one where one is taken, or free ones." enum:"given,spare,free" default:"given"`

	Mail   string   `help:"Folder of .eml and mbox files that becomes the first user's inbox." type:"existingdir" placeholder:"DIR"`
	User   []string `help:"User that exists from the start, instead of Ada, Grace and Alan; one whose domain begins with gmail. or googlemail. is a Google one; may be repeated." placeholder:"ADDRESS"`
	NoSeed bool     `help:"Leave the mailboxes empty."`
	Seed   uint64   `help:"Seed of everything random." default:"1"`

	State     string `help:"Folder that keeps the world from one run to the next." type:"path" placeholder:"DIR"`
	CAOut     string `name:"ca-out" help:"Write the certificate authority there." type:"path" placeholder:"FILE"`
	ReadyFile string `help:"Write the addresses there as JSON once all of them listen; removed at the end." type:"path" placeholder:"FILE"`

	RedirectURI            []string      `name:"redirect-uri" help:"Redirect URI of the default apps of both clouds; may be repeated." placeholder:"URL"`
	NotifyCA               string        `name:"notify-ca" help:"Certificate authority trusted for notification URLs, beside the system's." type:"existingfile" placeholder:"FILE"`
	AllowHTTPNotifications bool          `name:"allow-http-notifications" help:"Take notification URLs without https."`
	TokenLifetime          time.Duration `help:"Lifetime of access tokens." default:"1h"`
	StrictRotation         bool          `help:"Make a refresh token of Microsoft worthless once it was used."`
	GoogleUnits            int64         `help:"Quota units that an app may spend on one Gmail user in a minute; -1: any number." default:"6000" placeholder:"N"`
	GoogleNotifyEvery      time.Duration `help:"How often a watch at Google is told of changes at most; what is more is dropped. -1s for every one." default:"1s"`

	ParentPipe bool   `help:"End when standard input does: no sandbox outlives the program that started it."`
	LogLevel   string `help:"Log from this level on: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
}

// Main runs the sandbox until ctx ends and returns the exit code: 0 when it
// was asked to stop, 1 when something broke, 2 for a wrong command line.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "deliver" {
		return deliver(ctx, args[1:], stdin, stdout, stderr)
	}
	var f flags
	exited := -1
	parser, err := kong.New(&f, kong.Name("postern-sandbox"), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.Description("A stand-in for Microsoft and Google mail on this machine: sign-in, mailboxes, push notifications, SMTP. `postern-sandbox deliver` puts a message into a running one."),
		kong.Vars{"microsoft": sandbox.DefaultMicrosoft, "google": sandbox.DefaultGoogle, "control": sandbox.DefaultControl, "smtp": sandbox.DefaultSMTP})
	if err != nil {
		fmt.Fprintln(stderr, "postern-sandbox:", err)
		return 1
	}
	_, err = parser.Parse(args)
	switch {
	case exited >= 0: // --help
		return exited
	case err != nil:
		fmt.Fprintln(stderr, "postern-sandbox:", err)
		return 2
	}
	if err := f.run(ctx, stdin, stderr); err != nil {
		fmt.Fprintln(stderr, "postern-sandbox:", err)
		return 1
	}
	return 0
}

func (f *flags) run(ctx context.Context, stdin io.Reader, stderr io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		return fmt.Errorf("log level: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.ParentPipe {
		go func() {
			// Ends with the pipe, and so with the parent however that ends.
			// It cannot be stopped otherwise, and lives as long as the program.
			_, _ = io.Copy(io.Discard, stdin)
			cancel()
		}()
	}
	opts := sandbox.Options{
		Microsoft: f.Microsoft, Google: f.Google, Control: f.Control, SMTP: f.SMTP, Ports: sandbox.Ports(f.Ports), Mail: f.Mail, NoSeed: f.NoSeed, Seed: f.Seed,
		StateDir: f.State, CAFile: f.CAOut, NotifyCAFile: f.NotifyCA, AllowHTTPNotifications: f.AllowHTTPNotifications,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	}
	for _, address := range f.User {
		opts.Users = append(opts.Users, sandbox.User{Cloud: sandbox.CloudOf(address), Address: address})
	}
	opts.Settings.RedirectURIs = f.RedirectURI
	opts.GoogleSettings.RedirectURIs = f.RedirectURI
	opts.Settings.Identity.AccessTokenLifetime = f.TokenLifetime
	if f.TokenLifetime != time.Hour { // Google's hour has a second less
		opts.GoogleSettings.OAuth.AccessTokenLifetime = f.TokenLifetime
	}
	opts.Settings.Identity.StrictRotation = f.StrictRotation
	quota := &opts.GoogleSettings.Mail.Quota
	if quota.UserUnits = f.GoogleUnits; f.GoogleUnits < 0 {
		quota.ProjectUnits, quota.DailyUnits = -1, -1
	}
	opts.GoogleSettings.Mail.NotifyEvery = f.GoogleNotifyEvery
	s, err := sandbox.Start(ctx, opts)
	if err != nil {
		return err
	}
	if f.ReadyFile != "" {
		if err := writeReady(f.ReadyFile, s.State()); err != nil {
			return errors.Join(err, s.Close())
		}
		defer func() { _ = os.Remove(f.ReadyFile) }() // a caller may have removed it
	}
	return s.Wait()
}

// writeReady renames the file into place, so that whoever waits for it never
// reads half of it.
func writeReady(path string, state sandbox.State) error {
	text, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ready-*")
	if err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the ready file: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
