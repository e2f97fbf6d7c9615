package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
)

// cli is every command and flag; the doc tags are the help.
type cli struct {
	Config string   `short:"c" help:"The YAML file with the settings." type:"path" placeholder:"FILE"`
	Set    []string `help:"Set one setting: --set http.listen=127.0.0.1:9000." placeholder:"PATH=VALUE" sep:"none"`

	Serve        serveCmd        `cmd:"" help:"Run the gateway."`
	Demo         demoCmd         `cmd:"" help:"Run everything at once with a sandbox in place of the providers."`
	CheckConfig  checkConfigCmd  `cmd:"" help:"Check the settings and say what is wrong with them."`
	Keys         keysCmd         `cmd:"" help:"Make and rotate keys."`
	Accounts     accountsCmd     `cmd:"" help:"Look at the connected accounts."`
	AppPasswords appPasswordsCmd `cmd:"" help:"Make, list and revoke app passwords, by which mail programs get in."`
	Endpoints    endpointsCmd    `cmd:"" help:"Look at endpoints of webhooks; enable and disable them."`
	Deliveries   deliveriesCmd   `cmd:"" help:"Look at deliveries of webhooks and make them again."`
	Plugins      pluginsCmd      `cmd:"" help:"Look at provider plugins and test them."`
	Graphql      graphqlCmd      `cmd:"" help:"Run a GraphQL query against the running gateway."`
	Health       healthCmd       `cmd:"" help:"Ask the running gateway how it is; exits with 1 where it is not well."`
	Backup       backupCmd       `cmd:"" help:"Write a backup of the data to a file; the gateway may run."`
	Restore      restoreCmd      `cmd:"" help:"Make the data folder from a backup; the gateway must not run."`
	Verify       verifyCmd       `cmd:"" help:"Read all data and say what is wrong with it; the gateway may run."`
	Export       exportCmd       `cmd:"" help:"Print events or dead letters as lines of JSON; the gateway may run."`
	Version      versionCmd      `cmd:"" help:"Print the version."`

	DemoReceiver receiverCmd `cmd:"" hidden:""`
}

// env is what a command works with.
type env struct {
	ctx    context.Context
	cli    *cli
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error of the caller's, not of the work.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// run is main without os.Exit.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("postern"),
		kong.Description("A self-hosted mail gateway: every mailbox behind one door."),
		kong.Writers(stdout, stderr), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(stderr, "postern:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(stderr, "postern:", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{ctx: ctx, cli: &c, stdin: stdin, stdout: stdout, stderr: stderr}
	if err := kctx.Run(e); err != nil {
		fmt.Fprintln(stderr, "postern:", err)
		if errors.Is(err, gateway.ErrNoMasterKey) && c.Config == "" {
			fmt.Fprintln(stderr, "postern: no settings were named: -c FILE names them, for the demo's it is -c .demo/postern.yaml")
		}
		var u usageError
		var s *gateway.SettingsError
		if errors.As(err, &u) || errors.As(err, &s) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// config reads the settings from file, environment and flags.
func (e *env) config() (*config.Config, error) {
	cfg, err := config.Load(e.cli.Config, os.Environ(), e.cli.Set)
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// logger logs as configured, to stderr.
func (e *env) logger(cfg config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked when the settings were read
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(e.stderr, opts))
}

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "postern", version())
	return err
}

// built is the version that the build was told of:
// -ldflags "-X main.built=v1.2.3".
var built string

// version is what the build was told of, else the module's version as Go knows
// it, else the commit that was built.
func version() string {
	if built != "" {
		return built
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return "devel"
	}
	v := "devel-" + revision[:min(12, len(revision))]
	if settings["vcs.modified"] == "true" {
		v += "+dirty"
	}
	return v
}
