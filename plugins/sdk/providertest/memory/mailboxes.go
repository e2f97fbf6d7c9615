package memory

import (
	"context"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Mailboxes lists all mailboxes, parents before children.
func (p *Provider) Mailboxes(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	out := &provider.MailboxesResponse{}
	err := p.call(ctx, "mailboxes", req.Call, func(a *account) error {
		a.walk("", func(m *mail.Mailbox) { out.Mailboxes = append(out.Mailboxes, a.count(m)) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// walk goes through the tree from the top.
func (a *account) walk(parent string, visit func(*mail.Mailbox)) {
	for _, m := range a.mailboxes {
		if m.ParentID == parent {
			visit(m)
			a.walk(m.ID, visit)
		}
	}
}

// count gives a mailbox with its numbers.
func (a *account) count(m *mail.Mailbox) mail.Mailbox {
	out := *m
	for _, msg := range a.messages {
		if msg.mailboxes[m.ID] {
			out.Total++
			if !msg.keywords[mail.Seen] {
				out.Unread++
			}
		}
	}
	return out
}

// check refuses names and parents that cannot be.
func (a *account) check(id, parent, name string) error {
	if strings.TrimSpace(name) == "" {
		return mail.Errorf(mail.KindInvalid, "name mailbox", "a mailbox needs a name")
	}
	if parent != "" && a.mailbox(parent) == nil {
		return mail.Errorf(mail.KindNotFound, "name mailbox", "no such parent")
	}
	for up := parent; up != ""; up = a.mailbox(up).ParentID {
		if up == id {
			return mail.Errorf(mail.KindInvalid, "name mailbox", "a mailbox cannot be below itself")
		}
	}
	for _, m := range a.mailboxes {
		if m.ID != id && m.ParentID == parent && strings.EqualFold(m.Name, name) {
			return mail.Errorf(mail.KindConflict, "name mailbox", "there is a mailbox of this name")
		}
	}
	return nil
}

func (c *Cloud) createMailbox(a *account, parent, name string) (*mail.Mailbox, error) {
	if err := a.check("", parent, name); err != nil {
		return nil, err
	}
	m := &mail.Mailbox{ID: c.newID("mailbox"), ParentID: parent, Name: name, Kind: c.opts.Kind}
	a.mailboxes = append(a.mailboxes, m)
	return m, nil
}

// CreateMailbox makes a mailbox.
func (p *Provider) CreateMailbox(ctx context.Context, req *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
	out := &provider.CreateMailboxResponse{}
	err := p.call(ctx, "create mailbox", req.Call, func(a *account) error {
		m, err := p.cloud.createMailbox(a, req.ParentID, req.Name)
		if err == nil {
			out.Mailbox = a.count(m)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RenameMailbox gives a mailbox a name and a parent.
func (p *Provider) RenameMailbox(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
	out := &provider.RenameMailboxResponse{}
	err := p.call(ctx, "rename mailbox", req.Call, func(a *account) error {
		m := a.mailbox(req.ID)
		if m == nil {
			return mail.Errorf(mail.KindNotFound, "rename mailbox", "no such mailbox")
		}
		if m.Role != mail.RoleNone {
			return mail.Errorf(mail.KindForbidden, "rename mailbox", "the mailbox has a role")
		}
		if err := a.check(m.ID, req.ParentID, req.Name); err != nil {
			return err
		}
		m.Name, m.ParentID = req.Name, req.ParentID
		out.Mailbox = a.count(m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteMailbox removes a mailbox and those below it. A folder's messages go
// to the trash; a label only comes off. One already gone is success.
func (p *Provider) DeleteMailbox(ctx context.Context, req *provider.DeleteMailboxRequest) error {
	return p.call(ctx, "delete mailbox", req.Call, func(a *account) error {
		m := a.mailbox(req.ID)
		if m == nil {
			return nil
		}
		if m.Role != mail.RoleNone {
			return mail.Errorf(mail.KindForbidden, "delete mailbox", "the mailbox has a role")
		}
		doomed := map[string]bool{m.ID: true}
		a.walk(m.ID, func(child *mail.Mailbox) { doomed[child.ID] = true })
		for _, msg := range a.newestFirst("") {
			rest := map[string]bool{}
			for id := range msg.mailboxes {
				if !doomed[id] {
					rest[id] = true
				}
			}
			if len(rest) == 0 && p.cloud.opts.Kind == mail.KindFolder {
				rest[string(mail.RoleTrash)] = true
			}
			p.cloud.place(a, msg, rest)
		}
		var left []*mail.Mailbox
		for _, box := range a.mailboxes {
			if !doomed[box.ID] {
				left = append(left, box)
			}
		}
		a.mailboxes = left
		return nil
	})
}
