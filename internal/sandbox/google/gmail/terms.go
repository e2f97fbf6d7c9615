package gmail

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// A looker is what a query needs to know beside the message. Labels are looked
// up when the query runs, so that it may be parsed without the mailbox.
type looker struct {
	mb  *mailbox
	now time.Time
}

// A test is a term that is a function.
type test func(*looker, *Message) bool

func (t test) matches(l *looker, m *Message) bool { return t(l, m) }

func never(*looker, *Message) bool { return false }

// operator makes the term name:value.
func (p *parser) operator(op, value string) node {
	low := strings.ToLower(strings.TrimSpace(value))
	switch op {
	case "from", "to", "cc", "bcc", "subject", "deliveredto", "list":
		return inHeader(op, value)
	case "label", "in":
		return p.place(low)
	case "is":
		return isTerm(low)
	case "has":
		return hasTerm(low)
	case "category":
		return categoryTerm(low)
	case "filename":
		return fileTerm(low)
	case "after", "before", "newer", "older":
		return dateTerm(low, op == "after" || op == "newer")
	case "older_than", "newer_than":
		return ageTerm(low, op == "newer_than")
	case "larger", "smaller", "larger_than", "smaller_than", "size":
		return sizeTerm(low, strings.HasPrefix(op, "smaller"))
	}
	id := bareID(value) // rfc822msgid
	return test(func(_ *looker, m *Message) bool { return id != "" && m.content().messageID == id })
}

// tokens are the words of a text, without case. Letters of scripts that are
// written without spaces are words of their own.
func tokens(s string) []string {
	var out []string
	start := -1
	s = strings.ToLower(s)
	for i, r := range s {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai):
			if start >= 0 {
				out, start = append(out, s[start:i]), -1
			}
			out = append(out, string(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			if start < 0 {
				start = i
			}
		case start >= 0:
			out, start = append(out, s[start:i]), -1
		}
	}
	if start >= 0 {
		out = append(out, s[start:])
	}
	return out
}

// contains reports whether the words stand in the text, side by side.
func contains(text string, words []string) bool {
	ts := tokens(text)
	for i := 0; i+len(words) <= len(ts); i++ {
		if equal(ts[i:i+len(words)], words) {
			return true
		}
	}
	return false
}

func equal(a, b []string) bool {
	for i := range b {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// words is a word or phrase that is looked for everywhere.
type words []string

// newWords makes the term; a text without words is none.
func newWords(s string) node {
	if ts := tokens(s); len(ts) > 0 {
		return words(ts)
	}
	return nil
}

func (w words) matches(_ *looker, m *Message) bool {
	c := m.content()
	for _, name := range []string{"Subject", "From", "To", "Cc", "Bcc"} {
		if contains(c.fields(name), w) {
			return true
		}
	}
	for _, name := range c.attachments() {
		if contains(name, w) {
			return true
		}
	}
	return contains(c.text(), w)
}

// headerOf are the header fields that an operator searches.
var headerOf = map[string][]string{
	"from": {"From"}, "to": {"To", "Cc", "Bcc"}, "cc": {"Cc"}, "bcc": {"Bcc"}, "subject": {"Subject"},
	"deliveredto": {"Delivered-To"}, "list": {"List-Id", "List-Post"},
}

func inHeader(op, value string) node {
	ts := tokens(value)
	if len(ts) == 0 {
		return nil
	}
	person := op == "from" || op == "to" || op == "cc" || op == "bcc"
	me := person && strings.EqualFold(value, "me")
	return test(func(l *looker, m *Message) bool {
		c := m.content()
		for _, name := range headerOf[op] {
			if me {
				for _, a := range mimetree.ParseAddresses(c.header.All(name), c.charset) {
					if mimetree.SameAddress(a.Address, l.mb.user.Address) {
						return true
					}
				}
			} else if contains(c.fields(name), ts) {
				return true
			}
		}
		return false
	})
}

// hasLabel is a term for a label of the system's.
func hasLabel(id string) test { return func(_ *looker, m *Message) bool { return m.has(id) } }

// place is label: and in:, which know the same names. A label's name is
// written with hyphens for what is no word: label:work-2026 for "Work/2026".
func (p *parser) place(name string) node {
	switch name {
	case "anywhere":
		p.anywhere = true
		return test(func(*looker, *Message) bool { return true })
	case "trash", "bin":
		p.anywhere = true
		return hasLabel(labelTrash)
	case "spam", "junk":
		p.anywhere = true
		return hasLabel(labelSpam)
	case "inbox":
		return hasLabel(labelInbox)
	case "sent":
		return hasLabel(labelSent)
	case "draft", "drafts":
		return hasLabel(labelDraft)
	case "chat", "chats":
		return hasLabel(labelChat)
	case "archive":
		return test(func(_ *looker, m *Message) bool {
			return !m.has(labelInbox) && !m.has(labelSent) && !m.has(labelDraft) && !m.has(labelTrash) && !m.has(labelSpam)
		})
	case "all":
		return test(func(_ *looker, m *Message) bool { return !m.has(labelTrash) && !m.has(labelSpam) })
	case "unread", "starred", "important":
		return isTerm(name)
	}
	want := hyphened(name)
	return test(func(l *looker, m *Message) bool {
		for _, id := range m.LabelIDs {
			if lb := l.mb.labels[id]; strings.EqualFold(id, name) || lb != nil && hyphened(lb.Name) == want {
				return true
			}
		}
		return false
	})
}

func hyphened(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" /&()\"'|_", r) {
			return '-'
		}
		return unicode.ToLower(r)
	}, name)
}

