package sandbox

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// maxReturned is how much of a message comes back whole; of a bigger one only
// the header does.
const maxReturned = 1 << 20

// makeBounce is a delivery status notification (RFC 3464, in a report of RFC
// 6522) that tells a user which recipients do not exist.
func makeBounce(to cloud.User, failed []string, raw []byte, now time.Time) []byte {
	_, domain, _ := strings.Cut(to.Address, "@")
	boundary := "bounce-" + uuid.NewString()
	raw = crlf(raw)
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	date := now.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")
	line("From: Mail Delivery System <postmaster@%s>", domain)
	line("To: <%s>", to.Address)
	line("Subject: Undeliverable: %s", headerLine(raw, "Subject"))
	line("Date: %s", date)
	line("Message-ID: <%s@%s>", uuid.NewString(), hostName)
	if id := headerLine(raw, "Message-ID"); id != "" {
		line("In-Reply-To: %s", id)
		line("References: %s", id)
	}
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status; boundary=%q", boundary)
	line("")
	line("--%s\r\nContent-Type: text/plain; charset=utf-8\r\n", boundary)
	line("Your message could not be delivered to:\r\n")
	for _, f := range failed {
		line("  %s", oneLine(f))
	}
	line("\r\nThere is no mailbox of that name. Check the address and send it again.")
	line("--%s\r\nContent-Type: message/delivery-status\r\n", boundary)
	line("Reporting-MTA: dns; %s", hostName)
	line("Arrival-Date: %s", date)
	for _, f := range failed {
		f = oneLine(f)
		line("\r\nOriginal-Recipient: rfc822; %s\r\nFinal-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.1.1", f, f)
		line("Remote-MTA: dns; %s\r\nDiagnostic-Code: smtp; 550 5.1.1 <%s>: Recipient address rejected: user unknown", hostName, f)
	}
	if len(raw) <= maxReturned {
		line("\r\n--%s\r\nContent-Type: message/rfc822\r\n\r\n%s", boundary, raw)
	} else {
		head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
		line("\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n\r\n%s\r\n", boundary, head)
	}
	line("--%s--", boundary)
	return b.Bytes()
}

// headerLine is the first line of a field, as it stands.
func headerLine(raw []byte, name string) string {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for l := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(l) > len(name) && l[len(name)] == ':' && strings.EqualFold(string(l[:len(name)]), name) {
			return strings.TrimSpace(string(l[len(name)+1:]))
		}
	}
	return ""
}
