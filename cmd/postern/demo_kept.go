package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// demoKept is kept.json: what a demo with --keep must remember for the next and
// can ask nobody for. It lies beside the data and the key that opens them, so
// it tells nobody more than they do.
type demoKept struct {
	// AppPasswords are by the account's id.
	AppPasswords map[string]demoSecret `json:"app_passwords"`
	// Greeting is the submission that went from one provider to the other.
	Greeting string `json:"greeting"`
}

// demoSecret is an app password: the gateway keeps but a hash of it.
type demoSecret struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// recall reads what the last demo kept. One that cannot be read costs new app
// passwords, and stops nothing.
func (d *demo) recall() error {
	b, err := os.ReadFile(d.path(demoKeptFile))
	if err == nil {
		if err := json.Unmarshal(b, &d.kept); err != nil {
			d.kept = demoKept{}
			d.say("%s is damaged: new app passwords are made", d.path(demoKeptFile))
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("what the last demo kept: %w", err)
	}
	if d.kept.AppPasswords == nil {
		d.kept.AppPasswords = map[string]demoSecret{}
	}
	return nil
}

// remember writes it down, at once, since a demo may be killed.
func (d *demo) remember() error { return d.writeJSON(demoKeptFile, d.kept) }

const demoKeptFile = "kept.json"

// writeJSON puts a file into the demo's folder, whole or not at all.
func (d *demo) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := d.path("." + name)
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, d.path(name))
}