func isTerm(what string) node {
	switch what {
	case "unread":
		return hasLabel(labelUnread)
	case "read":
		return not{hasLabel(labelUnread)}
	case "starred":
		return hasLabel(labelStarred)
	case "important":
		return hasLabel(labelImportant)
	case "sent":
		return hasLabel(labelSent)
	case "draft":
		return hasLabel(labelDraft)
	case "chat":
		return hasLabel(labelChat)
	}
	return test(never)
}

func hasTerm(what string) node {
	switch what {
	case "attachment":
		return test(func(_ *looker, m *Message) bool { return len(m.content().attachments()) > 0 })
	case "userlabels":
		return test(userLabelled)
	case "nouserlabels":
		return not{test(userLabelled)}
	case "yellow-star":
		return hasLabel(labelStarred)
	}
	return test(never)
}

func userLabelled(l *looker, m *Message) bool {
	for _, id := range m.LabelIDs {
		if lb := l.mb.labels[id]; lb != nil && lb.Type == "user" {
			return true
		}
	}
	return false
}

func categoryTerm(name string) node {
	switch name {
	case "primary", "personal":
		return hasLabel("CATEGORY_PERSONAL")
	case "social", "promotions", "updates", "forums":
		return hasLabel("CATEGORY_" + strings.ToUpper(name))
	}
	return test(never)
}

// fileTerm finds attachments by words of their names or by their extension.
func fileTerm(name string) node {
	ts := tokens(name)
	if len(ts) == 0 {
		return nil
	}
	return test(func(_ *looker, m *Message) bool {
		for _, file := range m.content().attachments() {
			if contains(file, ts) {
				return true
			}
		}
		return false
	})
}

// dateTerm is a day or a time in seconds. "All dates used in the search query
// are interpreted as midnight on that date in the PST timezone"
// (developers.google.com/workspace/gmail/api/guides/filtering).
func dateTerm(s string, later bool) node {
	at, ok := readDay(s)
	if !ok {
		return test(never)
	}
	return test(func(_ *looker, m *Message) bool { return m.InternalDate.Before(at) != later })
}

func readDay(s string) (time.Time, bool) {
	s = strings.ReplaceAll(s, "-", "/")
	for _, layout := range []string{"2006/1/2", "1/2/2006"} {
		if t, err := time.ParseInLocation(layout, s, time.FixedZone("PST", -8*60*60)); err == nil {
			return t, true
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 1<<40 {
		return time.Unix(n, 0), true
	}
	return time.Time{}, false
}

// ageTerm is a number of days, months or years.
func ageTerm(s string, newer bool) node {
	if s == "" {
		return test(never)
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	if err != nil || n < 0 || n > 10_000 {
		return test(never)
	}
	var y, mo, d int
	switch s[len(s)-1] {
	case 'd':
		d = n
	case 'm':
		mo = n
	case 'y':
		y = n
	default:
		return test(never)
	}
	return test(func(l *looker, m *Message) bool {
		return m.InternalDate.After(l.now.AddDate(-y, -mo, -d)) == newer
	})
}

// sizeTerm is a number of bytes, or of thousands (K) or millions (M) of them.
func sizeTerm(s string, smaller bool) node {
	unit := 1
	s = strings.TrimSuffix(s, "b")
	if rest, ok := strings.CutSuffix(s, "k"); ok {
		s, unit = rest, 1<<10
	} else if rest, ok := strings.CutSuffix(s, "m"); ok {
		s, unit = rest, 1<<20
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1<<40 {
		return test(never)
	}
	n *= unit
	return test(func(_ *looker, m *Message) bool {
		if smaller {
			return len(m.Raw) < n
		}
		return len(m.Raw) > n
	})
}
