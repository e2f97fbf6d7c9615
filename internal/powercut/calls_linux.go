package powercut

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// newer are numbers of calls that package syscall does not know.
type newer struct{ copyFileRange, renameat2 uint64 }

var newerCalls = map[string]newer{"amd64": {326, 316}, "arm64": {285, 276}}

// enter looks at a call on its way into the kernel.
func (r *recorder) enter(c *call) error {
	more := newerCalls[runtime.GOARCH]
	switch c.number {
	case syscall.SYS_OPENAT:
		return r.openat(c)
	case syscall.SYS_MKDIRAT:
		return r.mkdirat(c)
	case syscall.SYS_UNLINKAT:
		return r.unlinkat(c)
	case syscall.SYS_LINKAT:
		return r.linkat(c)
	case syscall.SYS_RENAMEAT, more.renameat2:
		return r.renameat(c)
	case syscall.SYS_CLOSE:
		// At once: the number may be given away before this call has returned.
		delete(r.fds, c.args[0])
	case syscall.SYS_WRITE, syscall.SYS_PWRITE64:
		return r.write(c)
	case syscall.SYS_LSEEK, syscall.SYS_READ:
		r.move(c)
	case syscall.SYS_FTRUNCATE:
		if o := r.fds[c.args[0]]; o != nil {
			r.resize(c, o.node, int64(c.args[1]))
		}
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		r.sync(c)
	case more.copyFileRange:
		r.copy(c, c.args[2], c.args[0], c.args[3], c.args[1])
	case syscall.SYS_SENDFILE:
		r.copy(c, c.args[0], c.args[1], 0, c.args[2])
	case syscall.SYS_WRITEV, syscall.SYS_PWRITEV,
		syscall.SYS_FALLOCATE, syscall.SYS_DUP, syscall.SYS_DUP3, syscall.SYS_SPLICE:
		return r.strange(c)
	case syscall.SYS_MMAP:
		const shared, writable = syscall.MAP_SHARED, syscall.PROT_WRITE
		if r.fds[c.args[4]] != nil && c.args[3]&shared != 0 && c.args[2]&writable != 0 {
			return fmt.Errorf("a file is mapped for writing, which is not modelled")
		}
	case syscall.SYS_FCNTL:
		if r.fds[c.args[0]] != nil && (c.args[1] == fcntlDupFD || c.args[1] == fcntlDupFDCloexe) {
			return fmt.Errorf("a file is opened twice by fcntl, which is not modelled")
		}
	}
	return nil
}

// strange refuses calls on our files that are not modelled.
func (r *recorder) strange(c *call) error {
	for _, fd := range c.args[:3] {
		if r.fds[fd] != nil && (c.number != syscall.SYS_WRITEV || fd == c.args[0]) {
			return fmt.Errorf("call %d changes a file in a way that is not modelled", c.number)
		}
	}
	return nil
}

func (r *recorder) openat(c *call) error {
	dir, name, ours, err := r.place(c.args[0], c.args[1])
	if err != nil || !ours {
		return err
	}
	flags := int(c.args[2])
	n, exists := dir, name == "."
	if !exists {
		n, exists = r.names[dir][name]
	}
	var ends []func(bool)
	switch {
	case !exists && flags&syscall.O_CREAT != 0:
		r.next++
		n = r.next
		_, end := r.begin(op{kind: opLink, dir: dir, name: name, file: n})
		ends = append(ends, end)
	case !exists:
		return nil
	case flags&syscall.O_TRUNC != 0 && r.sizes[n] > 0:
		_, end := r.begin(op{kind: opResize, file: n})
		ends = append(ends, end)
	}
	c.then = func(answer int64) error {
		for _, end := range ends {
			end(answer >= 0)
		}
		if answer < 0 {
			return nil
		}
		if !exists {
			r.link(dir, name, n)
		}
		if flags&syscall.O_TRUNC != 0 {
			r.sizes[n] = 0
		}
		r.fds[uint64(answer)] = &open{node: n, append: flags&syscall.O_APPEND != 0}
		return nil
	}
	return nil
}

func (r *recorder) link(dir node, name string, n node) {
	if r.names[dir] == nil {
		r.names[dir] = map[string]node{}
	}
	r.names[dir][name] = n
}

func (r *recorder) mkdirat(c *call) error {
	dir, name, ours, err := r.place(c.args[0], c.args[1])
	if err != nil || !ours || name == "." {
		return err
	}
	if _, exists := r.names[dir][name]; exists {
		return nil
	}
	r.next++
	n := r.next
	r.trace.isDir[n] = true
	_, end := r.begin(op{kind: opLink, dir: dir, name: name, file: n})
	c.then = func(answer int64) error {
		end(answer == 0)
		if answer == 0 {
			r.link(dir, name, n)
		}
		return nil
	}
	return nil
}

func (r *recorder) unlinkat(c *call) error {
	dir, name, ours, err := r.place(c.args[0], c.args[1])
	if err != nil || !ours {
		return err
	}
	if _, exists := r.names[dir][name]; !exists {
		return nil
	}
	_, end := r.begin(op{kind: opUnlink, dir: dir, name: name})
	c.then = func(answer int64) error {
		end(answer == 0)
		if answer == 0 {
			delete(r.names[dir], name)
		}
		return nil
	}
	return nil
}

