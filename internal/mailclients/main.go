// Command mailclients drives real mail programs against a running demo: they
// list, read, flag, move, search, send and are told of new mail, and what they
// have is compared with what the providers have. It is run by `make
// test-clients`, and prints program by step.
//
// It lists the packages that it needs, and installs those that are not there
// only after a yes, or with YES=1; without root it prints the line to run and
// exits with 2. A program that cannot run has failed, unless SKIP names it.
//
// Everything lies in a temporary folder, the programs' own settings too: each
// has a home of its own there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// client is one mail program.
type client struct {
	name string
	// commands are looked for on PATH, packages are Debian's that have them.
	commands, packages []string
	// modules are npm packages, with their versions.
	modules []string
	run     func(ctx context.Context, w *world, r *report)
}

// clients is every program, those first that change least of the accounts.
func clients() []client {
	return []client{
		{name: "curl", commands: []string{"curl"}, packages: []string{"curl"}, run: runCurl},
		{name: "mbsync", commands: []string{"mbsync"}, packages: []string{"isync"}, run: runMbsync},
		{name: "offlineimap", commands: []string{"offlineimap"}, packages: []string{"offlineimap3"}, run: runOfflineimap},
		{name: "getmail", commands: []string{"getmail"}, packages: []string{"getmail6"}, run: runGetmail},
		{name: "fetchmail", commands: []string{"fetchmail"}, packages: []string{"fetchmail"}, run: runFetchmail},
		{name: "swaks", commands: []string{"swaks"}, packages: []string{"swaks", "libnet-ssleay-perl"}, run: runSwaks},
		{name: "msmtp", commands: []string{"msmtp"}, packages: []string{"msmtp"}, run: runMsmtp},
		{name: "imapflow", commands: []string{"node", "npm"}, packages: []string{"nodejs", "npm"}, modules: []string{"imapflow@1.0.164"}, run: runImapflow},
		{name: "neomutt", commands: []string{"neomutt", "script"}, packages: []string{"neomutt", "bsdutils"}, run: runNeomutt},
		{name: "aerc", commands: []string{"aerc", "script"}, packages: []string{"aerc", "bsdutils"}, run: runAerc},
		{name: "thunderbird", commands: []string{"thunderbird"}, packages: []string{"thunderbird"}, run: runThunderbird},
	}
}

// errNotInstalled: what is needed is not here and was not installed.
var errNotInstalled = errors.New("packages are missing")

func main() {
	bin := flag.String("bin", "bin", "where Postern's programs are")
	mail := flag.String("mail", "", "a folder of mail for the first account's inbox; ../shared/corpus/mail where it is there")
	only := flag.String("only", os.Getenv("ONLY"), "run these programs alone, by commas")
	skip := flag.String("skip", os.Getenv("SKIP"), "do not run these programs, by commas")
	yes := flag.Bool("yes", os.Getenv("YES") == "1", "install what is missing without asking")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, *bin, *mail, words(*only), words(*skip), *yes)
	switch {
	case errors.Is(err, errNotInstalled):
		fmt.Fprintln(os.Stderr, "mailclients:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mailclients:", err)
		os.Exit(1)
	}
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// choose gives the programs that are to run. A wrong name is told those there
// are, and a choice of none is no success.
func choose(all []client, only, skip []string) ([]client, error) {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.name
	}
	for _, list := range []struct {
		setting string
		named   []string
	}{{"ONLY", only}, {"SKIP", skip}} {
		for _, name := range list.named {
			if !slices.Contains(names, name) {
				return nil, fmt.Errorf("%s: there is no program %q here; there are %s", list.setting, name, strings.Join(names, ", "))
			}
		}
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(c client) bool {
		return slices.Contains(skip, c.name) || (len(only) > 0 && !slices.Contains(only, c.name))
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("ONLY and SKIP leave no program of %s", strings.Join(names, ", "))
	}
	return chosen, nil
}

func run(ctx context.Context, bin, mail string, only, skip []string, yes bool) error {
	chosen, err := choose(clients(), only, skip)
	if err != nil {
		return err
	}
	modules, err := install(ctx, chosen, yes)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, bin, mail)
	if err != nil {
		return err
	}
	w.modules = modules
	defer w.stop()
	var table []*report
	for _, c := range chosen {
		r := &report{client: c.name}
		table = append(table, r)
		if !c.here() {
			r.fail("installed", errors.New("not on PATH, though its packages were asked for"))
			continue
		}
		fmt.Printf("\n%s\n", c.name)
		began := time.Now()
		limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
		c.run(limited, w, r)
		cancel()
		r.took = time.Since(began)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return printTable(os.Stdout, table, skip)
}
