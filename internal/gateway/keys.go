package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/seal"
)

// ErrNoMasterKey is answered where the configuration leads to no key. It tells
// how to make one.
var ErrNoMasterKey = errors.New("no master key: run `postern keys generate FILE` and set master_key.file to FILE, " +
	"or put the key into the environment variable POSTERN_MASTER_KEY")

// SettingsError is an error of the settings, or of what they name: nothing was
// begun, and only whoever runs the gateway can mend it.
type SettingsError struct{ Err error }

func (e *SettingsError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong.
func (e *SettingsError) Unwrap() error { return e.Err }

// Keyring reads the master keys that the configuration names. Its errors are
// SettingsErrors.
func Keyring(ctx context.Context, cfg *config.Config, lookupEnv func(string) (string, bool)) (*seal.Keyring, error) {
	ring, err := readKeyring(ctx, cfg, lookupEnv)
	if err != nil {
		return nil, &SettingsError{err}
	}
	return ring, nil
}

func readKeyring(ctx context.Context, cfg *config.Config, lookupEnv func(string) (string, bool)) (*seal.Keyring, error) {
	var keys []seal.MasterKey
	add := func(k seal.MasterKey, err error, where string) error {
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		keys = append(keys, k)
		return nil
	}
	var err error
	mk := cfg.MasterKey
	value, set := "", false
	if mk.Env != "" {
		value, set = lookupEnv(mk.Env)
	}
	switch {
	case mk.File != "":
		k, kerr := seal.ReadMasterKey(mk.File)
		err = add(k, kerr, "master_key.file")
	case len(mk.Command) > 0:
		k, kerr := seal.MasterKeyFromCommand(ctx, mk.Command)
		err = add(k, kerr, "master_key.command")
	case set && value != "":
		k, kerr := seal.ParseMasterKey(value)
		err = add(k, kerr, "master_key.env "+mk.Env)
	default:
		err = ErrNoMasterKey
	}
	if err != nil {
		return nil, err
	}
	for _, name := range mk.Old {
		k, kerr := seal.ReadMasterKey(name)
		if err := add(k, kerr, "master_key.old"); err != nil {
			return nil, err
		}
	}
	return seal.NewKeyring(keys...)
}

func (g *Gateway) lookupEnv() func(string) (string, bool) {
	if g.opts.LookupEnv != nil {
		return g.opts.LookupEnv
	}
	return os.LookupEnv
}
