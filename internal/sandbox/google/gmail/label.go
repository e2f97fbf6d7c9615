package gmail

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// The labels that every mailbox has and the sandbox gives a meaning.
const (
	labelInbox     = "INBOX"
	labelSpam      = "SPAM"
	labelTrash     = "TRASH"
	labelUnread    = "UNREAD"
	labelStarred   = "STARRED"
	labelImportant = "IMPORTANT"
	labelSent      = "SENT"
	labelDraft     = "DRAFT"
	labelChat      = "CHAT"
)

// A labelColor is both colours of a label, from the palette.
type labelColor struct {
	TextColor       string `json:"textColor,omitempty"`
	BackgroundColor string `json:"backgroundColor,omitempty"`
}

// A label is one label of a mailbox.
type label struct {
	ID                    string      `json:"id"`
	Name                  string      `json:"name"`
	MessageListVisibility string      `json:"messageListVisibility,omitempty"`
	LabelListVisibility   string      `json:"labelListVisibility,omitempty"`
	Type                  string      `json:"type"` // user or system
	Color                 *labelColor `json:"color,omitempty"`
}

func systemLabels() []*label {
	var ls []*label
	for _, id := range []string{labelChat, labelSent, labelInbox, labelImportant, labelTrash, labelDraft, labelSpam,
		"CATEGORY_FORUMS", "CATEGORY_UPDATES", "CATEGORY_PERSONAL", "CATEGORY_PROMOTIONS", "CATEGORY_SOCIAL", labelStarred, labelUnread} {
		l := &label{ID: id, Name: id, Type: "system"}
		if strings.HasPrefix(id, "CATEGORY_") || id == labelChat || id == labelImportant {
			l.MessageListVisibility, l.LabelListVisibility = "hide", "labelHide"
		}
		ls = append(ls, l)
	}
	return ls
}

// reserved reports whether a name belongs to the service: those of its labels,
// in any case, and those that its programs show for them.
func reserved(name string) bool {
	switch n := strings.ToLower(name); n {
	case "inbox", "spam", "trash", "unread", "starred", "important", "sent", "draft", "drafts", "chat", "chats", "all", "all mail",
		"archive", "bin", "muted", "popped", "snoozed", "scheduled", "voicemail", "opened", "contactcsv", "mute", "phishy", "buzz":
		return true
	default:
		return strings.HasPrefix(n, "category_") || strings.HasPrefix(n, "^") || strings.HasPrefix(n, "[gmail]") || strings.HasPrefix(n, "[google mail]")
	}
}

// labelNamed finds a user label by its name. Names are compared without case
// and with "/" and " " as given.
func (mb *mailbox) labelNamed(name string) *label {
	for _, l := range mb.labels {
		if l.Type == "user" && strings.EqualFold(l.Name, name) {
			return l
		}
	}
	return nil
}

// addLabel makes a user label.
func (mb *mailbox) addLabel(name string) *label {
	mb.nextWord++
	l := &label{
		ID: "Label_" + strconv.FormatUint(mb.nextWord, 10), Name: name, Type: "user",
		MessageListVisibility: "show", LabelListVisibility: "labelShow",
	}
	mb.labels[l.ID] = l
	return l
}

// sortedLabels are all labels, the system's first.
func (mb *mailbox) sortedLabels() []*label {
	ls := make([]*label, 0, len(mb.labels))
	for _, l := range mb.labels {
		ls = append(ls, l)
	}
	slices.SortFunc(ls, func(a, b *label) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(len(a.ID)*boolInt(a.Type == "user"), len(b.ID)*boolInt(b.Type == "user")), cmp.Compare(a.ID, b.ID))
	})
	return ls
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkLabels refuses ids of labels that do not exist.
func (mb *mailbox) checkLabels(ids []string) error {
	for _, id := range ids {
		if mb.labels[id] == nil {
			return errInvalid("Invalid label: %s", id)
		}
	}
	return nil
}

// checkName refuses names that no user label can have.
func checkName(name string) error {
	if strings.TrimSpace(name) == "" || len(name) > 225 || reserved(name) {
		return errInvalid("Invalid label name")
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.TrimSpace(part) == "" {
			return errInvalid("Invalid label name")
		}
	}
	return nil
}
