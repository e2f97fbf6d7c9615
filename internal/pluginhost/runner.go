package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

// pipeGrace is how long a dead plugin's output may stay open, held by a child
// that it left behind.
const pipeGrace = 2 * time.Second

// process is go-plugin's runner.Runner of ours: a child whose standard input
// is a pipe that ends with the host, and which on Linux dies with it.
type process struct {
	cmd       *exec.Cmd
	stdout    *os.File   // our end
	stderr    *lastWords // our end
	childEnds []*os.File
	lifeline  io.Closer

	mu     sync.Mutex
	child  *os.Process // nil before it has started
	killed bool

	exited chan struct{} // closed once the process is gone
	err    error         // how it ended; valid after exited
}

var _ runner.Runner = (*process)(nil)

func newProcess(path string, env []string) (*process, error) {
	p := &process{cmd: exec.Command(path), exited: make(chan struct{})}
	p.cmd.Env = env
	dieWithParent(p.cmd)
	var err error
	if p.lifeline, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	// Not cmd.StdoutPipe: its Wait closes what has not been read yet, and the
	// last words of a plugin are the ones wanted.
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, outR.Close(), outW.Close())
	}
	p.stdout, p.stderr, p.childEnds = outR, newLastWords(errR), []*os.File{outW, errW}
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	return p, nil
}

// Start starts the child. The thread that forks it stays with it: the kernel
// takes the end of that thread for the end of the parent (prctl(2),
// PR_SET_PDEATHSIG), and Go ends threads as it likes.
func (p *process) Start(context.Context) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.fork()
		for _, f := range p.childEnds {
			_ = f.Close() // the child has its own
		}
		result <- err
		if err != nil {
			p.err = err
			p.closePipes()
			close(p.exited)
			return
		}
		p.err = p.cmd.Wait()
		close(p.exited)
		time.AfterFunc(pipeGrace, p.closePipes)
	}()
	return <-result
}

func (p *process) fork() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return context.Canceled
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.child = p.cmd.Process
	return nil
}

func (p *process) closePipes() {
	// Closed twice is fine: only the first matters.
	_ = p.stdout.Close()
	_ = p.stderr.Close()
}

// Wait returns once the child is gone. go-plugin calls it when it has read all
// output.
func (p *process) Wait(context.Context) error {
	<-p.exited
	p.closePipes()
	return p.err
}

// Kill ends the child at once; one that has not started never will.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if p.child == nil {
		return nil
	}
	if err := p.child.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (p *process) Stdout() io.ReadCloser { return p.stdout }
func (p *process) Stderr() io.ReadCloser { return p.stderr }
func (p *process) Name() string          { return p.cmd.Path }

// ID is never empty: go-plugin would leave its files behind.
func (p *process) ID() string { return strconv.Itoa(p.pid()) }

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return 0
	}
	return p.child.Pid
}

// Diagnose follows go-plugin's words on what it read in place of a handshake.
func (p *process) Diagnose(context.Context) string {
	why := "it may be built for another system"
	if line := p.stderr.line(); line != "" {
		why = "the last line of its standard error: " + line
	}
	return fmt.Sprintf("(%s does not speak the plugin handshake; %s)", p.cmd.Path, why)
}

// PluginToHost and HostToPlugin: both ends are on one machine.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}
