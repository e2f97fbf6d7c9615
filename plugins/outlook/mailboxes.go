package outlook

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Well-known folder names, which Graph takes in place of ids.
const (
	wellKnownRoot   = "msgfolderroot"
	wellKnownDrafts = "drafts"
	wellKnownSent   = "sentitems"
	wellKnownTrash  = "deleteditems"
	wellKnownOutbox = "outbox"
)

// roles of well-known folders. Display names are in the owner's language, so
// that only asking by name tells which folder is which.
var roles = []struct {
	name string
	role mail.Role
}{
	{wellKnownRoot, mail.RoleNone},
	{"inbox", mail.RoleInbox},
	{wellKnownDrafts, mail.RoleDrafts},
	{wellKnownSent, mail.RoleSent},
	{wellKnownTrash, mail.RoleTrash},
	{"junkemail", mail.RoleJunk},
	{"archive", mail.RoleArchive},
	{wellKnownOutbox, mail.RoleOutbox},
}

// maxFolders is more folders than any mailbox has.
const maxFolders = 100_000

// searchFolderType marks folders that hold no message of their own.
const searchFolderType = "mailSearchFolder"

func folderPath(id string) string { return "/me/mailFolders/" + url.PathEscape(id) }

// Mailboxes lists all folders, level by level, with parents before children.
func (p *Provider) Mailboxes(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "list mailboxes")
	if err != nil {
		return nil, err
	}
	defer done()
	level, err := c.folders(ctx, "/me/mailFolders")
	if err != nil {
		return nil, err
	}
	var all []msgraph.Folder
	seen := map[string]bool{}
	for len(level) > 0 {
		var parents []string
		for _, f := range level {
			if f.ID == "" || seen[f.ID] || strings.HasSuffix(f.Type, searchFolderType) {
				continue
			}
			if !seen[f.ParentFolderID] {
				f.ParentFolderID = "" // the root, something that is not listed, or itself
			}
			seen[f.ID] = true
			all = append(all, f)
			if f.ChildCount > 0 {
				parents = append(parents, f.ID)
			}
		}
		if len(seen) > maxFolders {
			return nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: "no_end", Message: "the provider's list of mailboxes comes to no end"}
		}
		if level, err = c.children(ctx, parents); err != nil {
			return nil, err
		}
	}
	known, err := c.rolesOf(ctx, seen)
	if err != nil {
		return nil, err
	}
	out := &provider.MailboxesResponse{}
	for i := range all {
		out.Mailboxes = append(out.Mailboxes, mailbox(&all[i], known[all[i].ID], ""))
	}
	return out, nil
}

const folderPageQuery = "includeHiddenFolders=true&$top=100"

// folders reads one collection of folders to its end.
func (c *call) folders(ctx context.Context, path string) ([]msgraph.Folder, error) {
	var page msgraph.Page[msgraph.Folder]
	r := &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: path, Priority: c.prio,
		Query: url.Values{"includeHiddenFolders": {"true"}, "$top": {"100"}}}
	if err := c.graph.Do(ctx, r, &page); err != nil {
		return nil, err
	}
	return c.moreFolders(ctx, &page)
}

// moreFolders follows the links of a first page.
func (c *call) moreFolders(ctx context.Context, page *msgraph.Page[msgraph.Folder]) ([]msgraph.Folder, error) {
	all := page.Value
	var trail pace.Trail
	for link, got := page.NextLink, len(page.Value); link != ""; {
		if err := c.graph.CheckLink(c.op, link); err != nil {
			return nil, err
		}
		if err := trail.Follow(c.op, link, got); err != nil {
			return nil, err
		}
		if len(all) > maxFolders {
			return nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: "no_end", Message: "the provider's list of mailboxes comes to no end"}
		}
		var next msgraph.Page[msgraph.Folder]
		if err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodGet, Link: link, Priority: c.prio}, &next); err != nil {
			return nil, err
		}
		all, link, got = append(all, next.Value...), next.NextLink, len(next.Value)
	}
	return all, nil
}

