package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// invented is a layout two formats beyond this build's: three steps that visit
// every account, a few at a time, and note each visit.
func invented() *table.Layout {
	l := table.Current()
	visit := func(name string) func(*table.Tx, []byte) ([]byte, bool, error) {
		return func(tx *table.Tx, place []byte) ([]byte, bool, error) {
			some, err := tx.AccountsAfter(string(place), 3)
			if err != nil || len(some) == 0 {
				return nil, false, err
			}
			for _, a := range some {
				times, err := tx.Setting(name + "." + a.ID)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return nil, false, err
				}
				if err := tx.PutSetting(name+"."+a.ID, append(times, 'x')); err != nil {
					return nil, false, err
				}
			}
			return []byte(some[len(some)-1].ID), true, nil
		}
	}
	l.Steps = append(l.Steps,
		table.Step{From: l.Format, Name: "first", Run: visit("first")},
		table.Step{From: l.Format, Name: "second", Run: visit("second")},
		table.Step{From: l.Format + 1, Name: "third", Run: visit("third")})
	l.Format += 2
	return &l
}

const inventedAccounts = 10

// older makes a store of this build's format.
func older(t *testing.T, key seal.MasterKey) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, Options{Path: dir, Keyring: ring(t, key), Version: "v1.0.0"})
	err := s.Update(context.Background(), func(tx store.Tx) error {
		for i := range inventedAccounts {
			if err := tx.PutAccount(&store.Account{ID: fmt.Sprintf("a%02d", i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// visits reads what the steps have noted.
func visits(t *testing.T, s *Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.View(context.Background(), func(tx store.Tx) error {
		for _, step := range []string{"first", "second", "third"} {
			for i := range inventedAccounts {
				name := fmt.Sprintf("%s.a%02d", step, i)
				v, err := tx.Setting(name)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				out[name] = string(v)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func copyName(format uint64) string { return fmt.Sprint(fileName, ".format", format) }

func TestMigrationVisitsEverythingOnceAndKeepsACopy(t *testing.T) {
	key := newKey(t)
	dir := older(t, key)
	before := readFile(t, filepath.Join(dir, fileName))
	transactions := 0
	var said bytes.Buffer
	opts := Options{Path: dir, Keyring: ring(t, key), layout: invented(), migrated: func() { transactions++ }, Log: slog.New(slog.NewTextHandler(&said, nil))}
	s := open(t, opts)
	for name, times := range visits(t, s) {
		if times != "x" {
			t.Errorf("%s was visited %d times", name, len(times))
		}
	}
	if transactions < 12 {
		t.Errorf("only %d transactions: the steps are not bounded", transactions)
	}
	if !bytes.Equal(before, readFile(t, filepath.Join(dir, copyName(table.Format)))) {
		t.Error("the copy is not what the data was")
	}
	if !strings.Contains(said.String(), copyName(table.Format)) || !strings.Contains(said.String(), "the data is migrated") {
		t.Errorf("the operator was told: %s", &said)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Opening it again migrates nothing, and an older build refuses it.
	transactions = 0
	if err := open(t, opts).Close(); err != nil || transactions != 0 {
		t.Errorf("opened again: %d transactions, %v", transactions, err)
	}
	after := readFile(t, filepath.Join(dir, fileName))
	var newer *table.NewerError
	if _, err := Open(Options{Path: dir, Keyring: ring(t, key)}); !errors.As(err, &newer) {
		t.Errorf("an older build: %v", err)
	}
	if !bytes.Equal(after, readFile(t, filepath.Join(dir, fileName))) {
		t.Error("the older build has written")
	}
}

// TestGoingBackKeepsTheFirstCopy goes back to the copy, works on, and upgrades
// again.
func TestGoingBackKeepsTheFirstCopy(t *testing.T) {
	key := newKey(t)
	dir := older(t, key)
	upgraded := Options{Path: dir, Keyring: ring(t, key), layout: invented()}
	if err := open(t, upgraded).Close(); err != nil {
		t.Fatal(err)
	}
	first := readFile(t, filepath.Join(dir, copyName(table.Format)))
	if err := os.WriteFile(filepath.Join(dir, fileName), first, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Path: dir, Keyring: ring(t, key)})
	if err := s.Update(context.Background(), func(tx store.Tx) error { return put(tx, "since") }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	second := readFile(t, filepath.Join(dir, fileName))
	if err := open(t, upgraded).Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, readFile(t, filepath.Join(dir, copyName(table.Format)))) {
		t.Error("the first copy was overwritten")
	}
	if !bytes.Equal(second, readFile(t, filepath.Join(dir, copyName(table.Format)+"-2"))) {
		t.Error("the second copy is not what the data was")
	}
}

// migrateEnv tells a child process after which transaction to die.
const migrateEnv = "POSTERN_BOLT_TEST_MIGRATE"

// TestMigrationSurvivesAKillAfterEveryTransaction kills a child in the middle,
// at each transaction in turn, and lets another one go on.
func TestMigrationSurvivesAKillAfterEveryTransaction(t *testing.T) {
	if env := os.Getenv(migrateEnv); env != "" {
		migrateAndDie(t, env)
		return
	}
	key := newKey(t)
	template := older(t, key)
	original := readFile(t, filepath.Join(template, fileName))
	undisturbed := filepath.Join(t.TempDir(), "data")
	total := 0
	put := func(dir string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, fileName), original, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put(undisturbed)
	s := open(t, Options{Path: undisturbed, Keyring: ring(t, key), layout: invented(), migrated: func() { total++ }})
	want := visits(t, s)
	for kill := 1; kill <= total; kill++ {
		dir := filepath.Join(t.TempDir(), "data")
		put(dir)
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%s,%s", migrateEnv, kill, key.Encode().Reveal(), dir))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("the child was to be killed after transaction %d: %v\n%s", kill, err, out)
		}
		if kill < total {
			// In the middle, a build of before refuses it.
			var newer *table.NewerError
			if _, err := Open(Options{Path: dir, Keyring: ring(t, key)}); !errors.As(err, &newer) || newer.Version != "v1.0.0" {
				t.Errorf("killed after %d: the older build says %v", kill, err)
			}
		}
		rest := 0
		s := open(t, Options{Path: dir, Keyring: ring(t, key), layout: invented(), migrated: func() { rest++ }})
		if diff := cmp.Diff(want, visits(t, s)); diff != "" {
			t.Errorf("killed after %d (-undisturbed +killed):\n%s", kill, diff)
		}
		if kill+rest != total {
			t.Errorf("killed after %d: %d more transactions, an undisturbed migration has %d", kill, rest, total)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, fileName+".*"))
		if err != nil || len(names) != 1 || !bytes.Equal(original, readFile(t, names[0])) {
			t.Errorf("killed after %d: copies %v, %v; want one, of the original", kill, names, err)
		}
	}
}

func migrateAndDie(t *testing.T, env string) {
	part := strings.SplitN(env, ",", 3)
	left, err := strconv.Atoi(part[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseMasterKey(part[1])
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Path: part[2], Keyring: ring(t, key), layout: invented(), migrated: func() {
		if left--; left == 0 {
			p, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = p.Kill()
			}
			t.Log("kill:", err)
			select {}
		}
	}})
	t.Fatalf("not killed: %v", err)
}

// TestAKillWhileCopyingLeavesNoHalfCopy begins with what such a kill leaves.
func TestAKillWhileCopyingLeavesNoHalfCopy(t *testing.T) {
	key := newKey(t)
	dir := older(t, key)
	before := readFile(t, filepath.Join(dir, fileName))
	half := filepath.Join(dir, copyName(table.Format)+".part")
	if err := os.WriteFile(half, before[:len(before)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, Options{Path: dir, Keyring: ring(t, key), layout: invented()}).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half copy is still there: %v", err)
	}
	if !bytes.Equal(before, readFile(t, filepath.Join(dir, copyName(table.Format)))) {
		t.Error("the copy is not what the data was")
	}
}

// TestAStepThatFailsChangesNothing, and is tried again at the next start.
func TestAStepThatFailsChangesNothing(t *testing.T) {
	key := newKey(t)
	dir := older(t, key)
	l := invented()
	at := slices.IndexFunc(l.Steps, func(s table.Step) bool { return s.Name == "second" })
	run, calls := l.Steps[at].Run, 0
	l.Steps[at].Run = func(tx *table.Tx, place []byte) ([]byte, bool, error) {
		next, more, err := run(tx, place)
		if calls++; calls == 2 {
			err = errors.New("no such luck")
		}
		return next, more, err
	}
	if _, err := Open(Options{Path: dir, Keyring: ring(t, key), layout: l, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "second: no such luck") {
		t.Fatalf("a failing step: %v", err)
	}
	for name, times := range visits(t, open(t, Options{Path: dir, Keyring: ring(t, key), layout: invented()})) {
		if times != "x" {
			t.Errorf("%s was visited %d times", name, len(times))
		}
	}
}

func TestAMigrationThatNobodyKnowsIsRefused(t *testing.T) {
	key := newKey(t)
	dir := older(t, key)
	l := invented()
	at := len(l.Steps) - 1
	l.Steps[at].Run = func(*table.Tx, []byte) ([]byte, bool, error) { return nil, false, errors.New("stop") }
	if _, err := Open(Options{Path: dir, Keyring: ring(t, key), layout: l, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("not stopped")
	}
	l.Steps[at].Name = "renamed"
	if _, err := Open(Options{Path: dir, Keyring: ring(t, key), layout: l, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), `("third") that this Postern does not know`) {
		t.Errorf("an unknown step: %v", err)
	}
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("recipes")); return err })
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, filepath.Join(dir, fileName))
	if _, err := Open(Options{Path: dir, Keyring: ring(t, newKey(t))}); err == nil || !strings.Contains(err.Error(), "no data of Postern's") {
		t.Errorf("another program's database: %v", err)
	}
	if !bytes.Equal(before, readFile(t, filepath.Join(dir, fileName))) {
		t.Error("it was written to")
	}
}
