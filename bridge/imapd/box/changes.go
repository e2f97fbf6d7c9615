package box

import "slices"

// change is a row that was added, changed or removed.
type change struct {
	version uint64
	uid     uint32
}

// changes is the log of what happened to a Box, bounded.
type changes struct {
	list []change
	// newest is the version of the last change; oldest is one from which the log
	// tells everything.
	newest, oldest uint64
}

// logLeast is how many changes are kept at least.
const logLeast = 4096

// add notes a change. A log that is longer than half the mailbox is no better
// than comparing.
func (c *changes) add(uid uint32, rows int) {
	c.newest++
	c.list = append(c.list, change{c.newest, uid})
	if most := max(logLeast, rows/2); len(c.list) > most {
		cut := len(c.list) - most/2
		c.oldest = c.list[cut-1].version
		c.list = slices.Delete(c.list, 0, cut)
	}
}

// restart makes the log one of which every earlier version is too old.
func (c *changes) restart() {
	c.newest++
	c.oldest, c.list = c.newest, nil
}

// since gives the UIDs of what changed after a version, ascending, each once;
// ok is false where the log does not reach back so far.
func (c *changes) since(version uint64) (uids []uint32, ok bool) {
	if version < c.oldest {
		return nil, false
	}
	first, _ := slices.BinarySearchFunc(c.list, version+1, func(e change, v uint64) int {
		switch {
		case e.version < v:
			return -1
		case e.version > v:
			return 1
		}
		return 0
	})
	for _, e := range c.list[first:] {
		uids = append(uids, e.uid)
	}
	slices.Sort(uids)
	return slices.Compact(uids), true
}

// Diff is what changed since a version.
type Diff struct {
	// Version is the present one.
	Version uint64
	// UIDs are of the rows that were added, changed or removed, ascending, unless
	// All is set: then the log does not reach back so far, and everything may
	// have changed.
	UIDs []uint32
	All  bool
	// Present are the rows of UIDs that are there now, of all with All,
	// ascending.
	Present []Row
	ModSeq  uint64
	UIDNext uint32
}

// Since tells what changed since a version.
func (b *Box) Since(version uint64) Diff {
	b.mu.RLock()
	defer b.mu.RUnlock()
	d := Diff{Version: b.log.newest, ModSeq: b.modSeq, UIDNext: b.next}
	if version == b.log.newest {
		return d
	}
	uids, ok := b.log.since(version)
	if !ok {
		d.All = true
		for i := range b.rows {
			d.Present = append(d.Present, b.rows[i].public())
		}
		return d
	}
	d.UIDs = uids
	for _, uid := range uids {
		if i, ok := b.find(uid); ok {
			d.Present = append(d.Present, b.rows[i].public())
		}
	}
	return d
}
