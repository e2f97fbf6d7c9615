package gmail

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// names of Gmail's own labels, which are told in capitals.
var names = map[string]string{
	labelInbox:     "Inbox",
	labelSent:      "Sent",
	labelDraft:     "Drafts",
	labelTrash:     "Trash",
	labelSpam:      "Spam",
	labelImportant: "Important",
	mailboxAll:     "All Mail",
}

// Mailboxes lists the labels. Counts are asked for where they cost little: in
// the same batch, of what is not in the list (a list of labels has none, and to
// ask for each would cost a unit and a request for every label in every round).
// All Mail is counted by what the others leave of the whole.
func (p *Provider) Mailboxes(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "list mailboxes")
	if err != nil {
		return nil, err
	}
	defer done()
	counted := []string{labelInbox, labelTrash, labelSpam}
	parts := []part{{cost: labelsList, path: "labels"}, {cost: getProfile, path: "profile"}}
	for _, id := range counted {
		parts = append(parts, part{cost: labelsGet, path: "labels/" + id})
	}
	answers, err := c.batch(ctx, parts)
	if err != nil {
		return nil, err
	}
	var list gmailapi.ListLabelsResponse
	if err := answers[0].decode(c.op, &list); err != nil {
		return nil, err
	}
	out := &provider.MailboxesResponse{Mailboxes: c.conf.mailboxes(list.Labels)}
	c.count(out.Mailboxes, counted, answers[1:])
	return out, nil
}

// count fills in what is known of counts; answers are those of the profile and
// of the counted labels. What could not be had stays unknown.
func (c *call) count(list []mail.Mailbox, counted []string, answers []answer) {
	var profile gmailapi.Profile
	left, sure := int64(0), answers[0].decode(c.op, &profile) == nil
	left = profile.MessagesTotal
	known := map[string]*gmailapi.Label{}
	for i, id := range counted {
		var l gmailapi.Label
		if answers[i+1].decode(c.op, &l) != nil || l.MessagesTotal < 0 || l.MessagesUnread < 0 || l.MessagesUnread > l.MessagesTotal {
			sure = sure && id == labelInbox
			continue
		}
		known[id] = &l
		if id != labelInbox {
			left -= l.MessagesTotal
		}
	}
	for i := range list {
		m := &list[i]
		if l := known[m.ID]; l != nil {
			m.Total, m.Unread = l.MessagesTotal, l.MessagesUnread
		} else if m.ID == mailboxAll && sure && left >= 0 {
			m.Total = left
		}
	}
}

