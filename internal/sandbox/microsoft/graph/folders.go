package graph

import (
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// children are a folder's direct subfolders, by name.
func (mb *mailbox) children(parent *folder, hidden bool) []*folder {
	var fs []*folder
	for _, f := range mb.folders {
		if f.parent == parent && (hidden || !f.hidden) {
			fs = append(fs, f)
		}
	}
	slices.SortFunc(fs, func(a, b *folder) int {
		if c := strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)); c != 0 {
			return c
		}
		return int(a.num) - int(b.num)
	})
	return fs
}

func (mb *mailbox) childNamed(parent *folder, name string) *folder {
	for _, f := range mb.folders {
		if f.parent == parent && strings.EqualFold(f.name, name) {
			return f
		}
	}
	return nil
}

func (mb *mailbox) addFolder(parent *folder, name string, hidden bool, now time.Time) *folder {
	f := &folder{num: mb.nextNumber(), name: name, parent: parent, hidden: hidden, created: now, last: map[uint64]int32{}}
	mb.folders[f.num] = f
	mb.touchFolder(f, now)
	mb.touchFolder(parent, now)
	return f
}

// path finds a folder by display names, making what is missing. A name with
// slashes in it is found whole first: slashes are legal in names.
func (mb *mailbox) path(p string, now time.Time) *folder {
	at := mb.root
	rest := strings.Split(p, "/")
	for len(rest) > 0 {
		var next *folder
		n := len(rest)
		for ; n > 0 && next == nil; n-- {
			next = mb.childNamed(at, strings.Join(rest[:n], "/"))
		}
		if next != nil {
			at, rest = next, rest[n+1:]
			continue
		}
		if rest[0] != "" {
			at = mb.addFolder(at, rest[0], false, now)
		}
		rest = rest[1:]
	}
	return at
}

// subtree is a folder and all below it, parents first.
func (mb *mailbox) subtree(f *folder) []*folder {
	fs := []*folder{f}
	for i := 0; i < len(fs); i++ {
		fs = append(fs, mb.children(fs[i], true)...)
	}
	return fs
}

func (f *folder) within(top *folder) bool {
	for ; f != nil; f = f.parent {
		if f == top {
			return true
		}
	}
	return false
}

// moveFolder hangs a folder under another parent.
func (mb *mailbox) moveFolder(f, to *folder, now time.Time) error {
	if f.wellKnown != "" {
		return errDistinguished()
	}
	if to.within(f) {
		return errInvalidRequest("A folder cannot be moved into itself or into a folder below it.")
	}
	if other := mb.childNamed(to, f.name); other != nil && other != f {
		return errFolderExists()
	}
	was := mb.visible(f)
	from := f.parent
	f.parent = to
	mb.touchFolder(f, now)
	mb.touchFolder(from, now)
	mb.touchFolder(to, now)
	if is := mb.visible(f); is != was {
		mb.reindex()
	}
	return nil
}

// reindex rebuilds the list of all messages after a subtree came or went.
func (mb *mailbox) reindex() {
	mb.all = mb.all[:0]
	for _, f := range mb.folders {
		if mb.visible(f) {
			mb.all = append(mb.all, f.items...)
		}
	}
	slices.SortFunc(mb.all, compareReceived)
}

// copyFolder copies a subtree with its messages, which become new ones.
func (mb *mailbox) copyFolder(f, to *folder, now time.Time) (*folder, error) {
	if to.within(f) {
		return nil, errInvalidRequest("A folder cannot be copied into itself or into a folder below it.")
	}
	if mb.childNamed(to, f.name) != nil {
		return nil, errFolderExists()
	}
	children := mb.children(f, true)
	made := mb.addFolder(to, f.name, f.hidden, now)
	for _, m := range slices.Clone(f.items) {
		mb.copyMessage(m, made, now)
	}
	for _, c := range children {
		if _, err := mb.copyFolder(c, made, now); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// dropFolder removes a subtree for good, its messages with it.
func (mb *mailbox) dropFolder(f *folder, now time.Time) {
	fs := mb.subtree(f)
	parent := f.parent
	for i := len(fs) - 1; i >= 0; i-- {
		for _, m := range slices.Clone(fs[i].items) {
			mb.purge(m, now)
		}
		mb.folderSeq++
		mb.goneFolders = append(mb.goneFolders, goneFolder{fs[i].num, mb.folderSeq, now})
		delete(mb.folders, fs[i].num)
	}
	mb.touchFolder(parent, now)
}

// purge removes a message for good.
func (mb *mailbox) purge(m *message, now time.Time) {
	f, mid := m.folder, m.mid
	mb.take(m, now)
	mb.forget(m)
	mb.tell(cloud.Deleted, f, m, mid, now, false)
}

// moveMessage gives a message another folder and another regular id.
func (mb *mailbox) moveMessage(m *message, to *folder, now time.Time) {
	if m.folder == to {
		return
	}
	from, mid := m.folder, m.mid
	mb.take(m, now)
	st := *m.st
	st.change = mb.nextChange()
	st.modified = now
	m.st = &st
	mb.insert(m, to, true, now)
	mb.tell(cloud.Deleted, from, m, mid, now, false)
	if mb.visible(to) {
		mb.tell(cloud.Created, to, m, m.mid, now, false)
	}
}

func (mb *mailbox) copyMessage(m *message, to *folder, now time.Time) *message {
	st := *m.st
	st.change, st.modified = mb.nextChange(), now
	c := &message{num: mb.nextNumber(), created: now, conv: m.conv, st: &st}
	mb.insert(c, to, false, now)
	mb.tell(cloud.Created, to, c, c.mid, now, false)
	return c
}

// folderEntity is a folder as JSON.
func (c *call) folderEntity(f *folder) entity {
	parent := f.num
	if f.parent != nil {
		parent = f.parent.num
	}
	count := 0
	for _, g := range c.mb.folders {
		if g.parent == f {
			count++
		}
	}
	e := entity{{"id", c.mb.ids.folder(f.num)}}
	for _, p := range []field{
		{"displayName", f.name},
		{"parentFolderId", c.mb.ids.folder(parent)},
		{"childFolderCount", count},
		{"unreadItemCount", f.unread},
		{"totalItemCount", len(f.items)},
		{"sizeInBytes", f.size},
		{"isHidden", f.hidden},
	} {
		if c.query.wants(p.key) {
			e = append(e, p)
		}
	}
	if c.query.expands("childFolders") {
		children := []entity{}
		for _, g := range c.mb.children(f, c.query.hiddenFolders) {
			inner := *c
			inner.query = &query{}
			children = append(children, inner.folderEntity(g))
		}
		e = append(e, field{"childFolders", children})
	}
	return e
}
