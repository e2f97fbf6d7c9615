package powercut

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// content is a file's bytes: sectors that are not there are zeros.
type content struct {
	size    int64
	sectors map[int64]*[sector]byte
}

func newContent() *content { return &content{sectors: map[int64]*[sector]byte{}} }

// clone copies the map, not the sectors: those are never written to again.
func (c *content) clone() *content {
	out := &content{size: c.size, sectors: make(map[int64]*[sector]byte, len(c.sectors))}
	for n, s := range c.sectors {
		out.sectors[n] = s
	}
	return out
}

// touched calls fn for each sector that a write changes, with its new bytes.
func (c *content) touched(off int64, data []byte, old func(int64) *[sector]byte, fn func(int64, *[sector]byte)) {
	for len(data) > 0 {
		n, in := off/sector, int(off%sector)
		var s [sector]byte
		if have := old(n); have != nil {
			s = *have
		}
		took := copy(s[in:], data)
		fn(n, &s)
		data, off = data[took:], off+int64(took)
	}
}

// apply makes an op part of the content.
func (c *content) apply(o *op) {
	if o.kind == opWrite {
		c.touched(o.off, o.data, func(n int64) *[sector]byte { return c.sectors[n] }, func(n int64, s *[sector]byte) { c.sectors[n] = s })
	}
	if size := o.sizeAfter(c.size); size != c.size {
		c.resize(size)
	}
}

func (c *content) resize(size int64) {
	if size < c.size {
		c.clip(size)
	}
	c.size = size
}

// clip forgets what is behind size.
func (c *content) clip(size int64) {
	for n, s := range c.sectors {
		switch {
		case n*sector >= size:
			delete(c.sectors, n)
		case (n+1)*sector > size:
			cut := *s
			clear(cut[size-n*sector:])
			c.sectors[n] = &cut
		}
	}
}

func (o *op) sizeAfter(size int64) int64 {
	if o.kind == opWrite {
		return max(size, o.off+int64(len(o.data)))
	}
	return o.size
}

