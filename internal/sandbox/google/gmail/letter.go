package gmail

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// dateLayout is how dates stand in headers (RFC 5322, 3.3).
const dateLayout = "Mon, 02 Jan 2006 15:04:05 -0700"

// MessageIDPolicy says which Message-IDs of others Gmail keeps.
type MessageIDPolicy string

// The policies. What is replaced is kept in X-Google-Original-Message-ID.
const (
	// MessageIDsAcceptable keeps those that have the form of one: a local part
	// and a domain name with a dot.
	MessageIDsAcceptable MessageIDPolicy = ""
	// MessageIDsReplaced keeps none.
	MessageIDsReplaced MessageIDPolicy = "replaced"
	// MessageIDsKept keeps every one.
	MessageIDsKept MessageIDPolicy = "kept"
)

var acceptableID = regexp.MustCompile(`^<[!-;=?A-~]+@([A-Za-z0-9_-]+\.)+[A-Za-z0-9-]+>$`)

func (p MessageIDPolicy) keeps(id string) bool {
	switch p {
	case MessageIDsKept:
		return id != ""
	case MessageIDsReplaced:
		return false
	}
	return acceptableID.MatchString(id)
}

// messageToken is what makes an id of Gmail's own unlike all others.
func messageToken() string {
	var b [30]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return "CA" + strings.NewReplacer("-", "+", "/", "_").Replace(base64.RawURLEncoding.EncodeToString(b[:]))
}

// gmailAPI is in the Received field of what comes by the API.
const gmailAPI = "by gmailapi.google.com with HTTPREST"

// compose completes a message that a client hands over for sending or as a
// draft, as Gmail does: who it is from, when it was sent and a Message-ID of
// its own where they are missing or not to be had, and the trace of the API.
// It is called with the mailbox locked.
func (c *call) compose(raw []byte) []byte {
	raw = mimetree.Normalise(raw)
	h, _ := mimetree.ParseHeader(raw)
	var top bytes.Buffer
	fmt.Fprintf(&top, "Received: from %s named unknown %s; %s\r\n", projectNumber(c.caller.Project), gmailAPI, c.now.Format(dateLayout))
	from, keepFrom := c.sender(h)
	if !keepFrom {
		fmt.Fprintf(&top, "From: %s\r\n", (&mail.Address{Name: from.DisplayName, Address: from.Email}).String())
	}
	if from.ReplyTo != "" && !h.Has("Reply-To") {
		fmt.Fprintf(&top, "Reply-To: %s\r\n", from.ReplyTo)
	}
	if _, dated := mimetree.SentDate(fmt.Appendf(nil, "Date: %s\r\n\r\n", h.Get("Date"))); !dated {
		fmt.Fprintf(&top, "Date: %s\r\n", c.now.Format(dateLayout))
		raw = mimetree.DropFields(raw, func(name string) bool { return strings.EqualFold(name, "Date") })
	}
	original := strings.TrimSpace(h.Get("Message-ID"))
	keepID := c.s.set.MessageIDs.keeps(original)
	if strings.HasSuffix(original, "@mail.gmail.com>") && acceptableID.MatchString(original) {
		keepID = true // its own
	}
	if !keepID {
		fmt.Fprintf(&top, "Message-ID: <%s@mail.gmail.com>\r\n", messageToken())
	}
	const idField, keptField = "Message-ID", "X-Google-Original-Message-ID"
	raw = mimetree.EditFields(raw, func(name string, whole []byte) []byte {
		switch {
		case strings.EqualFold(name, "From") && !keepFrom,
			strings.EqualFold(name, "Received") && bytes.Contains(whole, []byte(gmailAPI)),
			strings.EqualFold(name, idField) && !keepID && original == "":
			return nil
		case strings.EqualFold(name, idField) && !keepID:
			return append([]byte(keptField), whole[len(name):]...)
		}
		return whole
	})
	return append(top.Bytes(), raw...)
}

// sender is the address that a message is sent from, and whether its From field
// may stay: another than the account's own has to be verified.
func (c *call) sender(h mimetree.Header) (sendAs, bool) {
	froms := mimetree.ParseAddresses(h.Get("From"), "")
	if len(froms) > 0 {
		if a := c.mb.alias(froms[0].Address); a != nil && a.VerificationStatus != aliasPending {
			return *a, len(froms) == 1
		}
		return *c.mb.aliases()[0], false
	}
	for _, a := range c.mb.aliases() {
		if a.IsDefault {
			return *a, false
		}
	}
	return *c.mb.aliases()[0], false
}

// recipients are the addresses that a message goes to, each once.
func recipients(raw []byte) ([]string, error) {
	h, _ := mimetree.ParseHeader(mimetree.Normalise(raw))
	var out []string
	seen := map[string]bool{}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		for _, r := range mimetree.ParseAddresses(h.All(name), "") {
			if !deliverable(r.Address) {
				return nil, errInvalid("Invalid %s header", name)
			}
			if key := strings.ToLower(r.Address); !seen[key] {
				seen[key] = true
				out = append(out, r.Address)
			}
		}
	}
	if len(out) == 0 {
		return nil, errInvalid("Recipient address required")
	}
	return out, nil
}

// deliverable reports whether mail may go to an address, as far as its form tells.
func deliverable(address string) bool {
	local, domain, ok := strings.Cut(address, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(address, " \t\r\n<>,;") && !strings.Contains(domain, "@") &&
		!strings.HasPrefix(domain, ".") && !strings.HasSuffix(domain, ".") && !strings.Contains(domain, "..")
}

// wire is a message as it leaves: without Bcc.
func wire(raw []byte) []byte {
	return mimetree.DropFields(raw, func(name string) bool { return strings.EqualFold(name, "Bcc") })
}

// headerDate is the date that a message says it has; zero where it says none.
func headerDate(raw []byte) time.Time {
	t, _ := mimetree.SentDate(raw)
	return t
}