// mailboxes makes mailboxes of labels, parents before children.
func (c *config) mailboxes(labels []*gmailapi.Label) []mail.Mailbox {
	byName := map[string]string{}
	var own []*gmailapi.Label
	out := []mail.Mailbox{{ID: mailboxAll, Name: names[mailboxAll], Role: mail.RoleAll, Kind: mail.KindLabel, Hidden: !c.showAll, Total: -1, Unread: -1}}
	for _, l := range labels {
		switch {
		case l == nil || !c.isMailbox(l.Id):
		case userLabel(l):
			own = append(own, l)
			byName[l.Name] = l.Id
		default:
			out = append(out, mail.Mailbox{ID: l.Id, Name: systemName(l), Role: roles[l.Id], Kind: mail.KindLabel, Total: -1, Unread: -1})
		}
	}
	slices.SortFunc(out, func(a, b mail.Mailbox) int { return cmp.Compare(a.ID, b.ID) })
	// A prefix of a name is shorter than the name.
	slices.SortFunc(own, func(a, b *gmailapi.Label) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	for _, l := range own {
		out = append(out, place(l, byName))
	}
	return out
}

// userLabel: the owner made it. A label of which the type is not told is one
// whose id is its own.
func userLabel(l *gmailapi.Label) bool {
	return l.Type == "user" || l.Type == "" && strings.HasPrefix(l.Id, "Label_")
}

func systemName(l *gmailapi.Label) string {
	if name := names[l.Id]; name != "" {
		return name
	}
	if c, ok := strings.CutPrefix(l.Id, categoryPrefix); ok && c != "" {
		return c[:1] + strings.ToLower(c[1:])
	}
	return cmp.Or(l.Name, l.Id)
}

// place puts a label below the longest part of its name that is a label. Parents
// need not exist: what is missing stays in the name.
func place(l *gmailapi.Label, byName map[string]string) mail.Mailbox {
	m := mail.Mailbox{ID: l.Id, Name: l.Name, Kind: mail.KindLabel, Total: -1, Unread: -1}
	for i := len(l.Name) - 1; i > 0; i-- {
		if l.Name[i] != '/' || i == len(l.Name)-1 {
			continue
		}
		if parent := byName[l.Name[:i]]; parent != "" && parent != l.Id {
			m.ParentID, m.Name = parent, l.Name[i+1:]
			break
		}
	}
	return m
}

// labels lists all labels.
func (c *call) labels(ctx context.Context) ([]*gmailapi.Label, error) {
	var list *gmailapi.ListLabelsResponse
	err := c.do(ctx, labelsList, func(ctx context.Context, s *gmailapi.Service) (err error) {
		list, err = s.Users.Labels.List("me").Context(ctx).Do()
		return err
	})
	if err != nil {
		return nil, err
	}
	return list.Labels, nil
}

// labelNamed finds a label in a list.
func labelNamed(list []*gmailapi.Label, is func(*gmailapi.Label) bool) *gmailapi.Label {
	for _, l := range list {
		if l != nil && is(l) {
			return l
		}
	}
	return nil
}

func labelByID(list []*gmailapi.Label, id string) *gmailapi.Label {
	return labelNamed(list, func(l *gmailapi.Label) bool { return l.Id == id })
}

// fullName is the whole name of a label below a parent, which must be one of the
// owner's: Gmail's own have nothing below them.
func (c *call) fullName(list []*gmailapi.Label, parent, name string) (string, error) {
	name = strings.Trim(name, "/")
	if strings.TrimSpace(name) == "" {
		return "", &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "a mailbox needs a name"}
	}
	if parent == "" {
		return name, nil
	}
	above := labelByID(list, parent)
	switch {
	case above == nil:
		return "", &mail.Error{Kind: mail.KindNotFound, Op: c.op, Code: "no_parent", Message: "there is no such parent mailbox"}
	case !userLabel(above):
		return "", &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "system_label", Message: "Gmail's own mailboxes have nothing below them"}
	}
	return above.Name + "/" + name, nil
}

// CreateMailbox makes a label. Whether a lost answer was a success is settled by
// looking.
func (p *Provider) CreateMailbox(ctx context.Context, req *provider.CreateMailboxRequest) (*provider.CreateMailboxResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "create mailbox")
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := c.labels(ctx)
	if err != nil {
		return nil, err
	}
	name, err := c.fullName(list, req.ParentID, req.Name)
	if err != nil {
		return nil, err
	}
	var made *gmailapi.Label
	err = c.do(ctx, labelsCreate, func(ctx context.Context, s *gmailapi.Service) (err error) {
		made, err = s.Users.Labels.Create("me", &gmailapi.Label{Name: name, LabelListVisibility: "labelShow", MessageListVisibility: "show"}).Context(ctx).Do()
		return err
	})
	if mail.KindOf(err) == mail.KindOutcomeUnknown && labelNamed(list, func(l *gmailapi.Label) bool { return l.Name == name }) == nil {
		if list, lookErr := c.labels(ctx); lookErr == nil {
			if l := labelNamed(list, func(l *gmailapi.Label) bool { return l.Name == name }); l != nil {
				made, err = l, nil
			}
		}
	}
	if err != nil {
		return nil, labelError(err)
	}
	return &provider.CreateMailboxResponse{Mailbox: mail.Mailbox{
		ID: made.Id, ParentID: req.ParentID, Name: strings.Trim(req.Name, "/"), Kind: mail.KindLabel, Total: 0, Unread: 0,
	}}, nil
}

