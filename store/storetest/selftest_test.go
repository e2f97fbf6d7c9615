package storetest_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/storetest"
)

// notes is a T that takes notes.
type notes struct {
	*testing.T
	mu     sync.Mutex
	errors []string
	after  []func()
}

func (n *notes) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errors = append(n.errors, fmt.Sprintf(format, args...))
}

func (n *notes) Errorf(format string, args ...any) { n.note(format, args...) }

func (n *notes) Fatalf(format string, args ...any) {
	n.note(format, args...)
	runtime.Goexit()
}

func (n *notes) Logf(string, ...any) {}

func (n *notes) Cleanup(fn func()) { n.after = append(n.after, fn) }

// run runs a case and gives what it complained about.
func run(t *testing.T, b storetest.Backend, c storetest.Case) []string {
	n := &notes{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				n.note("panic: %v", p)
			}
			for i := len(n.after) - 1; i >= 0; i-- {
				n.after[i]()
			}
		}()
		storetest.RunCase(n, b, c)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		n.note("the case hangs")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.errors
}

func good(t *testing.T) storetest.Backend {
	t.Helper()
	key, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Backend{Files: true, Open: func(dir string, now func() time.Time) (store.Store, error) {
		return bolt.Open(bolt.Options{Path: dir, Keyring: ring, Now: now})
	}}
}

// TestSuiteCatchesBrokenStores breaks a good store in one way after the other;
// the case that is named must notice, and must not complain of the good one.
func TestSuiteCatchesBrokenStores(t *testing.T) {
	cases := map[string]storetest.Case{}
	for _, c := range storetest.Cases() {
		if _, twice := cases[c.Name]; twice {
			t.Errorf("two cases are called %q", c.Name)
		}
		cases[c.Name] = c
	}
	if len(cases) < 45 {
		t.Errorf("the suite has %d cases", len(cases))
	}
	var table strings.Builder
	for _, b := range brokenStores() {
		t.Run(b.how, func(t *testing.T) {
			c, ok := cases[b.caught]
			if !ok {
				t.Fatalf("there is no case %q", b.caught)
			}
			whole := good(t)
			if errs := run(t, whole, c); len(errs) > 0 {
				t.Fatalf("the good store fails %q: %s", b.caught, errs[0])
			}
			broken := whole
			broken.Open = func(dir string, now func() time.Time) (store.Store, error) {
				s, err := whole.Open(dir, now)
				if err != nil {
					return nil, err
				}
				return b.make(s), nil
			}
			errs := run(t, broken, c)
			if len(errs) == 0 {
				t.Errorf("%q did not notice", b.caught)
				return
			}
			first, _, _ := strings.Cut(errs[0], "\n")
			fmt.Fprintf(&table, "%-52s %-62s %s\n", b.how, b.caught, first[:min(len(first), 70)])
		})
	}
	t.Logf("\n%-52s %-62s %s\n%s", "BROKEN STORE", "CAUGHT BY", "FIRST WORDS", table.String())
}
