package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

//go:embed imapflow.js
var imapflowScript string

// runImapflow runs the library that applications on Node use.
func runImapflow(ctx context.Context, w *world, r *report) {
	home, err := w.home("imapflow")
	if err != nil {
		r.fail("home", err)
		return
	}
	a := w.alan
	imap, _ := w.ports()
	want, err := w.digests(ctx, a)
	if err == nil {
		var b []byte
		if b, err = json.Marshal(want); err == nil {
			err = errors.Join(write(home, "digests.json", string(b)), write(home, "imapflow.js", imapflowScript))
		}
	}
	if err != nil {
		r.fail("settings", err)
		return
	}
	cmd := exec.CommandContext(ctx, "node", "imapflow.js", w.modules, imap, a.Address, a.Password, w.caFile, filepath.Join(home, "digests.json"))
	cmd.Dir, cmd.Env = home, environment(home)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.fail("start", err)
		return
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var line struct {
			Step, Error string
			Waiting     bool
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			r.fail("words", fmt.Errorf("%q: %w", lines.Text(), err))
			continue
		}
		switch {
		case line.Waiting:
			if err := w.deliver(ctx, a.Address, message("news@example.org", a.Address, "news for imapflow", "hello")); err != nil {
				r.fail("deliver", err)
			}
		case line.Error != "":
			r.fail(line.Step, errors.New(line.Error))
		default:
			r.step(line.Step, func() error { return nil })
			last = line.Step
		}
	}
	if err := cmd.Wait(); err != nil && !r.failed() || last != "logout" && !r.failed() {
		r.fail("end", fmt.Errorf("ended after %q: %v", last, err))
	}
}
