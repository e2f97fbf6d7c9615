package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// child is a process of the demo. Its standard input is its lifeline: it ends
// when ours does, however we end.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.Reader
	log    *os.File
	done   chan struct{}

	mu       sync.Mutex
	stopping bool
}

// start runs a program with its log in .demo/logs/NAME.log.
func (d *demo) start(name, program string, args ...string) (*child, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("%s: %w (build everything with `make build`)", name, err)
	}
	log, err := os.OpenFile(d.path("logs", name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	c := &child{name: name, cmd: exec.Command(program, args...), log: log, done: make(chan struct{})}
	c.cmd.Stderr = log
	// A group of their own: Ctrl-C reaches the demo, which stops them in order.
	c.cmd.SysProcAttr = ownGroup()
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.stdout, err = c.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	d.procs = append(d.procs, c)
	go func() {
		state, err := c.cmd.Process.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		c.mu.Lock()
		stopping := c.stopping
		c.mu.Unlock()
		if !stopping {
			d.broken <- fmt.Errorf("%s ended: %v", name, err)
		}
		close(c.done)
	}()
	return c, nil
}

func (d *demo) child(name string) *child {
	for _, c := range d.procs {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (c *child) write(s string) error {
	_, err := io.WriteString(c.stdin, s)
	return err
}

// stop asks a process to end, waits, and kills it where it does not.
func (c *child) stop(limit time.Duration) error {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	_ = c.stdin.Close()
	defer c.log.Close()
	select {
	case <-c.done:
		return nil
	case <-time.After(limit):
		_ = c.cmd.Process.Kill()
		<-c.done
		return fmt.Errorf("%s did not stop in %s and was killed", c.name, limit)
	}
}

// Limits of stopping, ten seconds together where nothing is kept.
const (
	gatewayStops = 8 * time.Second
	othersStop   = 2 * time.Second
	// A sandbox that is kept writes all its mail, of which there may be much.
	worldKept = time.Minute
)

// stop ends the processes: the gateway first, since the others serve it.
func (d *demo) stop() error {
	var errs []error
	if c := d.child("gateway"); c != nil {
		errs = append(errs, c.stop(gatewayStops))
	}
	others := make(chan error)
	n := 0
	for _, c := range d.procs {
		if c.name != "gateway" {
			n++
			limit := othersStop
			if c.name == "sandbox" && d.Keep {
				limit = worldKept
			}
			go func() { others <- c.stop(limit) }()
		}
	}
	for range n {
		errs = append(errs, <-others)
	}
	return errors.Join(errs...)
}

// tails shows the last lines of every log, for a demo that failed.
func (d *demo) tails() {
	for _, c := range d.procs {
		b, err := os.ReadFile(d.path("logs", c.name+".log"))
		if err != nil || len(b) == 0 {
			continue
		}
		lines := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
		if len(lines) > 12 {
			lines = lines[len(lines)-12:]
		}
		fmt.Fprintf(d.e.stderr, "--- last lines of %s\n%s\n", d.path("logs", c.name+".log"), bytes.Join(lines, []byte("\n")))
	}
}
