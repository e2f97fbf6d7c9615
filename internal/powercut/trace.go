package powercut

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// node is a file or a folder; it stays the same when its name changes.
type node int

// rootNode is the folder that is watched.
const rootNode node = 0

type opKind int

// What a program asks of the disk.
const (
	opWrite  opKind = iota // data at off of file
	opResize               // file to size
	opLink                 // name in dir stands for file from now on
	opUnlink               // name in dir is gone
	opRename               // fromName in fromDir becomes name in dir
)

// op is one change. It may reach the disk from when it was begun, and only a
// sync that begins after its end covers it.
type op struct {
	kind     opKind
	file     node
	off      int64
	data     []byte
	size     int64
	dir      node
	name     string
	fromDir  node
	fromName string
	failed   bool
}

func (o *op) names() bool { return o.kind >= opLink }

type eventKind int

const (
	evBegin eventKind = iota
	evEnd
	evSyncBegin
	evSyncEnd
	evAck
)

// event is a moment in the life of an op, of a sync, or an acknowledgement.
type event struct {
	kind eventKind
	op   int  // of evBegin and evEnd
	sync int  // of evSyncBegin and evSyncEnd
	file node // what is synced
	ack  string
}

// Trace is what a program did to a folder.
type Trace struct {
	ops    []op
	events []event
	// isDir tells folders from files.
	isDir map[node]bool
	// start is what the folder held before.
	start *disk
}

// Len is the number of moments: a cut can be at 0 to Len.
func (t *Trace) Len() int { return len(t.events) }

// Acks are all acknowledgements of the run.
func (t *Trace) Acks() []string {
	var out []string
	for _, e := range t.events {
		if e.kind == evAck {
			out = append(out, e.ack)
		}
	}
	return out
}

// Syncs is how many syncs were completed.
func (t *Trace) Syncs() (n int) {
	for _, e := range t.events {
		if e.kind == evSyncEnd {
			n++
		}
	}
	return n
}

// Cuts builds the image of a cut at each of the points, in ascending order,
// and hands it to each together with what was acknowledged until then. The
// same random numbers give the same images.
func (t *Trace) Cuts(points []int, r *rand.Rand, each func(point int, acks []string, image *Image) error) error {
	points = slices.Sorted(slices.Values(points))
	d := t.start.clone()
	var acks []string
	at := 0
	for _, p := range points {
		for ; at < p && at < len(t.events); at++ {
			e := t.events[at]
			if e.kind == evAck {
				acks = append(acks, e.ack)
			} else {
				d.apply(t, e)
			}
		}
		if err := each(p, slices.Clone(acks), d.cut(t, r)); err != nil {
			return fmt.Errorf("cut at %d of %d: %w", p, len(t.events), err)
		}
	}
	return nil
}

// Image is a folder as a cut has left it.
type Image struct {
	dirs  map[string]bool
	files map[string]*content
}

// WriteTo writes the image into a folder, which is made.
func (i *Image) WriteTo(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, d := range slices.Sorted(mapKeys(i.dirs)) {
		if err := os.MkdirAll(filepath.Join(folder, d), 0o700); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(mapKeys(i.files)) {
		if err := i.files[name].writeTo(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
