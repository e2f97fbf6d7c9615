package pluginhost

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// What a plugin may answer. A provider's names and places are short; what is
// longer is no name, and would be carried into every record and every URL.
const (
	maxID     = 4 << 10
	maxCursor = 1 << 20
	// maxAddress is RFC 5321's limit of a path, with room.
	maxAddress = 512
	// maxMailboxes is more than any provider lets an owner have.
	maxMailboxes = 100_000
)

// codeBadAnswer marks answers that cannot be meant.
const codeBadAnswer = "bad_answer"

// badAnswer is the plugin's fault, or its provider's, and may pass.
func badAnswer(verb provider.Verb, format string, args ...any) error {
	return &mail.Error{Kind: mail.KindUnavailable, Op: verb.Words(), Code: codeBadAnswer, Message: "the plugin answered with " + fmt.Sprintf(format, args...)}
}

func judgeID(verb provider.Verb, what, id string) error {
	switch {
	case id == "":
		return badAnswer(verb, "%s without an id", what)
	case len(id) > maxID:
		return badAnswer(verb, "%s whose id has %d octets", what, len(id))
	}
	return nil
}

// judgeMailboxes refuses a list that cannot be one, and takes apart what would
// lead in a circle: a mailbox that is below itself stands at the top.
func judgeMailboxes(resp *provider.MailboxesResponse) error {
	const verb = provider.VerbMailboxes
	if len(resp.Mailboxes) > maxMailboxes {
		return badAnswer(verb, "%d mailboxes", len(resp.Mailboxes))
	}
	at := make(map[string]int, len(resp.Mailboxes))
	for i := range resp.Mailboxes {
		m := &resp.Mailboxes[i]
		if err := judgeID(verb, "a mailbox", m.ID); err != nil {
			return err
		}
		if _, twice := at[m.ID]; twice {
			return badAnswer(verb, "one mailbox twice")
		}
		if len(m.ParentID) > maxID || len(m.Name) > maxID {
			return badAnswer(verb, "a mailbox with a name of %d octets", max(len(m.ParentID), len(m.Name)))
		}
		at[m.ID] = i
		m.Total, m.Unread = max(m.Total, -1), max(m.Unread, -1)
	}
	// Each mailbox is walked over once: rooted are those known to lead upwards.
	rooted := make([]bool, len(resp.Mailboxes))
	for i := range resp.Mailboxes {
		on := map[int]bool{}
		for n := i; !rooted[n]; {
			on[n] = true
			parent, listed := at[resp.Mailboxes[n].ParentID]
			if !listed {
				break
			}
			if on[parent] {
				resp.Mailboxes[n].ParentID = ""
				break
			}
			n = parent
		}
		for n := range on {
			rooted[n] = true
		}
	}
	return nil
}

// judgeMessage refuses a message without a usable name, and forgets what cannot
// be: years that no protocol of ours can write, sizes below nothing.
func judgeMessage(verb provider.Verb, m *mail.Message) error {
	if err := judgeID(verb, "a message", m.ProviderID); err != nil {
		return err
	}
	if len(m.ProviderThreadID) > maxID {
		return badAnswer(verb, "a thread whose id has %d octets", len(m.ProviderThreadID))
	}
	for _, id := range m.Mailboxes {
		if err := judgeID(verb, "a message's mailbox", id); err != nil {
			return err
		}
	}
	m.ReceivedAt, m.SentAt = judgeTime(m.ReceivedAt), judgeTime(m.SentAt)
	m.Size = max(m.Size, 0)
	return nil
}

// judgeTime: RFC 3339 has four digits for the year.
func judgeTime(t time.Time) time.Time {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t
}

func judgeBatch(b *mail.Batch) error {
	const verb = provider.VerbChanges
	if len(b.Next) > maxCursor {
		return badAnswer(verb, "a cursor of %d octets", len(b.Next))
	}
	for i := range b.Items {
		if len(b.Items[i].Mailbox) > maxID {
			return badAnswer(verb, "a mailbox whose id has %d octets", len(b.Items[i].Mailbox))
		}
		if err := judgeMessage(verb, &b.Items[i].Message); err != nil {
			return err
		}
	}
	return nil
}

func judgeEnumerated(b *provider.EnumerateBatch) error {
	for i := range b.Messages {
		if err := judgeMessage(provider.VerbEnumerate, &b.Messages[i]); err != nil {
			return err
		}
	}
	return nil
}

// maxIdentities is more than any provider gives an account.
const maxIdentities = 1000

// judgeIdentities leaves addresses alone that nobody could send from, and all
// defaults but the first.
func judgeIdentities(resp *provider.IdentitiesResponse) error {
	if len(resp.Identities) > maxIdentities {
		return badAnswer(provider.VerbIdentities, "%d identities", len(resp.Identities))
	}
	kept, seen, chosen := resp.Identities[:0], map[string]bool{}, false
	for _, i := range resp.Identities {
		at := strings.LastIndexByte(i.Email, '@')
		address := strings.ToLower(i.Email)
		if at < 1 || at == len(i.Email)-1 || len(i.Email) > maxAddress || len(i.Name) > maxID || len(i.ReplyTo) > maxAddress || seen[address] {
			continue
		}
		i.Default = i.Default && !chosen
		seen[address], chosen = true, chosen || i.Default
		kept = append(kept, i)
	}
	resp.Identities = kept
	return nil
}

func judgeFound(resp *provider.SearchResponse) error {
	if len(resp.NextPageToken) > maxCursor {
		return badAnswer(provider.VerbSearch, "a page token of %d octets", len(resp.NextPageToken))
	}
	for _, id := range resp.IDs {
		if err := judgeID(provider.VerbSearch, "a message", id); err != nil {
			return err
		}
	}
	return nil
}
