package gmail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
)

// What mail calls a keyword and Gmail a label. There is none for $answered and
// $forwarded: Gmail keeps no such mark. Other keywords are labels of the user's
// with that name. $seen is the absence of UNREAD.
var keywordLabels = [][2]string{{"$flagged", labelStarred}, {"$draft", labelDraft}, {"$important", labelImportant}}

// keywordLabel is the label of a keyword; false when Gmail knows no such mark.
func (mb *mailbox) keywordLabel(keyword string, create bool) (string, bool) {
	low := strings.ToLower(keyword)
	for _, kl := range keywordLabels {
		if kl[0] == low {
			return kl[1], true
		}
	}
	if strings.HasPrefix(low, "$") || low == "" {
		return "", false
	}
	if strings.HasPrefix(low, "category_") && mb.labels[strings.ToUpper(low)] != nil {
		return strings.ToUpper(low), true
	}
	if l := mb.labelNamed(keyword); l != nil {
		return l.ID, true
	}
	if !create || reserved(keyword) {
		return "", false
	}
	return mb.addLabel(keyword).ID, true
}

// roleLabels are the names under which the small internet and the control API
// know the system's mailboxes, beside their ids.
func roleLabel(name string) (string, bool) {
	switch strings.ToLower(name) {
	case "", "inbox":
		return labelInbox, true
	case "sent", "sentitems", "sent mail", "sent items":
		return labelSent, true
	case "draft", "drafts":
		return labelDraft, true
	case "trash", "bin", "deleteditems", "deleted items":
		return labelTrash, true
	case "spam", "junk", "junkemail", "junk email":
		return labelSpam, true
	case "archive", "all", "all mail":
		return "", true // in no mailbox but AllMail
	}
	return "", false
}

// place is the label of a mailbox by role, id or path; a path that does not
// exist is made. "" is no label: archived.
func (mb *mailbox) place(name string) (string, error) {
	if id, ok := roleLabel(name); ok {
		return id, nil
	}
	if l := mb.labels[name]; l != nil {
		return l.ID, nil
	}
	if l := mb.labelNamed(name); l != nil {
		return l.ID, nil
	}
	if err := checkName(name); err != nil {
		return "", err
	}
	return mb.addLabel(name).ID, nil
}

// AllMail is the mailbox that holds every message that is in neither TRASH nor
// SPAM. Gmail has no label for it; the id is what its other programs call it.
const AllMail = "ALL"

// mailboxes are the labels of a message that stand for mailboxes, and AllMail.
// What is in TRASH or SPAM keeps its labels, and is shown under none of them.
func (m *Message) mailboxes() []string {
	var ids []string
	for _, l := range []string{labelTrash, labelSpam} {
		if m.has(l) {
			ids = append(ids, l)
		}
	}
	if len(ids) > 0 {
		return ids
	}
	ids = append(ids, AllMail)
	for _, l := range m.LabelIDs {
		if isMailbox(l) {
			ids = append(ids, l)
		}
	}
	return ids
}

// isMailbox tells labels that hold mail from those that are marks.
func isMailbox(id string) bool {
	switch id {
	case labelInbox, labelSent, labelDraft, labelTrash, labelSpam:
		return true
	case labelUnread, labelStarred, labelImportant, labelChat:
		return false
	}
	return !strings.HasPrefix(id, "CATEGORY_")
}

// keywords are the marks of a message in mail's words.
func (m *Message) keywords() []string {
	ks := []string{}
	if !m.has(labelUnread) {
		ks = append(ks, "$seen")
	}
	for _, kl := range keywordLabels {
		if m.has(kl[1]) {
			ks = append(ks, kl[0])
		}
	}
	for _, l := range m.LabelIDs {
		if strings.HasPrefix(l, "CATEGORY_") {
			ks = append(ks, strings.ToLower(l))
		}
	}
	return ks
}

