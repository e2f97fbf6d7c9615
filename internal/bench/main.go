package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role))
	}
	b := &bench{out: os.Stdout, log: os.Stderr}
	only := flag.String("only", "", "measure these groups alone: "+strings.Join(names(), ", "))
	flag.IntVar(&b.runs, "runs", 5, "how many runs of path and reference alternate")
	flag.IntVar(&b.messages, "messages", 10_000, "how many messages the mailbox has that mail programs read")
	flag.BoolVar(&b.quick, "quick", false, "a few operations only: shows that everything works, and measures nothing")
	flag.StringVar(&b.dir, "dir", "bin", "a folder on the disk to measure with")
	flag.BoolVar(&b.keep, "keep", false, "keep the folder with stores and logs, and log everything")
	flag.StringVar(&b.profile, "profile", "", "write a processor profile of the bench itself, where outbox and store run")
	flag.Parse()
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// As the gateway does: the outbox rows run here, and so do their references.
	floor := make([]byte, 32<<20)
	defer runtime.KeepAlive(floor)
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// group is rows that are measured together.
type group struct {
	name  string
	about string
	fn    func(context.Context, *bench) ([]row, error)
}

// groups lists what is measured.
func groups() []group {
	return []group{
		{"outbox", "journalled events on their way to an endpoint", outboxRows},
		{"hang", "a healthy endpoint beside 200 that hang", hangRows},
		{"recovery", "a backlog after an outage", recoveryRows},
		{"notification", "a notification on its way to a webhook and a subscriber", notificationRows},
		{"sync", "the first sync of an account", syncRows},
		{"units", "first sync and notification at a provider that counts units", unitsRows},
		{"list", "a list of mail by GraphQL", listRows},
		{"growth", "new mail in mailboxes of several sizes", growthRows},
		{"idle", "memory of accounts where nothing happens", idleRows},
		{"death", "a plugin that dies", deathRows},
		{"rate", "new mail of one account with a slow provider", rateRows},
		{"imap", "mail programs over IMAP, beside Dovecot", imapRows},
	}
}

func names() []string {
	var all []string
	for _, g := range groups() {
		all = append(all, g.name)
	}
	return all
}

// bench is one call of the command.
type bench struct {
	out, log io.Writer
	only     []string
	runs     int
	quick    bool
	keep     bool
	dir      string
	profile  string

	// messages is how many the mailbox of the imap group has.
	messages int

	scratch string
	bin     string // where our programs are
	sink    *sink
	folders int
}

func (b *bench) run(ctx context.Context) (err error) {
	for _, name := range b.only {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("there is no group %q, only %s", name, strings.Join(names(), ", "))
		}
	}
	if b.quick {
		b.runs = 1
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp(b.dir, "bench-"); err != nil {
		return err
	}
	if b.scratch, err = filepath.Abs(b.scratch); err != nil {
		return err
	}
	defer func() {
		if !b.keep {
			err = errors.Join(err, os.RemoveAll(b.scratch))
		}
	}()
	if err := b.describeMachine(); err != nil {
		return err
	}
	if b.sink, err = startSink(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sink.stop()) }()
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var all []row
	for _, g := range groups() {
		if len(b.only) > 0 && !slices.Contains(b.only, g.name) {
			continue
		}
		fmt.Fprintf(b.log, "measuring %s: %s\n", g.name, g.about)
		rows, err := g.fn(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		all = append(all, rows...)
	}
	return printTable(b.out, all)
}

// count is how many operations to measure: want, or a few when quick.
func (b *bench) count(want, few int) int {
	if b.quick {
		return few
	}
	return want
}

// folder makes an empty folder for a store.
func (b *bench) folder() (string, error) {
	b.folders++
	dir := filepath.Join(b.scratch, fmt.Sprintf("%03d", b.folders))
	return dir, os.Mkdir(dir, 0o700)
}
