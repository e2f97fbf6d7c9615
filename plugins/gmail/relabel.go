package gmail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// relabelling is what a change of keywords and mailboxes is at Gmail: labels
// that come and go.
type relabelling struct{ add, remove []string }

func (r *relabelling) empty() bool { return len(r.add)+len(r.remove) == 0 }

// holds reports whether labels are as they are after the change.
func (r *relabelling) holds(labels []string) bool {
	for _, l := range r.add {
		if !slices.Contains(labels, l) {
			return false
		}
	}
	return !slices.ContainsFunc(r.remove, func(l string) bool { return slices.Contains(labels, l) })
}

func (r *relabelling) put(label string) {
	if !slices.Contains(r.add, label) {
		r.add = append(r.add, label)
	}
	r.remove = slices.DeleteFunc(r.remove, func(l string) bool { return l == label })
}

// take takes a label off, unless it is put on.
func (r *relabelling) take(labels ...string) {
	for _, l := range labels {
		if !slices.Contains(r.remove, l) && !slices.Contains(r.add, l) {
			r.remove = append(r.remove, l)
		}
	}
}

// relabelling says which labels come and go.
//
// The ways into Trash and Spam lead out of the inbox, as Gmail's own do; the
// other labels stay, and show again when the message comes back. A message is
// in ALL as long as it is in neither: so ALL is entered by leaving these, and is
// left by entering one. What Gmail alone sets, SENT and DRAFT, stays where it
// is when a message joins another mailbox, as does ALL: the result says so.
func (c *config) relabelling(op string, req *provider.ModifyRequest) (*relabelling, error) {
	r := &relabelling{}
	for _, k := range req.AddKeywords {
		if k = strings.ToLower(k); k == mail.Seen {
			r.take(labelUnread)
		} else if l, ok := c.keywordLabel(k); ok {
			r.put(l)
		}
	}
	for _, k := range req.RemoveKeywords {
		if k = strings.ToLower(k); k == mail.Seen {
			r.put(labelUnread)
		} else if l, ok := c.keywordLabel(k); ok {
			r.take(l)
		}
	}
	for _, m := range req.AddMailboxes {
		switch {
		case m == mailboxAll:
		case fixed(m):
			return nil, &mail.Error{Kind: mail.KindInvalid, Op: op, Code: "fixed_label", Message: "Gmail alone puts messages into " + m}
		case !c.isMailbox(m):
			return nil, unknownMailbox(op, m)
		default:
			r.put(m)
		}
	}
	stays := ""
	for _, m := range req.RemoveMailboxes {
		switch {
		case fixed(m), m == mailboxAll:
			stays = m
		case !c.isMailbox(m):
			return nil, unknownMailbox(op, m)
		default:
			r.take(m)
		}
	}
	if stays != "" && len(req.AddMailboxes) == 0 {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: op, Code: "fixed_label", Message: "a message leaves " + stays + " by going to the trash"}
	}
	for _, m := range req.AddMailboxes {
		switch m {
		case mailboxAll, labelTrash, labelSpam:
			// Two of these at once are settled in favour of who was put on.
			r.take(labelTrash, labelSpam)
		}
		if m == labelTrash || m == labelSpam {
			r.take(labelInbox)
		}
	}
	return r, nil
}

// fixed: labels that no application may put on or take off.
func fixed(label string) bool { return label == labelSent || label == labelDraft }

func unknownMailbox(op, id string) error {
	return &mail.Error{Kind: mail.KindNotFound, Op: op, Code: "no_mailbox", Message: fmt.Sprintf("there is no mailbox %q", clip(id, 100))}
}
