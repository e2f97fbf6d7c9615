// Package bolttest opens stores for tests: each in a folder and under a key of
// its own, closed at the test's end. A close that fails fails the test.
package bolttest

import (
	"testing"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store/bolt"
)

// Open opens an empty store. change may change its options.
func Open(t testing.TB, change ...func(*bolt.Options)) *bolt.Store {
	t.Helper()
	o := bolt.Options{Path: t.TempDir(), Keyring: Keyring(t)}
	for _, c := range change {
		c(&o)
	}
	st, err := bolt.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return st
}

// Keyring is one with a new master key.
func Keyring(t testing.TB) *seal.Keyring {
	t.Helper()
	key, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
