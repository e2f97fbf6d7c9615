package gmail

import (
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Labels of Gmail's own ("Manage labels", Gmail API).
const (
	labelInbox     = "INBOX"
	labelSent      = "SENT"
	labelDraft     = "DRAFT"
	labelTrash     = "TRASH"
	labelSpam      = "SPAM"
	labelUnread    = "UNREAD"
	labelStarred   = "STARRED"
	labelImportant = "IMPORTANT"
	categoryPrefix = "CATEGORY_"
)

// mailboxAll is the mailbox that Gmail's API does not have: everything that is
// in neither Trash nor Spam. Without it archived mail would be nowhere.
const mailboxAll = "ALL"

// roles of labels.
var roles = map[string]mail.Role{
	labelInbox: mail.RoleInbox,
	labelSent:  mail.RoleSent,
	labelDraft: mail.RoleDrafts,
	labelTrash: mail.RoleTrash,
	labelSpam:  mail.RoleJunk,
	mailboxAll: mail.RoleAll,
}

// marks are labels that are keywords and no mailboxes. UNREAD is one by its
// absence. $important is of RFC 8457.
var marks = map[string]string{
	labelStarred:            mail.Flagged,
	labelImportant:          "$important",
	"CATEGORY_PERSONAL":     "category_personal",
	"CATEGORY_SOCIAL":       "category_social",
	"CATEGORY_PROMOTIONS":   "category_promotions",
	"CATEGORY_UPDATES":      "category_updates",
	"CATEGORY_FORUMS":       "category_forums",
	"CATEGORY_RESERVATIONS": "category_reservations",
	"CATEGORY_PURCHASES":    "category_purchases",
}

// categoryKeywords are the keywords of categories and of importance.
func categoryKeywords() []string {
	var out []string
	for label, k := range marks {
		if isCategory(label) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// isCategory: labels that the setting categories is about.
func isCategory(label string) bool {
	return label == labelImportant || strings.HasPrefix(label, categoryPrefix)
}

// hiddenLabel: what has it is nowhere else.
func hiddenLabel(label string) bool { return label == labelTrash || label == labelSpam }

// isMailbox reports whether a label is a mailbox of the account.
func (c *config) isMailbox(label string) bool {
	switch {
	case label == labelUnread, label == labelStarred, label == mailboxAll, label == "":
		return false
	case isCategory(label):
		return c.categories == categoriesMailboxes
	case roles[label] != "":
		return true
	case label == "CHAT", strings.HasSuffix(label, "_STAR"), strings.HasSuffix(label, "_CIRCLE"):
		return false // of no use, and not to be set
	}
	return true
}

// keywordLabel is the label that stands for a keyword. $seen is the absence of
// UNREAD, and has none.
func (c *config) keywordLabel(keyword string) (label string, ok bool) {
	for l, k := range marks {
		if k == keyword && (l == labelStarred || c.categories == categoriesKeywords) {
			return l, true
		}
	}
	return "", false
}

// state is the mailboxes and keywords that labels stand for, both sorted. What is
// in Trash or Spam is nowhere else: it keeps its labels, by which it goes back,
// but Gmail shows it under none of them, and lists it under none of them.
func (c *config) state(labels []string) (mailboxes, keywords []string) {
	mailboxes, keywords = []string{}, []string{}
	all, seen := true, true
	for _, l := range labels {
		switch {
		case l == labelUnread:
			seen = false
		case hiddenLabel(l):
			all = false
		case l == labelDraft:
			keywords = append(keywords, mail.Draft)
		}
		if c.isMailbox(l) {
			mailboxes = append(mailboxes, l)
		} else if k := marks[l]; k != "" && (l == labelStarred || c.categories == categoriesKeywords) {
			keywords = append(keywords, k)
		}
	}
	if all {
		mailboxes = append(mailboxes, mailboxAll)
	} else {
		mailboxes = slices.DeleteFunc(mailboxes, func(l string) bool { return !hiddenLabel(l) })
	}
	if seen {
		keywords = append(keywords, mail.Seen)
	}
	slices.Sort(mailboxes)
	slices.Sort(keywords)
	return slices.Compact(mailboxes), slices.Compact(keywords)
}

// stateOf is a message's state as far as its labels tell it, with the fields
// that are known by them. It is what a change answers with.
func (c *config) stateOf(id, thread string, labels []string, history uint64) (mail.Message, mail.Fields) {
	m := mail.Message{ProviderID: id, ProviderThreadID: thread, Version: history}
	m.Mailboxes, m.Keywords = c.state(labels)
	return m, mail.FieldKeywords | mail.FieldMailboxes
}