// RenameMailbox renames a label, and with it those below it, whose names begin
// with its own. The label itself comes last, so that a call that was cut off can
// be repeated: what is named so already is left alone.
func (p *Provider) RenameMailbox(ctx context.Context, req *provider.RenameMailboxRequest) (*provider.RenameMailboxResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "rename mailbox")
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := c.labels(ctx)
	if err != nil {
		return nil, err
	}
	l := labelByID(list, req.ID)
	switch {
	case l == nil && req.ID != mailboxAll:
		return nil, &mail.Error{Kind: mail.KindNotFound, Op: c.op, Code: "no_mailbox", Message: "there is no such mailbox"}
	case l == nil || !userLabel(l):
		return nil, &mail.Error{Kind: mail.KindForbidden, Op: c.op, Code: "system_label", Message: "Gmail's own mailboxes keep their names"}
	}
	short := req.Name
	if short == "" {
		short = place(l, namesOf(list)).Name
	}
	name, err := c.fullName(list, req.ParentID, short)
	if err != nil {
		return nil, err
	}
	if name == l.Name+"/"+strings.Trim(short, "/") && req.ParentID == l.Id || strings.HasPrefix(name, l.Name+"/") && req.ParentID != "" && isBelow(list, req.ParentID, l) {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "below_itself", Message: "a mailbox cannot be below itself"}
	}
	if other := labelNamed(list, func(o *gmailapi.Label) bool { return o.Id != l.Id && o.Name == name }); other != nil {
		return nil, &mail.Error{Kind: mail.KindConflict, Op: c.op, Code: "alreadyExists", Message: "there is a mailbox of that name"}
	}
	if name != l.Name {
		for _, below := range list {
			if rest, ok := strings.CutPrefix(below.Name, l.Name+"/"); ok && userLabel(below) {
				if err := c.renameLabel(ctx, below.Id, name+"/"+rest); err != nil {
					return nil, err
				}
			}
		}
		if err := c.renameLabel(ctx, l.Id, name); err != nil {
			return nil, err
		}
	}
	return &provider.RenameMailboxResponse{Mailbox: mail.Mailbox{
		ID: l.Id, ParentID: req.ParentID, Name: strings.Trim(short, "/"), Kind: mail.KindLabel, Total: -1, Unread: -1,
	}}, nil
}

func (c *call) renameLabel(ctx context.Context, id, name string) error {
	err := c.do(ctx, labelsPatch, func(ctx context.Context, s *gmailapi.Service) error {
		_, err := s.Users.Labels.Patch("me", id, &gmailapi.Label{Name: name}).Context(ctx).Do()
		return err
	})
	return labelError(err)
}

// isBelow reports whether the label of an id is below another one.
func isBelow(list []*gmailapi.Label, id string, above *gmailapi.Label) bool {
	l := labelByID(list, id)
	return l != nil && strings.HasPrefix(l.Name, above.Name+"/")
}

func namesOf(list []*gmailapi.Label) map[string]string {
	byName := map[string]string{}
	for _, l := range list {
		if userLabel(l) {
			byName[l.Name] = l.Id
		}
	}
	return byName
}

// DeleteMailbox removes a label, as Gmail does: the messages stay, and so do the
// labels below it, which carry its name on.
func (p *Provider) DeleteMailbox(ctx context.Context, req *provider.DeleteMailboxRequest) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "delete mailbox")
	if err != nil {
		return err
	}
	defer done()
	if roles[req.ID] != "" || isCategory(req.ID) {
		return &mail.Error{Kind: mail.KindForbidden, Op: c.op, Code: "system_label", Message: "Gmail's own mailboxes cannot be deleted"}
	}
	err = labelError(c.do(ctx, labelsDelete, func(ctx context.Context, s *gmailapi.Service) error {
		return s.Users.Labels.Delete("me", req.ID).Context(ctx).Do()
	}))
	if mail.KindOf(err) == mail.KindNotFound {
		return nil
	}
	return err
}

// labelError: what Gmail says of labels by 400 and 409. A label that was deleted
// is an invalid one.
func labelError(err error) error {
	var e *mail.Error
	if !errors.As(err, &e) {
		return err
	}
	words := strings.ToLower(e.Message)
	kind := e.Kind
	switch status := statusOf(err); {
	case status == http.StatusConflict, strings.Contains(words, "name exists or conflicts"):
		kind = mail.KindConflict
	case status == http.StatusBadRequest && strings.Contains(words, "invalid label name"):
		kind = mail.KindInvalid
	case status == http.StatusBadRequest && (strings.Contains(words, "invalid label:") || strings.Contains(words, "labelid not found")):
		kind = mail.KindNotFound
	}
	if kind == e.Kind {
		return err
	}
	other := *e
	other.Kind = kind
	return &other
}
