package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/store/bolt"
)

// sampleKillEnv tells a child process which sample to migrate and after which
// transaction to die.
const sampleKillEnv = "POSTERN_BOLT_TEST_SAMPLE_KILL"

// migrateSample opens a sample's data and calls each after every transaction
// of its migration.
func migrateSample(t *testing.T, data string, each func()) *bolt.Store {
	t.Helper()
	opts := bolt.Migrated(sampleOptions(t, data, sampleTime), each)
	opts.Log = slog.New(slog.DiscardHandler)
	s, err := bolt.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSampleMigrationSurvivesAKillAfterEveryTransaction kills the migration of
// the oldest sample at each of its transactions in turn.
func TestSampleMigrationSurvivesAKillAfterEveryTransaction(t *testing.T) {
	if env := os.Getenv(sampleKillEnv); env != "" {
		var left int
		at, data, _ := strings.Cut(env, ",")
		if _, err := fmt.Sscan(at, &left); err != nil {
			t.Fatal(err)
		}
		migrateSample(t, data, func() {
			if left--; left == 0 {
				p, err := os.FindProcess(os.Getpid())
				t.Log("kill:", errors.Join(err, p.Kill()))
				select {}
			}
		})
		t.Fatal("not killed")
	}
	data, holds := unpackSample(t, 1)
	fresh := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(fresh, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(filepath.Join(data, "postern.db"))
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	s := migrateSample(t, data, func() { total++ })
	undisturbed := dumpSample(t, s)
	verified(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if total < 4 {
		t.Fatalf("the migration is %d transactions", total)
	}
	for kill := 1; kill <= total; kill++ {
		data := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(data, os.DirFS(fresh)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%s", sampleKillEnv, kill, data))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("the child was to be killed after transaction %d: %v\n%s", kill, err, out)
		}
		s := migrateSample(t, data, nil)
		missing(t, holds, dumpSample(t, s))
		missing(t, undisturbed, dumpSample(t, s))
		verified(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(filepath.Join(data, "postern.db.format1"))
		if err != nil || !bytes.Equal(kept, original) {
			t.Errorf("killed after %d: the copy is not the original, %v", kill, err)
		}
	}
}

// verified checks a sample's store. What its submissions were to send was
// never in sample 1.
func verified(t *testing.T, s *bolt.Store) {
	t.Helper()
	r, err := s.Verify(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if !strings.HasPrefix(p, "blob ") || !strings.HasSuffix(p, "not found in the store") {
			t.Error(p)
		}
	}
	if r.Records < 200 {
		t.Errorf("only %d records were read", r.Records)
	}
}