// children lists the children of many folders, in batches.
func (c *call) children(ctx context.Context, parents []string) ([]msgraph.Folder, error) {
	if len(parents) == 0 {
		return nil, nil
	}
	items := make([]msgraph.Item, len(parents))
	for i, id := range parents {
		items[i] = msgraph.Item{Method: http.MethodGet, Path: folderPath(id) + "/childFolders?" + folderPageQuery}
	}
	answers, err := c.graph.Batch(ctx, c.op, c.prio, items)
	if err != nil {
		return nil, err
	}
	var all []msgraph.Folder
	for i := range answers {
		var page msgraph.Page[msgraph.Folder]
		err := answers[i].Decode(c.op, &page)
		if mail.KindOf(err) == mail.KindNotFound {
			continue // deleted while we were listing
		}
		if err != nil {
			return nil, err
		}
		more, err := c.moreFolders(ctx, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func mailbox(f *msgraph.Folder, role mail.Role, root string) mail.Mailbox {
	m := mail.Mailbox{
		ID: f.ID, ParentID: f.ParentFolderID, Name: f.DisplayName,
		Role: role, Kind: mail.KindFolder, Hidden: f.IsHidden, Total: -1, Unread: -1,
	}
	if m.ParentID == root {
		m.ParentID = ""
	}
	if f.Total != nil {
		m.Total = max(*f.Total, -1)
	}
	if f.Unread != nil {
		m.Unread = max(*f.Unread, -1)
	}
	return m
}

// folder reads one folder.
func (c *call) folder(ctx context.Context, id string) (*msgraph.Folder, error) {
	var f msgraph.Folder
	err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: folderPath(id), Priority: c.prio}, &f)
	return &f, err
}

// described gives a folder its role and its place, which take a look at the
// well-known ones.
func (c *call) described(ctx context.Context, f *msgraph.Folder) (mail.Mailbox, error) {
	known, root, err := c.wellKnown(ctx)
	if err != nil {
		return mail.Mailbox{}, err
	}
	return mailbox(f, known[f.ID], root), nil
}

// CreateMailbox makes a folder.
func (p *Provider) CreateMailbox(ctx context.Context, req *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "create mailbox")
	if err != nil {
		return nil, err
	}
	defer done()
	if req.Name == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "a mailbox needs a name"}
	}
	path := "/me/mailFolders"
	if req.ParentID != "" {
		path = folderPath(req.ParentID) + "/childFolders"
	}
	var f msgraph.Folder
	err = c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPost, Path: path, Once: true, Priority: c.prio,
		Body: map[string]any{"displayName": req.Name}}, &f)
	if err != nil {
		return nil, err
	}
	// A folder that was just made has no role; only the root need be known,
	// and with a parent given not even that.
	if req.ParentID != "" {
		return &provider.CreateMailboxResponse{Mailbox: mailbox(&f, mail.RoleNone, "")}, nil
	}
	m := mailbox(&f, mail.RoleNone, f.ParentFolderID)
	return &provider.CreateMailboxResponse{Mailbox: m}, nil
}

// RenameMailbox renames a folder and moves it. What is so already is left
// alone, so that the call may be repeated.
func (p *Provider) RenameMailbox(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "rename mailbox")
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := c.folder(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	parent := req.ParentID
	if parent == "" {
		root, err := c.folder(ctx, wellKnownRoot)
		if err != nil {
			return nil, err
		}
		parent = root.ID
	}
	rename := func() error {
		if req.Name == "" || f.DisplayName == req.Name {
			return nil
		}
		return c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPatch, Path: folderPath(f.ID), Priority: c.prio,
			Body: map[string]string{"displayName": req.Name}}, f)
	}
	move := func() error {
		if f.ParentFolderID == parent {
			return nil
		}
		return c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPost, Path: folderPath(f.ID) + "/move", Priority: c.prio,
			Body: map[string]string{"destinationId": parent}}, f)
	}
	// The new name may be taken in the old place, or the old name in the new
	// place: then the other order works.
	err = rename()
	if mail.KindOf(err) == mail.KindConflict && f.ParentFolderID != parent {
		if err = move(); err == nil {
			err = rename()
		}
	} else if err == nil {
		err = move()
	}
	if err != nil {
		return nil, err
	}
	m, err := c.described(ctx, f)
	if err != nil {
		return nil, err
	}
	return &provider.RenameMailboxResponse{Mailbox: m}, nil
}

// DeleteMailbox removes a folder, which Exchange does by moving it with all
// that is in it to Deleted Items. The second deletion of the same folder
// would be for good, so that a lost answer is settled by looking.
func (p *Provider) DeleteMailbox(ctx context.Context, req *provider.DeleteMailboxRequest) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "delete mailbox")
	if err != nil {
		return err
	}
	defer done()
	before, err := c.folder(ctx, req.ID)
	if mail.KindOf(err) == mail.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for {
		err = c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodDelete, Path: folderPath(req.ID), Once: true, Priority: c.prio}, nil)
		switch mail.KindOf(err) {
		case mail.KindNotFound:
			return nil
		case mail.KindOutcomeUnknown:
		default:
			return err
		}
		after, lookErr := c.folder(ctx, req.ID)
		switch {
		case mail.KindOf(lookErr) == mail.KindNotFound:
			return nil
		case lookErr != nil:
			return err
		case after.ParentFolderID != before.ParentFolderID:
			return nil
		}
	}
}
