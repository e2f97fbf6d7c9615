package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// hostName is what the small internet's mail servers call themselves.
const hostName = "mx.sandbox.example"

// post is the small internet: it brings mail to whoever has a mailbox in one
// of the clouds.
type post struct{ s *Sandbox }

func newPost(s *Sandbox) *post { return &post{s} }

// sender is the small internet as one cloud sees it.
type sender struct {
	post  *post
	cloud string
}

// Submit takes a message from a user of the cloud. Recipients that do not
// exist are told to the sender by a bounce, as mail servers do: the submission
// itself has succeeded.
func (s sender) Submit(ctx context.Context, from cloud.User, rcpts []string, raw []byte) error {
	s.post.s.counters.Mail(s.cloud, from.Address, traffic.MailSent)
	return s.post.carry(ctx, s.cloud, from.Address, rcpts, raw)
}

// carry delivers a message to every recipient, once each. from is the envelope
// sender; "" is the null sender of bounces, which are never bounced (RFC 5321
// 4.5.5).
func (p *post) carry(ctx context.Context, via, from string, rcpts []string, raw []byte) error {
	var failed []string
	seen := map[string]bool{}
	for _, rcpt := range rcpts {
		rcpt = strings.TrimSpace(rcpt)
		if key := strings.ToLower(rcpt); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		c, user, ok := p.find(rcpt)
		if !ok {
			failed = append(failed, rcpt)
			continue
		}
		switch err := p.deliver(ctx, c, user, via, from, raw); {
		case errors.Is(err, directory.ErrNoMailbox):
			failed = append(failed, rcpt)
		case err != nil:
			return err
		}
	}
	if len(failed) == 0 || from == "" {
		return nil
	}
	c, user, ok := p.find(from)
	if !ok {
		p.s.log.Info("no mailbox to bounce to", "recipients", len(failed))
		return nil
	}
	bounce := makeBounce(user, failed, raw, p.s.opts.Now())
	if err := p.deliver(ctx, c, user, hostName, "", bounce); err != nil {
		return fmt.Errorf("bounce: %w", err)
	}
	p.s.counters.Mail(c.Name(), user.Address, "bounced")
	return nil
}

// find looks an address up in all clouds.
func (p *post) find(address string) (Cloud, cloud.User, bool) {
	for _, c := range p.s.clouds {
		if u, ok := c.UserByAddress(address); ok {
			return c, u, true
		}
	}
	return nil, cloud.User{}, false
}

// deliver puts one recipient's copy into its inbox, with the trace fields of
// the way (RFC 5321 4.4).
func (p *post) deliver(ctx context.Context, c Cloud, to cloud.User, via, from string, raw []byte) error {
	if p.s.opts.RewriteMessageIDs {
		raw = rewriteMessageID(raw)
	}
	now := p.s.opts.Now().UTC()
	copied := fmt.Appendf(nil, "Return-Path: <%s>\r\nReceived: from %s by %s with ESMTPS id %s\r\n\tfor <%s>; %s\r\n",
		oneLine(from), via, hostName, uuid.NewString()[:13], to.Address, now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	copied = append(copied, crlf(raw)...)
	if _, err := c.Deliver(ctx, to.Address, cloud.Delivery{Date: now, Notify: true, Transit: true, Raw: copied}); err != nil {
		return fmt.Errorf("deliver to %s: %w", to.Address, err)
	}
	p.s.counters.Mail(c.Name(), to.Address, "delivered")
	return nil
}

// oneLine keeps what comes from outside from making header fields of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
}

// crlf gives every line the ending that mail has.
func crlf(raw []byte) []byte {
	if !bytes.Contains(raw, []byte("\n")) || bytes.Count(raw, []byte("\n")) == bytes.Count(raw, []byte("\r\n")) {
		return raw
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// rewriteMessageID renames the field and puts a new one in front.
func rewriteMessageID(raw []byte) []byte {
	head, body, _ := bytes.Cut(crlf(raw), []byte("\r\n\r\n"))
	lines := bytes.Split(head, []byte("\r\n"))
	for i, line := range lines {
		if len(line) >= 11 && strings.EqualFold(string(line[:11]), "Message-ID:") {
			lines[i] = append([]byte("X-Original-Message-ID:"), line[11:]...)
		}
	}
	out := fmt.Appendf(nil, "Message-ID: <%s@%s>\r\n", uuid.NewString(), hostName)
	out = append(out, bytes.Join(lines, []byte("\r\n"))...)
	out = append(out, "\r\n\r\n"...)
	return append(out, body...)
}