// Deliver puts a message into the mailbox of address and returns its id. A
// label path that does not exist is made.
func (s *Server) Deliver(ctx context.Context, address string, d cloud.Delivery) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("deliver: %w", err)
	}
	mb := s.mailbox(address)
	if mb == nil {
		return "", fmt.Errorf("deliver to %s: %w", address, directory.ErrNoMailbox)
	}
	raw := slices.Clone(d.Raw)
	var id string
	err := s.locked(mb, func() error {
		now := s.now()
		if d.Transit {
			raw = arrive(raw, mb.user.Address, now, mb.rand)
		}
		in, err := mb.place(d.Mailbox)
		if err != nil {
			return fmt.Errorf("deliver to mailbox %q: %w", d.Mailbox, err)
		}
		mb.silent = !d.Notify
		defer func() { mb.silent = false }()
		id = mb.add(raw, mb.deliveryLabels(in, d.Keywords, raw), d.Date, now, "").ID
		return nil
	})
	return id, err
}

// deliveryLabels are the labels of a message that comes into a mailbox.
func (mb *mailbox) deliveryLabels(in string, keywords []string, raw []byte) []string {
	labels := []string{}
	if in != "" {
		labels = append(labels, in)
	}
	if in == labelInbox && !mb.set.NoCategories {
		labels = append(labels, categorise(parseContent(raw), mb.user.Address)...)
	}
	seen := in == labelSent || in == labelDraft
	for _, k := range keywords {
		if strings.EqualFold(k, "$seen") {
			seen = true
		} else if l, ok := mb.keywordLabel(k, true); ok {
			labels = append(labels, l)
		}
	}
	if !seen {
		labels = append(labels, labelUnread)
	}
	return labels
}

// Messages are all messages of a mailbox, oldest first.
func (s *Server) Messages(address string) ([]cloud.MessageInfo, error) {
	mb := s.mailbox(address)
	if mb == nil {
		return nil, fmt.Errorf("list messages of %s: %w", address, directory.ErrNoMailbox)
	}
	mb.mu.Lock()
	defer mb.mu.Unlock()
	infos := make([]cloud.MessageInfo, 0, len(mb.order))
	for _, m := range mb.order {
		sum := sha256.Sum256(m.Raw)
		infos = append(infos, cloud.MessageInfo{
			ID: m.ID, Mailboxes: m.mailboxes(), Keywords: m.keywords(), Size: int64(len(m.Raw)), SHA256: hex.EncodeToString(sum[:]),
		})
	}
	return infos, nil
}

// Edit moves a message and changes its keywords. Moving is what Gmail's own
// pages do: the labels of all other mailboxes go. A label path that does not
// exist is made.
func (s *Server) Edit(address, id string, want cloud.Edit) error {
	return s.change(address, id, "edit", func(mb *mailbox, m *Message, now time.Time) error {
		labels := m.LabelIDs
		if want.Mailbox != "" {
			in, err := mb.place(want.Mailbox)
			if err != nil {
				return fmt.Errorf("move to mailbox %q: %w", want.Mailbox, err)
			}
			labels = slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return isMailbox(l) && l != labelSent && l != labelDraft })
			if in != "" {
				labels = append(labels, in)
			}
		}
		for _, k := range want.AddKeywords {
			if strings.EqualFold(k, "$seen") {
				labels = minus(labels, []string{labelUnread})
			} else if l, ok := mb.keywordLabel(k, true); ok {
				labels = append(slices.Clone(labels), l)
			}
		}
		for _, k := range want.RemoveKeywords {
			if strings.EqualFold(k, "$seen") {
				labels = append(slices.Clone(labels), labelUnread)
			} else if l, ok := mb.keywordLabel(k, false); ok && l != labelDraft {
				labels = minus(labels, []string{l})
			}
		}
		mb.setLabels(m, labels, now)
		return nil
	})
}

// Delete removes a message for good.
func (s *Server) Delete(address, id string) error {
	return s.change(address, id, "delete", func(mb *mailbox, m *Message, now time.Time) error {
		mb.remove(m, now)
		return nil
	})
}

func (s *Server) change(address, id, what string, f func(*mailbox, *Message, time.Time) error) error {
	mb := s.mailbox(address)
	if mb == nil {
		return fmt.Errorf("%s a message of %s: %w", what, address, directory.ErrNoMailbox)
	}
	return s.locked(mb, func() error {
		m, err := mb.get(id)
		if err == nil {
			err = f(mb, m, s.now())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// ForgetCursors makes every history id issued so far answer 404.
func (s *Server) ForgetCursors(address string) error {
	mb := s.mailbox(address)
	if mb == nil {
		return fmt.Errorf("forget cursors of %s: %w", address, directory.ErrNoMailbox)
	}
	return s.locked(mb, func() error {
		mb.forget()
		return nil
	})
}
