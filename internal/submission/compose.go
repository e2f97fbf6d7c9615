package submission

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"

	message "github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"

	sdk "github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Message is what a message is composed of.
type Message struct {
	// From is nil for the account's own address and name.
	From        *sdk.Address
	To, Cc, Bcc []sdk.Address
	ReplyTo     []sdk.Address
	Subject     string
	Text, HTML  string
	Attachments []Attachment
	// InReplyTo and Forward name a message of the account that is answered or
	// forwarded (our ids); Forward attaches it as it is.
	InReplyTo string
	Forward   string
}

// Attachment is a file of a composed message.
type Attachment struct {
	Name, Type string
	// ContentID makes it an inline part that HTML names by "cid:".
	ContentID string
	Content   []byte
}

// MaxRecipients bounds the recipients of one submission.
const MaxRecipients = 500

// Compose makes the raw form of a message from an account, for drafts.
func (s *Service) Compose(ctx context.Context, account string, m Message) ([]byte, error) {
	acct, _, err := s.account(ctx, account)
	if err != nil {
		return nil, err
	}
	b := &builder{acct: acct, msg: m, now: s.now(), bcc: true}
	if err := s.related(ctx, b); err != nil {
		return nil, err
	}
	return b.build()
}

// compose makes the submission's record and raw form.
func (s *Service) compose(ctx context.Context, acct *store.Account, in Input) (*store.Submission, []byte, error) {
	if len(in.Raw) > 0 {
		if err := s.related(ctx, &builder{acct: acct, msg: in.Message}); err != nil {
			return nil, nil, err
		}
		sub, raw, err := composeRaw(acct, in, s.now())
		if err == nil {
			err = s.authors(ctx, acct, raw)
		}
		return sub, raw, err
	}
	b := &builder{acct: acct, msg: in.Message, now: s.now()}
	if err := s.related(ctx, b); err != nil {
		return nil, nil, err
	}
	if len(in.To)+len(in.Cc)+len(in.Bcc) == 0 && b.parent != nil {
		// An answer goes to whoever wants it (RFC 5322, 3.6.2).
		if b.msg.To = b.parent.ReplyTo; len(b.msg.To) == 0 {
			b.msg.To = b.parent.From
		}
	}
	rcpts, err := recipients(b.msg.To, b.msg.Cc, b.msg.Bcc)
	if err != nil {
		return nil, nil, err
	}
	if err := s.maySend(ctx, acct, b.from().Email); err != nil {
		return nil, nil, err
	}
	raw, err := b.build()
	if err != nil {
		return nil, nil, err
	}
	sub := &store.Submission{ID: idOf(b.messageID), From: b.from().Email, Recipients: rcpts, Subject: b.msg.Subject, MessageID: b.messageID,
		InReplyTo: in.InReplyTo + in.Forward, Forward: in.Forward != ""} // one of the two
	return sub, raw, nil
}

// maySend refuses an address that the account may not send from.
func (s *Service) maySend(ctx context.Context, acct *store.Account, from string) error {
	if s.opts.MaySend == nil || strings.EqualFold(from, acct.Address) {
		return nil
	}
	return s.opts.MaySend(ctx, acct, from)
}

// authors judges whom a whole message is from (RFC 5322, 3.6.2).
func (s *Service) authors(ctx context.Context, acct *store.Account, raw []byte) error {
	e, _ := message.Read(bytes.NewReader(raw))
	if e == nil {
		return errNoMessage()
	}
	h := gomail.Header{Header: e.Header}
	list, err := h.AddressList("From")
	if err != nil {
		return sdk.Errorf(sdk.KindInvalid, "submit message", "the From field cannot be read")
	}
	for _, a := range list {
		if err := s.maySend(ctx, acct, a.Address); err != nil {
			return err
		}
	}
	return nil
}

// recipients gives the envelope: every address once.
func recipients(lists ...[]sdk.Address) ([]string, error) {
	var out []string
	for _, list := range lists {
		for _, a := range list {
			if _, err := mail.ParseAddress("<" + a.Email + ">"); err != nil || strings.ContainsAny(a.Email, "\r\n") {
				return nil, sdk.Errorf(sdk.KindInvalid, "submit message", "%q is not an address", a.Email)
			}
			if !slices.ContainsFunc(out, func(have string) bool { return strings.EqualFold(have, a.Email) }) {
				out = append(out, a.Email)
			}
		}
	}
	switch {
	case len(out) == 0:
		return nil, sdk.Errorf(sdk.KindInvalid, "submit message", "the message has no recipient")
	case len(out) > MaxRecipients:
		return nil, sdk.Errorf(sdk.KindInvalid, "submit message", "the message has %d recipients, %d are allowed", len(out), MaxRecipients)
	}
	return out, nil
}

