package mailbox

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// clone copies a message as deep as it is changed here.
func clone(m *store.Message) *store.Message {
	c := *m
	c.Keywords, c.Mailboxes = slices.Clone(m.Keywords), slices.Clone(m.Mailboxes)
	c.In, c.Local = slices.Clone(m.In), slices.Clone(m.Local)
	return &c
}

// merge gives the old state with the told fields replaced.
func merge(old *store.Message, it *mail.Item, fields mail.Fields) *store.Message {
	next := clone(old)
	told := &it.Message
	if fields&mail.FieldEnvelope != 0 {
		keep := next.Message
		next.Message = *told
		next.Keywords, next.Mailboxes = keep.Keywords, keep.Mailboxes
		// What only the bytes can tell is not unlearned, nor known better.
		if told.Size == 0 || next.Blob != "" {
			next.Size = keep.Size
		}
		if len(told.References) == 0 {
			next.References = keep.References
		}
		if len(told.InReplyTo) == 0 {
			next.InReplyTo = keep.InReplyTo
		}
	}
	if told.Version != 0 {
		next.Version = told.Version
	}
	if told.ContentTag != "" {
		next.ContentTag = told.ContentTag
	}
	switch {
	case fields&mail.FieldKeywords != 0:
		next.Keywords = slices.Clone(told.Keywords)
	default:
		if fields&mail.FieldSeen != 0 {
			next.Keywords = withKeyword(next.Keywords, mail.Seen, told.HasKeyword(mail.Seen))
		}
		if fields&mail.FieldFlagged != 0 {
			next.Keywords = withKeyword(next.Keywords, mail.Flagged, told.HasKeyword(mail.Flagged))
		}
	}
	if fields&mail.FieldMailboxes != 0 {
		next.Mailboxes = slices.Clone(told.Mailboxes)
	} else if fields&mail.FieldMailbox != 0 && len(next.Mailboxes) <= 1 {
		next.Mailboxes = []string{it.Mailbox}
	}
	return next
}

// keepDisplaced keeps with us which of $answered and $forwarded a provider gave up
// for the other: some hold only the last thing that was done to a message. What
// else the answer lacks of the keywords that we added, somebody has taken off before
// the provider gave it, and that is how the message is.
func keepDisplaced(asked, next *store.Message, ch Change) {
	for _, pair := range [][2]string{{mail.Answered, mail.Forwarded}, {mail.Forwarded, mail.Answered}} {
		lost, held := pair[0], pair[1]
		wanted := slices.Contains(ch.AddKeywords, lost) || slices.Contains(ch.AddKeywords, held) && asked.HasKeyword(lost)
		if wanted && next.HasKeyword(held) && !next.HasKeyword(lost) && !slices.Contains(ch.RemoveKeywords, lost) {
			next.Local = withKeyword(next.Local, lost, true)
		}
	}
}

func withKeyword(keywords []string, k string, on bool) []string {
	out := slices.DeleteFunc(slices.Clone(keywords), func(have string) bool { return have == k })
	if on {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// normalise brings a message into the one form that compares and stores.
func normalise(m *mail.Message) {
	m.Keywords = normalKeywords(m.Keywords)
	m.Mailboxes = sortedSet(m.Mailboxes)
	m.SentAt, m.ReceivedAt = second(m.SentAt), second(m.ReceivedAt)
	if m.Importance == mail.ImportanceNormal {
		m.Importance = ""
	}
	for _, list := range []*[]mail.Address{&m.From, &m.Sender, &m.To, &m.Cc, &m.Bcc, &m.ReplyTo} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	for _, list := range []*[]string{&m.InReplyTo, &m.References} {
		if len(*list) == 0 {
			*list = nil
		}
	}
}

// normalKeywords lowers, sorts and deduplicates (RFC 8621, 4.1.1: keywords
// are case-insensitive, servers give lower case).
func normalKeywords(keywords []string) []string {
	out := make([]string, 0, len(keywords))
	for _, k := range keywords {
		if k = strings.ToLower(strings.TrimSpace(k)); k != "" {
			out = append(out, k)
		}
	}
	return sortedSet(out)
}

func sortedSet(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func second(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// difference gives what is in b and not in a, and what is in a and not in b.
// Both are sorted sets.
func difference(a, b []string) (added, removed []string) {
	for _, x := range b {
		if _, found := slices.BinarySearch(a, x); !found {
			added = append(added, x)
		}
	}
	for _, x := range a {
		if _, found := slices.BinarySearch(b, x); !found {
			removed = append(removed, x)
		}
	}
	return added, removed
}

// sameContent compares what readers see besides keywords and mailboxes.
func sameContent(a, b *store.Message) bool {
	x, y := a.Message, b.Message
	for _, m := range []*mail.Message{&x, &y} {
		normalise(m)
		m.Keywords, m.Mailboxes, m.Version = nil, nil, 0
	}
	return reflect.DeepEqual(x, y)
}

// sameInternals compares what only we see.
func sameInternals(a, b *store.Message) bool {
	return a.Version == b.Version && a.PlacedAt.Equal(b.PlacedAt) && a.Wrote == b.Wrote &&
		slices.Equal(a.Mailboxes, b.Mailboxes) && a.Blob == b.Blob && slices.Equal(a.Local, b.Local)
}

// snapshot is what an event keeps of a message.
func snapshot(m *store.Message) *event.Snapshot {
	return &event.Snapshot{
		ProviderID: m.ProviderID, Thread: m.Thread, Mailboxes: m.In, Keywords: m.AllKeywords(),
		Subject: m.Subject, From: m.From, To: m.To, Cc: m.Cc, MessageID: m.MessageID,
		SentAt: m.SentAt, ReceivedAt: m.ReceivedAt, Preview: m.Preview,
		HasAttachments: m.HasAttachments, Size: m.Size,
	}
}
