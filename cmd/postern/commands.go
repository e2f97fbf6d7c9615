package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/gateway"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store/bolt"
)

type keysCmd struct {
	Generate keysGenerateCmd `cmd:"" help:"Make a master key."`
	Admin    keysAdminCmd    `cmd:"" help:"Make a new admin API key; the gateway may run."`
	Rotate   keysRotateCmd   `cmd:"" help:"Wrap everything under the first master key; the gateway may run."`
}

type keysGenerateCmd struct {
	File string `arg:"" help:"The file to write, with mode 0600. It must not exist."`
}

func (k keysGenerateCmd) Run(e *env) error {
	key, err := seal.GenerateMasterKey()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(k.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write master key: %w", err)
	}
	_, err = fmt.Fprintln(f, key.Encode().Reveal())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write master key: %w", err)
	}
	fmt.Fprintf(e.stdout, "A master key (id %s) is in %s. Keep a copy apart from the data: without it nothing can be read.\n", key.ID(), k.File)
	return nil
}

type keysAdminCmd struct {
	Rotate bool `help:"Make one although admin.key is there. The former key stops working at once."`
}

// Run makes a new admin key, in admin.key of the data folder: it is not shown.
func (k keysAdminCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	file := gateway.AdminKeyFile(cfg)
	if _, err := os.Lstat(file); err == nil && !k.Rotate {
		return usageError{fmt.Errorf("%s is there; with --rotate a new key takes its place, and the former one stops working at once", file)}
	}
	var made gateway.AdminKey
	err = e.onStore(cfg, "POST", "/keys/admin", &made, func(s *bolt.Store) (err error) {
		made, err = gateway.RenewAdminKey(e.ctx, cfg, s)
		return err
	})
	if err == nil {
		fmt.Fprintf(e.stdout, "A new admin key is in %s. The former one does not work any more.\n", made.File)
	}
	return err
}

type keysRotateCmd struct{}

func (keysRotateCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var r gateway.Rotated
	keys, err := gateway.Keyring(e.ctx, cfg, os.LookupEnv)
	if err != nil {
		return usageError{err}
	}
	err = e.onStore(cfg, "POST", "/keys/rotate?key="+keys.IDs()[0], &r, func(s *bolt.Store) (err error) {
		r, err = gateway.RotateKeys(e.ctx, s)
		return err
	})
	if err == nil {
		fmt.Fprintf(e.stdout, "%d keys are wrapped under the first master key. Former keys can be taken out of master_key.old.\n", r.Keys)
	}
	return err
}

// onStore asks the running gateway, and where none runs does the work itself.
func (e *env) onStore(cfg *config.Config, method, path string, out any, self func(*bolt.Store) error) error {
	err := gateway.Call(e.ctx, cfg, method, path, out)
	if !errors.Is(err, gateway.ErrNotRunning) {
		return err
	}
	s, err := gateway.OpenStore(e.ctx, cfg, os.LookupEnv, e.logger(cfg.Log), version())
	if err != nil {
		return err
	}
	return errors.Join(self(s), s.Close())
}

type accountsCmd struct {
	List accountsListCmd `cmd:"" help:"List the connected accounts."`
}

type accountsListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (a accountsListCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	var rows []gateway.AccountRow
	err = e.onStore(cfg, "GET", "/accounts", &rows, func(s *bolt.Store) (err error) {
		rows, err = gateway.ListAccounts(e.ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	if a.JSON {
		return e.printJSON(rows)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tPROVIDER\tSTATE\tMESSAGES\tLAST SYNC\tID\tNOTE")
	for _, r := range rows {
		synced := "never"
		if !r.SyncedAt.IsZero() {
			synced = r.SyncedAt.Local().Format(time.DateTime)
		}
		// A sentence, so it comes last and widens no column.
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Address, r.Provider, r.State, r.Messages, synced, r.ID, cmp.Or(r.Reason, r.Ends))
	}
	return w.Flush()
}

func (e *env) printJSON(v any) error {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
