package bolt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/storetest"
)

func TestStore(t *testing.T) { storetest.Run(t, backend(t)) }

// backend opens bolt stores under a key that a child process finds again.
func backend(t testing.TB) storetest.Backend {
	t.Helper()
	key, err := seal.ParseMasterKey(strings.Repeat("5a", seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Backend{
		Files: true,
		Open: func(dir string, now func() time.Time) (store.Store, error) {
			return bolt.Open(bolt.Options{Path: dir, Keyring: ring, Now: now})
		},
	}
}

func TestCrash(t *testing.T) { storetest.RunCrash(t, backend(t)) }
