package outlook

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// clockSlack is how much Exchange's clock may be behind the host's.
const clockSlack = 10 * time.Minute

// removeLeft removes the drafts that earlier attempts of an operation have made
// and did not come to mark, for a draft that is made from MIME is marked by a
// second request. candidates are the unmarked drafts of the message's
// Message-ID, made is the operation's own by now.
//
// A mail program keeps its owner's drafts under that Message-ID, too, and may
// store one right before it sends. None of these goes on doubt: what goes has
// no mark (a program's draft that came by Append has one), lies in the mailbox
// of drafts beside the operation's own, is not older than the first attempt, and
// is as Exchange has it what it has of the operation's own draft, made of the
// same bytes: the same people, the same text and the same attachments. Should it
// be the owner's even then, nothing is lost that is not about to be in Sent.
func (c *call) removeLeft(ctx context.Context, first time.Time, made *msgraph.Message, candidates []msgraph.Message) error {
	if first.IsZero() {
		return nil // there was no earlier attempt
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(m msgraph.Message) bool {
		// Where Graph did not listen to what was asked for (see propLastVerb), there
		// may be a mark.
		return m.ID == made.ID || !verbTold(&m) || m.ParentFolderID == "" || m.ParentFolderID != made.ParentFolderID ||
			m.Created == nil || m.Created.Before(first.Add(-clockSlack))
	})
	if len(candidates) == 0 {
		return nil
	}
	want, err := c.readContent(ctx, made.ID)
	if err != nil || want == nil {
		return gone(err)
	}
	var left []msgraph.Message
	for i := range candidates {
		have, err := c.readContent(ctx, candidates[i].ID)
		if err := gone(err); err != nil {
			return err
		}
		if have != nil && sameContent(have, want) {
			left = append(left, candidates[i])
		}
	}
	return c.remove(ctx, left)
}

// gone: what is not there any more needs not be removed.
func gone(err error) error {
	if mail.KindOf(err) == mail.KindNotFound {
		return nil
	}
	return err
}

// readContent reads a draft as Exchange has it; nil where it is larger than any
// that is made from MIME.
func (c *call) readContent(ctx context.Context, id string) (*content, error) {
	head, rest, err := c.openRaw(ctx, id)
	if err != nil {
		return nil, err
	}
	defer rest.Close()
	most := 2 * c.conf.mimeLimit // Exchange may write it at greater length
	tail, err := io.ReadAll(io.LimitReader(rest, most+1))
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message was cut off", Err: err}
	}
	if int64(len(tail)) > most {
		return nil, nil
	}
	return parseContent(append(head, tail...)), nil
}

// sameContent reports whether two drafts say the same to the same people. Dates
// do not count: Exchange gives a draft one of its own.
func sameContent(a, b *content) bool {
	x, y := &a.message, &b.message
	return header.BareID(x.InternetMessageID) == header.BareID(y.InternetMessageID) &&
		x.Subject == y.Subject && x.Importance == y.Importance &&
		samePeople(recipients(x.From), recipients(y.From)) && samePeople(recipients(x.Sender), recipients(y.Sender)) &&
		samePeople(x.ReplyTo, y.ReplyTo) && samePeople(x.To, y.To) && samePeople(x.Cc, y.Cc) && samePeople(x.Bcc, y.Bcc) &&
		sameProperties(x.Properties, y.Properties) &&
		a.bodyType == b.bodyType && lines(a.body) == lines(b.body) &&
		slices.EqualFunc(a.attachments, b.attachments, sameAttachment)
}

func samePeople(a, b []msgraph.Recipient) bool {
	return slices.EqualFunc(a, b, func(x, y msgraph.Recipient) bool {
		return x.EmailAddress.Name == y.EmailAddress.Name && strings.EqualFold(x.EmailAddress.Address, y.EmailAddress.Address)
	})
}

// sameProperties compares In-Reply-To and References.
func sameProperties(a, b []msgraph.Property) bool {
	sorted := func(list []msgraph.Property) []msgraph.Property {
		return slices.SortedFunc(slices.Values(list), func(x, y msgraph.Property) int { return cmp.Compare(x.ID, y.ID) })
	}
	return slices.Equal(sorted(a), sorted(b))
}

func sameAttachment(a, b attachment) bool {
	if a.name != b.name || a.contentType != b.contentType || a.contentID != b.contentID || a.inline != b.inline {
		return false
	}
	x, xerr := a.decode()
	y, yerr := b.decode()
	return xerr == nil && yerr == nil && bytes.Equal(x, y)
}

// lines is a text without what a transfer may do to the ends of its lines.
func lines(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
}