// places are the two names that a call is about, and whether both are ours.
func (r *recorder) places(c *call, done string) (fromDir node, fromName string, dir node, name string, ours bool, err error) {
	fromDir, fromName, fromOurs, err := r.place(c.args[0], c.args[1])
	if err != nil {
		return 0, "", 0, "", false, err
	}
	dir, name, ours, err = r.place(c.args[2], c.args[3])
	if err == nil && fromOurs != ours {
		err = fmt.Errorf("a file is %s over the border of %s, which is not modelled", done, r.root)
	}
	return fromDir, fromName, dir, name, ours, err
}

// linkat gives a file one more name.
func (r *recorder) linkat(c *call) error {
	fromDir, fromName, dir, name, ours, err := r.places(c, "linked")
	if err != nil {
		return err
	}
	n, exists := r.names[fromDir][fromName]
	if _, taken := r.names[dir][name]; !ours || !exists || taken {
		return nil
	}
	_, end := r.begin(op{kind: opLink, dir: dir, name: name, file: n})
	c.then = func(answer int64) error {
		end(answer == 0)
		if answer == 0 {
			r.link(dir, name, n)
		}
		return nil
	}
	return nil
}

func (r *recorder) renameat(c *call) error {
	fromDir, fromName, dir, name, ours, err := r.places(c, "moved")
	if err != nil {
		return err
	}
	n, exists := r.names[fromDir][fromName]
	if !ours || !exists {
		return nil
	}
	_, end := r.begin(op{kind: opRename, fromDir: fromDir, fromName: fromName, dir: dir, name: name, file: n})
	c.then = func(answer int64) error {
		end(answer == 0)
		if answer == 0 {
			delete(r.names[fromDir], fromName)
			r.link(dir, name, n)
		}
		return nil
	}
	return nil
}

func (r *recorder) write(c *call) error {
	fd, at, n := c.args[0], c.args[1], c.args[2]
	o := r.fds[fd]
	if o == nil && fd != 1 {
		return nil
	}
	b, err := r.bytes(at, n)
	if err != nil {
		return err
	}
	if o == nil {
		return r.acknowledge(b)
	}
	off, own := int64(c.args[3]), c.number == syscall.SYS_WRITE
	if own {
		if off = o.offset; o.append {
			off = r.sizes[o.node]
		}
	}
	number, end := r.begin(op{kind: opWrite, file: o.node, off: off, data: b})
	c.then = func(answer int64) error {
		end(answer > 0)
		if answer <= 0 {
			return nil
		}
		r.trace.ops[number].data = b[:answer]
		after := off + answer
		r.sizes[o.node] = max(r.sizes[o.node], after)
		if own {
			o.offset = after
		}
		return nil
	}
	return nil
}

// copy is a write whose bytes the kernel fetches itself. They are read back
// once it has: what of them is on the disk meanwhile may be anything anyway.
func (r *recorder) copy(c *call, toFD, fromFD, toAt, fromAt uint64) {
	to, from := r.fds[toFD], r.fds[fromFD]
	if to == nil && from == nil {
		return
	}
	var number int
	end := func(bool) {}
	if to != nil {
		off := to.offset
		if to.append {
			off = r.sizes[to.node]
		}
		number, end = r.begin(op{kind: opWrite, file: to.node, off: off})
	}
	c.then = func(answer int64) error {
		if answer <= 0 {
			end(false)
			return nil
		}
		if from != nil && fromAt == 0 {
			from.offset += answer
		}
		if to == nil {
			return nil
		}
		if toAt != 0 {
			return fmt.Errorf("a copy to a place of its own, which is not modelled")
		}
		f, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", r.pid, toFD))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		o := &r.trace.ops[number]
		o.data = make([]byte, answer)
		if _, err := f.ReadAt(o.data, o.off); err != nil {
			return fmt.Errorf("read back a copy: %w", err)
		}
		end(true)
		to.offset = o.off + answer
		r.sizes[to.node] = max(r.sizes[to.node], to.offset)
		return nil
	}
}

// move keeps the place at which a plain write goes on.
func (r *recorder) move(c *call) {
	o := r.fds[c.args[0]]
	if o == nil {
		return
	}
	c.then = func(answer int64) error {
		switch {
		case answer < 0:
		case c.number == syscall.SYS_LSEEK:
			o.offset = answer
		default:
			o.offset += answer
		}
		return nil
	}
}

func (r *recorder) resize(c *call, n node, size int64) {
	_, end := r.begin(op{kind: opResize, file: n, size: size})
	c.then = func(answer int64) error {
		end(answer == 0)
		if answer == 0 {
			r.sizes[n] = size
		}
		return nil
	}
}

func (r *recorder) sync(c *call) {
	o := r.fds[c.args[0]]
	if o == nil {
		return
	}
	number := r.syncs
	r.syncs++
	r.emit(event{kind: evSyncBegin, sync: number, file: o.node})
	c.then = func(answer int64) error {
		if answer == 0 {
			r.emit(event{kind: evSyncEnd, sync: number, file: o.node})
		}
		return nil
	}
}