// composeRaw takes a whole message: recipients from its fields unless they are
// given, Bcc taken out, Message-ID and Date added where they are missing.
func composeRaw(acct *store.Account, in Input, now time.Time) (*store.Submission, []byte, error) {
	e, err := message.Read(bytes.NewReader(in.Raw))
	if e == nil || (err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err)) {
		return nil, nil, errNoMessage()
	}
	h := gomail.Header{Header: e.Header}
	var lists [][]sdk.Address
	for _, key := range []string{"To", "Cc", "Bcc"} {
		list, err := h.AddressList(key)
		if err != nil {
			return nil, nil, sdk.Errorf(sdk.KindInvalid, "submit message", "the %s field cannot be read", key)
		}
		var out []sdk.Address
		for _, a := range list {
			out = append(out, sdk.Address{Name: a.Name, Email: a.Address})
		}
		lists = append(lists, out)
	}
	if len(in.To)+len(in.Cc)+len(in.Bcc) > 0 {
		lists = [][]sdk.Address{in.To, in.Cc, in.Bcc}
	}
	rcpts, err := recipients(lists...)
	if err != nil {
		return nil, nil, err
	}
	split := bytes.Index(in.Raw, []byte("\n\r\n"))
	sep := 3
	if lf := bytes.Index(in.Raw, []byte("\n\n")); lf >= 0 && (split < 0 || lf < split) {
		split, sep = lf, 2
	}
	if split < 0 {
		return nil, nil, sdk.Errorf(sdk.KindInvalid, "submit message", "raw has no empty line after its header")
	}
	// The header alone is written anew; the body stays byte for byte.
	h.Del("Bcc")
	id, _ := h.MessageID()
	own := newID()
	if id == "" {
		id = newMessageID(acct)
		own = idOf(id)
		h.SetMessageID(id)
	}
	if h.Get("Date") == "" {
		h.SetDate(now)
	}
	if h.Get("From") == "" {
		setAddresses(&h, "From", []sdk.Address{ownAddress(acct)})
	}
	subject, _ := h.Subject()
	var buf bytes.Buffer
	if err := writeHeader(&buf, h.Header); err != nil {
		return nil, nil, err
	}
	buf.Write(in.Raw[split+sep:])
	return &store.Submission{ID: own, From: acct.Address, Recipients: rcpts, Subject: subject, MessageID: id,
		InReplyTo: in.InReplyTo + in.Forward, Forward: in.Forward != ""}, buf.Bytes(), nil
}

// errNoMessage is in words of ours: the parser's would quote the message, which
// no error tells.
func errNoMessage() error {
	return sdk.Errorf(sdk.KindInvalid, "submit message", "raw is not a message: its header cannot be read")
}

func writeHeader(w io.Writer, h message.Header) error {
	for f := h.Fields(); f.Next(); {
		raw, err := f.Raw()
		if err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "\r\n")
	return err
}

// newID makes the id of a submission.
func newID() string { return "s" + strings.ToLower(rand.Text()) }

// idOf gives the submission's id that a Message-ID of ours begins with.
func idOf(messageID string) string {
	id, _, _ := strings.Cut(messageID, "@")
	return id
}

// newMessageID makes a Message-ID that nobody else has: it begins with the
// submission's id, by which a provider knows drafts of that Message-ID as ours
// (provider.PrepareRequest).
func newMessageID(acct *store.Account) string {
	_, domain, ok := strings.Cut(acct.Address, "@")
	if !ok || domain == "" {
		domain = "postern.invalid"
	}
	return newID() + "@" + domain
}

// related reads what is answered or forwarded.
func (s *Service) related(ctx context.Context, b *builder) error {
	if b.msg.InReplyTo != "" && b.msg.Forward != "" {
		return sdk.Errorf(sdk.KindInvalid, "submit message", "a message answers or forwards, not both")
	}
	for _, id := range []string{b.msg.InReplyTo, b.msg.Forward} {
		if id == "" {
			continue
		}
		blob, m, err := s.mirror.Raw(ctx, id)
		if err != nil {
			return fmt.Errorf("read the message that is answered or forwarded: %w", err)
		}
		defer blob.Close()
		if m.Account != b.acct.ID {
			return sdk.Errorf(sdk.KindInvalid, "submit message", "message %s belongs to another account", id)
		}
		if b.msg.Forward != "" {
			if b.forward, err = io.ReadAll(blob); err != nil {
				return err
			}
			b.forwardName = m.Subject
			b.inherit("Fwd: ", m.Subject)
			continue
		}
		b.parent = m
		b.inherit("Re: ", m.Subject)
		// The References of the answered message are in its bytes alone.
		if e, err := message.Read(blob); e != nil && err == nil {
			h := gomail.Header{Header: e.Header}
			b.references, _ = h.MsgIDList("References")
		}
	}
	return nil
}

// inherit gives an answer or a forward without a subject the one of the message
// it is about (RFC 5322, 3.6.5: one "Re: ", however long the conversation).
func (b *builder) inherit(prefix, subject string) {
	if b.msg.Subject != "" {
		return
	}
	if len(subject) >= len(prefix)-1 && strings.EqualFold(subject[:len(prefix)-1], prefix[:len(prefix)-1]) {
		prefix = ""
	}
	b.msg.Subject = prefix + subject
}
