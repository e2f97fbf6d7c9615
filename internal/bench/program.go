package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long a program may take to be ready.
const patience = time.Minute

// programs builds what we ship, once, and gives the folder.
func (b *bench) programs(ctx context.Context) (string, error) {
	if b.bin != "" {
		return b.bin, nil
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	dir := filepath.Join(b.scratch, "programs")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), "./cmd/...")
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	b.bin = dir
	return dir, nil
}

// process is a program that runs. It ends with its standard input, and so with
// us however we end.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.Closer
	log  string
	done chan struct{}
	err  error
}

func startProcess(dir, name, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, append(args, "--parent-pipe")...), log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the program has its own
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop asks the program to end and waits for it.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone already
	_ = p.in.Close()
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop", p.name)
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with %w: %s", p.name, p.err, p.tail())
	}
	return nil
}

// tail is the end of what the program logged.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// until asks again and again, with a program that has to be alive for it.
func (p *process) until(ctx context.Context, what string, ready func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ready()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s: %s ended with %v: %s", what, p.name, p.err, p.tail())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not in time: %w", what, ctx.Err()), err)
		}
	}
}

// readyFile waits for a JSON file that is renamed into place.
func readyFile(name string, v any) (bool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(text, v)
}

// answers reports whether a URL answers 200.
func answers(ctx context.Context, url string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("answers %s: %s", resp.Status, text)
	}
	return true, err
}

// kill ends a process at once, as a crash does.
func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }
