package session

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// tree is an account's mailboxes under their names.
type tree struct {
	nodes  []*node // INBOX first, then by name
	byName map[string]*node
	byID   map[string]*node
	// hollow are the names above mailboxes that are no mailboxes: a label may be
	// named "Projects/Travel" where there is no "Projects". They are listed, and
	// nothing else can be done to them but to make them.
	hollow map[string]*node
	// labels: the account's mailboxes are labels, whose names are paths.
	labels bool
	// subscribed are names that were subscribed to and have no mailbox.
	subscribed []string
}

type node struct {
	mailbox  *store.Mailbox // nil where it is hollow
	name     string
	children []*node
}

// tree reads the account's mailboxes.
func (s *Session) tree(ctx context.Context) (*tree, error) {
	var list []*store.Mailbox
	var names []string
	err := s.server.opts.Store.View(ctx, func(tx store.Tx) (err error) {
		if list, err = tx.MailboxesOf(s.account); err != nil {
			return err
		}
		names, err = tx.SubscribedNames(s.account)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newTree(list, names), nil
}

func newTree(list []*store.Mailbox, subscribed []string) *tree {
	t := &tree{byName: map[string]*node{}, byID: map[string]*node{}, hollow: map[string]*node{}}
	for _, m := range list {
		t.byID[m.ID] = &node{mailbox: m}
		t.labels = t.labels || m.Kind == mail.KindLabel
	}
	// Of siblings with one name the older keeps it; ids decide where that does
	// not.
	slices.SortFunc(list, func(a, b *store.Mailbox) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, m := range list {
		if m.Role == mail.RoleInbox && t.byName[inbox] == nil { // the name is its own, whoever else has it
			t.take(t.byID[m.ID], inbox)
		}
	}
	for _, m := range list {
		t.place(m.ID, len(list))
	}
	for _, n := range slices.Clone(t.nodes) {
		t.hang(n)
	}
	for _, name := range subscribed {
		if t.byName[name] == nil {
			t.subscribed = append(t.subscribed, name)
		}
	}
	slices.SortFunc(t.nodes, func(a, b *node) int {
		if first := a.name == inbox; first || b.name == inbox {
			if first {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return t
}

// place names a mailbox, after its parents. depth ends what a damaged answer of
// a provider could make a ring.
func (t *tree) place(id string, depth int) *node {
	n := t.byID[id]
	if n == nil || n.name != "" {
		return n
	}
	var parent *node
	if depth > 0 && n.mailbox.Parent != "" {
		parent = t.place(n.mailbox.Parent, depth-1)
		if n.name != "" {
			return n
		}
	}
	name := encodeName(n.mailbox.Name)
	if n.mailbox.Kind == mail.KindLabel {
		name = encodeLabel(n.mailbox.Name)
	}
	if parent != nil {
		name = parent.name + string(Delimiter) + name
	} else {
		name = foldInbox(name)
	}
	for t.byName[name] != nil || name == inbox {
		name += "=~" + id[max(0, len(id)-8):]
	}
	t.take(n, name)
	return n
}

func (t *tree) take(n *node, name string) {
	n.name = name
	t.byName[name] = n
	t.nodes = append(t.nodes, n)
}

// hang puts a node below the name above its own, and makes a hollow one where
// that is no mailbox.
func (t *tree) hang(n *node) {
	for {
		end := strings.LastIndexByte(n.name, Delimiter)
		if end < 0 {
			return
		}
		above := t.byName[n.name[:end]]
		known := above != nil
		if !known {
			above, known = t.hollow[n.name[:end]]
		}
		if !known {
			above = &node{name: n.name[:end]}
			t.hollow[above.name] = above
			t.nodes = append(t.nodes, above)
		}
		above.children = append(above.children, n)
		if known {
			return
		}
		n = above
	}
}

// find gives the mailbox of a name.
func (t *tree) find(name string) (*node, error) {
	if n := t.byName[foldInbox(name)]; n != nil {
		return n, nil
	}
	if foldInbox(name) == inbox {
		// Every account has one: the provider was not asked yet.
		return nil, mail.Errorf(mail.KindUnavailable, "find mailbox", "The account is being read for the first time; try again in a moment")
	}
	return nil, mail.Errorf(mail.KindNotFound, "find mailbox", "There is no mailbox of that name")
}

// shown reports whether a mailbox is listed where it was not asked for by its
// whole name: hidden ones are where their owner subscribed to them, or where
// one below them is listed.
func (n *node) shown() bool {
	own := n.mailbox != nil && (!n.mailbox.Hidden || n.mailbox.Subscription == store.Subscribed)
	return own || slices.ContainsFunc(n.children, (*node).shown)
}

// uses are the special uses of RFC 6154 that roles are.
var uses = map[mail.Role]string{
	mail.RoleAll: `\All`, mail.RoleArchive: `\Archive`, mail.RoleDrafts: `\Drafts`, mail.RoleFlagged: `\Flagged`,
	mail.RoleJunk: `\Junk`, mail.RoleSent: `\Sent`, mail.RoleTrash: `\Trash`,
}
