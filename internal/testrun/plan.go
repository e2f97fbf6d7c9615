package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// job is one `go test`.
type job struct {
	race      bool
	run, skip string // patterns of tests, empty for all
	packages  []string
}

// slow are the packages that take longest, the slowest first.
func slow() []string {
	return []string{
		"internal/e2e", "plugins/outlook", "store/bolt", "internal/outbox", "plugins/gmail", "internal/bench",
		"plugins/sdk/providertest", "cmd/postern", "internal/webhook", "internal/sandbox/microsoft/graph",
		"internal/sandbox/google/gmail", "internal/textindex", "bridge/smtpd", "internal/submission",
		"internal/mailbox", "bridge/imapd/session", "internal/pluginhost", "internal/mime", "internal/arch",
	}
}

// plain are the packages that the race detector has nothing to see in. Those that
// read files and mail have no second goroutine. The end-to-end tests and the
// measurements run programs, which are built without it; the gateway that TestCrowd
// crowds is built with it all the same (POSTERN_TEST_RACED), and what the sandbox
// does at once its own tests and those of the plugins show it.
func plain() []string {
	return []string{"internal/e2e", "internal/bench", "internal/mime", "internal/arch"}
}

// sequential are tests that do one thing after another with much data, which takes
// several times as long with the race detector and shows it nothing: mail that is
// read and searched, a backlog, and databases that are damaged, cut and migrated.
// The rest of their packages it sees. A test that shares its name with another of
// these packages goes with it.
func sequential() (packages []string, tests string) {
	return []string{
			"internal/sandbox/microsoft/graph", "internal/sandbox/google/gmail", "plugins/gmail", "plugins/outlook", "store/bolt", "internal/outbox",
			"internal/textindex", "store/table",
		}, "^(" + strings.Join([]string{
			"TestCorpus", "TestCorpusServed", "TestRealMail", "TestRealMailComesBackAsItWas", "TestAppendLarge",
			"TestPowerCuts", "TestPowerCutsInAMigration", "TestPowerCutsAreCaught", "TestPowerCutsAtTheFirstStart",
			"TestSampleMigrationSurvivesAKillAfterEveryTransaction", "TestMigrationSurvivesAKillAfterEveryTransaction",
			"TestVerifyFindsWhatIsWrong", "TestRandomDamageNeverPanics", "TestBacklogOfADeadEndpoint",
			"TestCompact", "TestInterruptedFold", "TestSegmentsFillUp", "TestEqualsScan", "TestCharsets", "TestPackedRowsAreRows",
		}, "|") + ")$"
}

// plan divides the tests into jobs. The chains run beside each other, the jobs of
// a chain one after another. Without the race detector it is one job.
func plan(packages []string, race bool) (chains [][]job) {
	packages = ordered(packages)
	if !race {
		return [][]job{{{packages: packages}}}
	}
	some, tests := sequential()
	var without, divided, raced []string
	for _, pkg := range packages {
		switch {
		case isOne(pkg, plain()):
			without = append(without, pkg)
		case isOne(pkg, some):
			divided = append(divided, pkg)
		default:
			raced = append(raced, pkg)
		}
	}
	chain := func(jobs ...job) {
		if jobs = slices.DeleteFunc(jobs, func(j job) bool { return len(j.packages) == 0 }); len(jobs) > 0 {
			chains = append(chains, jobs)
		}
	}
	chain(job{packages: without})
	chain(job{race: true, skip: tests, packages: divided}, job{run: tests, packages: divided}, job{race: true, packages: raced})
	return chains
}

// args are those of the go command. Two packages of a chain run at once on two
// processors: most wait for something now and then.
func (j job) args() []string {
	args := []string{"test", "-json", "-timeout", "9m", "-vet=off", fmt.Sprintf("-p=%d", runtime.NumCPU())}
	if j.race {
		args = append(args, "-race")
	}
	if j.run != "" {
		args = append(args, "-run="+j.run)
	}
	if j.skip != "" {
		args = append(args, "-skip="+j.skip)
	}
	return append(args, j.packages...)
}

// env is what the go command gets beside the environment.
func (j job) env(race bool, options string) []string {
	switch {
	case j.race:
		return []string{"CGO_ENABLED=1", "GORACE=" + raceOptions(options)}
	case race: // as the programs of the end-to-end tests are built
		return []string{"CGO_ENABLED=0", "POSTERN_TEST_RACED=1", "GORACE=" + raceOptions(options)}
	}
	return nil
}

// isOne reports whether a package is among some, which are named from the
// module's root.
func isOne(pkg string, some []string) bool {
	return slices.ContainsFunc(some, func(s string) bool { return strings.HasSuffix(pkg, "postern/"+s) })
}
