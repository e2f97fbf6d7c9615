package powercut

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// From linux/ptrace.h and linux/wait.h; package syscall is too old for them.
const (
	getSyscallInfo   = 0x420e
	infoEntry        = 1
	infoExit         = 2
	optExitKill      = 0x100000
	waitNoThread     = 0x20000000
	stopSyscall      = syscall.SIGTRAP | 0x80
	waitAll          = 0x40000000
	atFDCWD          = -100
	maxAck           = 1 << 20
	syscallInfoSize  = 88
	fcntlDupFD       = 0
	fcntlDupFDCloexe = 1030
)

// Record runs a program until it ends and writes down what it does to the
// folder root, which it has to name by an absolute path. What it writes to its
// standard output are its acknowledgements, a line each; cmd must leave that
// unset, and be without children of its own. The program's own failure is
// Record's.
func Record(cmd *exec.Cmd, root string) (*Trace, error) {
	if newerCalls[runtime.GOARCH] == (newer{}) {
		return nil, fmt.Errorf("record on %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	start, isDir, err := readDisk(root)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", root, err)
	}
	r := newRecorder(&Trace{start: start, isDir: isDir}, filepath.Clean(root))
	if cmd.Stdout != nil {
		return nil, errors.New("record: the program's output is taken")
	}
	done := make(chan error, 1)
	go func() { done <- r.run(cmd) }()
	if err := <-done; err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return r.trace, nil
}

// run owns the thread that traces: ptrace knows threads, not processes.
func (r *recorder) run(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	defer func() { _ = cmd.Process.Release() }()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	const options = syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE |
		syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK | optExitKill
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	var err error
	if r.memory, err = os.Open(fmt.Sprintf("/proc/%d/mem", pid)); err != nil {
		return err
	}
	defer func() { _ = r.memory.Close() }()
	r.pid = pid
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return err
	}
	return r.loop(cmd)
}

// loop follows all threads until the program ends. After a failure of ours it
// kills the program and sees it out.
func (r *recorder) loop(cmd *exec.Cmd) error {
	var failed error
	for {
		var status syscall.WaitStatus
		// Only children of this thread: others may be somebody else's.
		tid, err := syscall.Wait4(-1, &status, waitAll|waitNoThread, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return errors.Join(failed, fmt.Errorf("wait: %w", err))
		case status.Exited() || status.Signaled():
			delete(r.calls, tid)
			if tid != r.pid {
				continue
			}
			if failed == nil && (status.Signaled() || status.ExitStatus() != 0) {
				failed = fmt.Errorf("the program ended with status %#x", uint32(status))
			}
			r.finish()
			return failed
		case !status.Stopped():
			continue
		}
		signal := 0
		switch sig := status.StopSignal(); {
		case sig == stopSyscall:
			if failed == nil {
				if failed = r.stop(tid); failed != nil {
					_ = cmd.Process.Kill()
				}
			}
		case sig == syscall.SIGTRAP: // a new thread, or the program's first
		case sig == syscall.SIGSTOP: // a new thread's own first stop
		default:
			signal = int(sig)
		}
		if err := syscall.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return errors.Join(failed, fmt.Errorf("go on: %w", err))
		}
	}
}

// stop is a thread at the door of the kernel, on its way in or out.
func (r *recorder) stop(tid int) error {
	var info [syscallInfoSize]byte
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(tid), syscallInfoSize, uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno == syscall.ESRCH {
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("read a call: %w", errno)
	}
	word := func(n int) uint64 { return binary.NativeEndian.Uint64(info[24+8*n:]) }
	switch info[0] {
	case infoEntry:
		c := &call{number: word(0)}
		for i := range c.args {
			c.args[i] = word(1 + i)
		}
		if err := r.enter(c); err != nil {
			return err
		}
		if c.then != nil {
			r.calls[tid] = c
		}
	case infoExit:
		if c := r.calls[tid]; c != nil {
			delete(r.calls, tid)
			return c.then(int64(word(0)))
		}
	}
	return nil
}

