package submission

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	message "github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"

	sdk "github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// builder writes a composed message (RFC 5322, RFC 2046): text and HTML as
// alternatives, inline parts related to the HTML, files mixed with all that.
type builder struct {
	acct        *store.Account
	msg         Message
	now         time.Time
	bcc         bool // drafts keep their Bcc
	parent      *store.Message
	references  []string
	forward     []byte
	forwardName string
	messageID   string
}

func (b *builder) build() ([]byte, error) {
	var h gomail.Header
	h.SetDate(b.now)
	b.messageID = newMessageID(b.acct)
	h.SetMessageID(b.messageID)
	setAddresses(&h, "From", []sdk.Address{b.from()})
	for key, list := range map[string][]sdk.Address{"To": b.msg.To, "Cc": b.msg.Cc, "Reply-To": b.msg.ReplyTo} {
		setAddresses(&h, key, list)
	}
	if b.bcc {
		setAddresses(&h, "Bcc", b.msg.Bcc)
	}
	subject := strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, b.msg.Subject)
	h.SetSubject(subject)
	if b.parent != nil && b.parent.MessageID != "" {
		h.SetMsgIDList("In-Reply-To", []string{b.parent.MessageID})
		h.SetMsgIDList("References", append(b.references, b.parent.MessageID))
	}
	h.Set("MIME-Version", "1.0")
	var buf bytes.Buffer
	if err := b.body(&buf, h.Header); err != nil {
		return nil, fmt.Errorf("compose message: %w", err)
	}
	return buf.Bytes(), nil
}

// from is who the message is from. Whether the account may send as somebody
// else is the provider's to say.
func (b *builder) from() sdk.Address {
	if b.msg.From != nil && b.msg.From.Email != "" {
		return *b.msg.From
	}
	return ownAddress(b.acct)
}

// ownAddress is who an account is where nobody says who a message is from. The
// name is the one that the owner gave the address for mail: a provider may tell
// none with the sign-in.
func ownAddress(acct *store.Account) sdk.Address {
	own := sdk.Address{Name: acct.Name, Email: acct.Address}
	for _, i := range acct.Identities {
		if i.Name != "" && strings.EqualFold(i.Email, acct.Address) {
			own.Name = i.Name
		}
	}
	return own
}

func setAddresses(h *gomail.Header, key string, list []sdk.Address) {
	if len(list) == 0 {
		return
	}
	out := make([]*gomail.Address, len(list))
	for i, a := range list {
		out[i] = &gomail.Address{Name: a.Name, Address: a.Email}
	}
	h.SetAddressList(key, out)
}

// node is one part of the tree to write.
type node struct {
	header   message.Header
	body     []byte
	children []node
}

func (b *builder) body(w io.Writer, h message.Header) error {
	tree := b.tree()
	for f := tree.header.Fields(); f.Next(); {
		h.Set(f.Key(), f.Value())
	}
	tree.header = h
	return tree.write(w)
}

func (b *builder) tree() node {
	var bodies []node
	if b.msg.Text != "" || b.msg.HTML == "" {
		bodies = append(bodies, leaf("text/plain; charset=utf-8", "quoted-printable", []byte(crlf(b.msg.Text))))
	}
	var inline, files []node
	for _, a := range b.msg.Attachments {
		if a.ContentID != "" && b.msg.HTML != "" {
			inline = append(inline, a.node(true))
		} else {
			files = append(files, a.node(false))
		}
	}
	if b.msg.HTML != "" {
		html := leaf("text/html; charset=utf-8", "quoted-printable", []byte(crlf(b.msg.HTML)))
		if len(inline) > 0 {
			html = multi("related", append([]node{html}, inline...))
		}
		bodies = append(bodies, html)
	}
	top := bodies[0]
	if len(bodies) > 1 {
		top = multi("alternative", bodies)
	}
	if b.forward != nil {
		fw := leaf("message/rfc822", "", b.forward)
		fw.header.SetContentDisposition("attachment", map[string]string{"filename": fileName(b.forwardName) + ".eml"})
		files = append(files, fw)
	}
	if len(files) > 0 {
		top = multi("mixed", append([]node{top}, files...))
	}
	return top
}

func (a *Attachment) node(inline bool) node {
	mediaType := a.Type
	if mediaType == "" {
		mediaType = typeByName(a.Name)
	}
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	n := leaf(mediaType, "base64", a.Content)
	disposition := "attachment"
	if inline {
		disposition = "inline"
		n.header.Set("Content-Id", "<"+strings.Trim(a.ContentID, "<> \r\n")+">")
	}
	n.header.SetContentDisposition(disposition, map[string]string{"filename": fileName(a.Name)})
	return n
}

func leaf(mediaType, encoding string, body []byte) node {
	n := node{body: body}
	n.header.Set("Content-Type", strings.NewReplacer("\r", "", "\n", "").Replace(mediaType))
	if encoding != "" {
		n.header.Set("Content-Transfer-Encoding", encoding)
	}
	return n
}

func multi(kind string, children []node) node {
	n := node{children: children}
	n.header.SetContentType("multipart/"+kind, nil)
	return n
}

func (n *node) write(w io.Writer) error {
	mw, err := message.CreateWriter(w, n.header)
	if err != nil {
		return err
	}
	if err := n.fill(mw); err != nil {
		return err
	}
	return mw.Close()
}

func (n *node) fill(w *message.Writer) error {
	if len(n.children) == 0 {
		_, err := w.Write(n.body)
		return err
	}
	for _, c := range n.children {
		cw, err := w.CreatePart(c.header)
		if err != nil {
			return err
		}
		if err := c.fill(cw); err != nil {
			return err
		}
		if err := cw.Close(); err != nil {
			return err
		}
	}
	return nil
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// fileName keeps a name inside its header and its folder.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || strings.ContainsRune(`/\:"`, r) {
			return '_'
		}
		return r
	}, name)
	if name = strings.TrimSpace(name); name == "" {
		return "attachment"
	}
	return name
}
