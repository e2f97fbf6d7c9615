package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// roleVariable says to a copy of this program what it is to play.
const roleVariable = "POSTERN_BENCH_ROLE"

// playRole is what a child does; it ends with its standard input.
func playRole(role string) int {
	var err error
	switch role {
	case "sink":
		err = serveSink(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("there is no role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench,", role+":", err)
		return 1
	}
	return 0
}

// child is a copy of this program that plays a role.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
	// first is the first line that it printed.
	first string
}

func startChild(ctx context.Context, role string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 5 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	c := &child{cmd: cmd, in: in}
	if c.first, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not start: %w", role, err), c.stop())
	}
	c.first = strings.TrimSpace(c.first)
	return c, nil
}

// stop closes the child's input and waits for its end.
func (c *child) stop() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}