func (c *content) writeTo(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := f.Truncate(c.size); err != nil {
		return err
	}
	numbers := make([]int64, 0, len(c.sectors))
	for n := range c.sectors {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	// Neighbours go out together, so many at once.
	const together = 128
	run := make([]byte, 0, min(together, len(numbers))*sector)
	for i, n := range numbers {
		run = append(run, c.sectors[n][:min(sector, c.size-n*sector)]...)
		if i+1 < len(numbers) && numbers[i+1] == n+1 && len(run) < together*sector {
			continue
		}
		if _, err := f.WriteAt(run, (n+1)*sector-int64((len(run)+sector-1)/sector*sector)); err != nil {
			return err
		}
		run = run[:0]
	}
	return nil
}

func readContent(path string) (*content, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	c := newContent()
	buf := make([]byte, 256*sector)
	for {
		n, err := io.ReadFull(f, buf)
		c.touched(c.size, buf[:n], func(int64) *[sector]byte { return nil }, func(n int64, s *[sector]byte) {
			if *s != ([sector]byte{}) {
				c.sectors[n] = s
			}
		})
		c.size += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// disk is what is on the disk for sure, and what is on its way there.
type disk struct {
	files map[node]*content
	names map[node]map[string]node
	// pending are ops that no sync has covered, in order; ended are those of
	// them that a sync would cover.
	pending []int
	ended   map[int]bool
	// covers is what a running sync makes durable.
	covers map[int][]int
}

func newDisk() *disk {
	return &disk{
		files: map[node]*content{}, names: map[node]map[string]node{rootNode: {}},
		ended: map[int]bool{}, covers: map[int][]int{},
	}
}

// clone copies a disk on which nothing is on its way.
func (d *disk) clone() *disk {
	out := newDisk()
	for n, c := range d.files {
		out.files[n] = c.clone()
	}
	for n, m := range d.names {
		out.names[n] = map[string]node{}
		for k, v := range m {
			out.names[n][k] = v
		}
	}
	return out
}

// apply moves the disk on by one moment.
func (d *disk) apply(t *Trace, e event) {
	switch e.kind {
	case evBegin:
		if !t.ops[e.op].failed {
			d.pending = append(d.pending, e.op)
		}
	case evEnd:
		d.ended[e.op] = true
	case evSyncBegin:
		for _, i := range d.pending {
			o := &t.ops[i]
			if d.ended[i] && (o.names() && o.dir == e.file || !o.names() && o.file == e.file) {
				d.covers[e.sync] = append(d.covers[e.sync], i)
			}
		}
	case evSyncEnd:
		covered := map[int]bool{}
		for _, i := range d.covers[e.sync] {
			covered[i] = true
		}
		delete(d.covers, e.sync)
		kept := d.pending[:0]
		for _, i := range d.pending {
			if !covered[i] {
				kept = append(kept, i)
				continue
			}
			d.settle(t, i)
			if o := &t.ops[i]; o.kind == opRename {
				// The name it had before came first, in any journal.
				kept = slices.DeleteFunc(kept, func(j int) bool {
					p := &t.ops[j]
					return p.names() && p.dir == o.fromDir && p.name == o.fromName
				})
			}
		}
		d.pending = kept
	}
}

// settle makes an op durable.
func (d *disk) settle(t *Trace, i int) {
	o := &t.ops[i]
	delete(d.ended, i)
	if o.names() {
		applyName(d.names, o)
		return
	}
	if d.files[o.file] == nil {
		d.files[o.file] = newContent()
	}
	d.files[o.file].apply(o)
}

func applyName(names map[node]map[string]node, o *op) {
	in := func(n node) map[string]node {
		if names[n] == nil {
			names[n] = map[string]node{}
		}
		return names[n]
	}
	switch o.kind {
	case opLink:
		in(o.dir)[o.name] = o.file
	case opUnlink:
		delete(in(o.dir), o.name)
	case opRename:
		in(o.dir)[o.name] = o.file
		if in(o.fromDir)[o.fromName] == o.file {
			delete(in(o.fromDir), o.fromName)
		}
	}
}

// cut gives one of the many images that a cut at this moment can leave.
func (d *disk) cut(t *Trace, r *rand.Rand) *Image {
	// How much of what was on its way arrives: nothing, all, or some.
	share := []float64{0, 0.1, 0.5, 0.9, 1}[r.IntN(5)]
	arrives := func() bool { return r.Float64() < share }
	names := d.clone().names
	changes := map[node][]int{}
	var order []node
	for _, i := range d.pending {
		o := &t.ops[i]
		switch {
		case !o.names():
			if changes[o.file] == nil {
				order = append(order, o.file)
			}
			changes[o.file] = append(changes[o.file], i)
		case arrives():
			applyName(names, o)
		}
	}
	files := map[node]*content{}
	for _, n := range order {
		files[n] = d.tear(t, n, changes[n], r, arrives)
	}
	image := &Image{dirs: map[string]bool{}, files: map[string]*content{}}
	var walk func(n node, path string)
	walk = func(n node, path string) {
		for name, child := range names[n] {
			p := filepath.Join(path, name)
			if t.isDir[child] {
				image.dirs[p] = true
				walk(child, p)
				continue
			}
			switch {
			case files[child] != nil:
				image.files[p] = files[child]
			case d.files[child] != nil:
				image.files[p] = d.files[child].clone()
			default:
				image.files[p] = newContent()
			}
		}
	}
	walk(rootNode, "")
	return image
}

// tear gives a file of which some changes have arrived.
func (d *disk) tear(t *Trace, n node, changes []int, r *rand.Rand, arrives func() bool) *content {
	have := d.files[n]
	if have == nil {
		have = newContent()
	}
	// All versions that each sector has had, oldest first.
	versions := map[int64][]*[sector]byte{}
	var order []int64
	sizes := []int64{have.size}
	size := have.size
	for _, i := range changes {
		o := &t.ops[i]
		if o.kind == opWrite {
			have.touched(o.off, o.data, func(n int64) *[sector]byte {
				if v := versions[n]; len(v) > 0 {
					return v[len(v)-1]
				}
				return have.sectors[n]
			}, func(n int64, s *[sector]byte) {
				if versions[n] == nil {
					order = append(order, n)
				}
				versions[n] = append(versions[n], s)
			})
		}
		size = o.sizeAfter(size)
		sizes = append(sizes, size)
	}
	out := have.clone()
	out.size = sizes[0]
	if arrives() {
		out.size = sizes[1+r.IntN(len(sizes)-1)]
		if r.IntN(2) == 0 {
			out.size = size
		}
	}
	for _, n := range order {
		if !arrives() {
			continue
		}
		v := versions[n]
		pick := v[len(v)-1]
		if r.IntN(2) == 0 {
			pick = v[r.IntN(len(v))]
		}
		out.sectors[n] = pick
	}
	out.clip(out.size)
	return out
}

// readDisk takes what a folder holds as durable.
func readDisk(root string) (d *disk, isDir map[node]bool, err error) {
	d, isDir = newDisk(), map[node]bool{rootNode: true}
	next := rootNode
	var walk func(n node, path string) error
	walk = func(n node, path string) error {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		d.names[n] = map[string]node{}
		for _, e := range entries {
			next++
			child := next
			d.names[n][e.Name()] = child
			p := filepath.Join(path, e.Name())
			if isDir[child] = e.IsDir(); e.IsDir() {
				err = walk(child, p)
			} else {
				d.files[child], err = readContent(p)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return d, isDir, walk(rootNode, root)
}