// call is a system call; then is what its answer means.
type call struct {
	number uint64
	args   [6]uint64
	then   func(answer int64) error
}

// open is an open file or folder of the program.
type open struct {
	node   node
	offset int64
	append bool
}

type recorder struct {
	trace  *Trace
	root   string
	pid    int
	memory *os.File
	calls  map[int]*call
	fds    map[uint64]*open
	// names is what the program sees, durable or not; sizes likewise.
	names map[node]map[string]node
	sizes map[node]int64
	next  node
	syncs int
	line  []byte
}

func newRecorder(t *Trace, root string) *recorder {
	seen := t.start.clone()
	r := &recorder{trace: t, root: root, calls: map[int]*call{}, fds: map[uint64]*open{}, names: seen.names, sizes: map[node]int64{}}
	for n := range t.isDir {
		r.next = max(r.next, n)
	}
	for n, c := range seen.files {
		r.sizes[n] = c.size
	}
	return r
}

func (r *recorder) emit(e event) { r.trace.events = append(r.trace.events, e) }

// begin notes an op that may reach the disk from now on, and gives what ends it.
func (r *recorder) begin(o op) (number int, end func(ok bool)) {
	number = len(r.trace.ops)
	r.trace.ops = append(r.trace.ops, o)
	r.emit(event{kind: evBegin, op: number})
	return number, func(ok bool) {
		if !ok {
			r.trace.ops[number].failed = true
			return
		}
		r.emit(event{kind: evEnd, op: number})
	}
}

// finish drops what can have had no effect: ops that failed.
func (r *recorder) finish() {
	kept := r.trace.events[:0]
	for _, e := range r.trace.events {
		if e.kind != evBegin || !r.trace.ops[e.op].failed {
			kept = append(kept, e)
		}
	}
	r.trace.events = kept
}

// bytes reads the program's memory.
func (r *recorder) bytes(at, n uint64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := r.memory.ReadAt(b, int64(at)); err != nil {
		return nil, fmt.Errorf("read the program's memory: %w", err)
	}
	return b, nil
}

func (r *recorder) text(at uint64) (string, error) {
	var out []byte
	for len(out) < 4096 {
		// Not over the end of a page, which may be the last one.
		b, err := r.bytes(at, 256-at%256)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(append(out, b[:i]...)), nil
		}
		out, at = append(out, b...), at+uint64(len(b))
	}
	return "", errors.New("a path of the program has no end")
}

// place is where a path leads: a name in a folder that we watch.
func (r *recorder) place(dirfd, at uint64) (dir node, name string, ours bool, err error) {
	path, err := r.text(at)
	if err != nil {
		return 0, "", false, err
	}
	dir = rootNode
	if filepath.IsAbs(path) {
		path = filepath.Clean(path)
		if path == r.root {
			return rootNode, ".", true, nil
		}
		var inside bool
		if path, inside = strings.CutPrefix(path, r.root+"/"); !inside {
			return 0, "", false, nil
		}
	} else {
		o := r.fds[dirfd]
		if int32(dirfd) == atFDCWD || o == nil {
			return 0, "", false, nil
		}
		if dir, path = o.node, filepath.Clean(path); path == "." {
			return dir, ".", true, nil
		}
	}
	parts := strings.Split(path, "/")
	for _, p := range parts[:len(parts)-1] {
		child, ok := r.names[dir][p]
		if !ok {
			return 0, "", false, nil // it will be told so
		}
		dir = child
	}
	return dir, parts[len(parts)-1], true, nil
}

func (r *recorder) acknowledge(b []byte) error {
	r.line = append(r.line, b...)
	for {
		line, rest, ok := bytes.Cut(r.line, []byte("\n"))
		if !ok {
			break
		}
		r.emit(event{kind: evAck, ack: string(line)})
		r.line = bytes.Clone(rest)
	}
	if len(r.line) > maxAck {
		return errors.New("an acknowledgement has no end")
	}
	return nil
}
