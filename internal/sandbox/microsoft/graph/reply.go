package graph

import (
	"html"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// What answering does to the original's PidTagLastVerbExecuted.
const (
	verbReply    = "102"
	verbReplyAll = "103"
	verbForward  = "104"
)

func (c *call) createReply() (answer, error)    { return c.answerDraft(verbReply) }
func (c *call) createReplyAll() (answer, error) { return c.answerDraft(verbReplyAll) }
func (c *call) createForward() (answer, error)  { return c.answerDraft(verbForward) }

func (c *call) reply() (answer, error)    { return c.answerNow(verbReply) }
func (c *call) replyAll() (answer, error) { return c.answerNow(verbReplyAll) }
func (c *call) forward() (answer, error)  { return c.answerNow(verbForward) }

func (c *call) answerDraft(verb string) (answer, error) {
	original, e, err := c.compose(verb)
	if err != nil {
		return answer{}, err
	}
	m := c.save(e, c.mb.wellKnown["drafts"])
	m.replyTo, m.conv = original.num, original.conv
	return c.createdMessage(m), nil
}

func (c *call) answerNow(verb string) (answer, error) {
	original, e, err := c.compose(verb)
	if err != nil {
		return answer{}, err
	}
	p, err := c.pack(e.st)
	if err != nil {
		return answer{}, err
	}
	m := &message{num: c.mb.nextNumber(), created: c.now, conv: original.conv, replyTo: original.num, replyVerb: verb}
	if p.st.c.messageID != "" {
		c.mb.byMessageID[p.st.c.messageID] = original.conv
	}
	return c.dispatch(p, m, true), nil
}

// compose makes the answer to the message in the path: from MIME as it is, or
// from the original and what the parameters say.
func (c *call) compose(verb string) (*message, *edit, error) {
	original, err := c.targetMessage()
	if err != nil {
		return nil, nil, err
	}
	isMIME, err := c.isMIME()
	if err != nil {
		return nil, nil, err
	}
	if isMIME {
		raw, err := c.readMIME()
		if err != nil {
			return nil, nil, err
		}
		e := c.mimeDraft(raw)
		e.verb = verb
		if len(e.st.c.to)+len(e.st.c.cc)+len(e.st.c.bcc) == 0 && verb != verbForward {
			e.own().to = c.answerTo(original)
			e.finish()
		}
		return original, e, nil
	}
	known := []string{"comment", "message"}
	if verb == verbForward {
		known = append(known, "torecipients")
	}
	o, err := c.action(known...)
	if err != nil {
		return nil, nil, err
	}
	comment, err := readString(o.values["comment"])
	if err != nil {
		return nil, nil, err
	}
	var msg object
	if !isNull(o.values["message"]) {
		if msg, err = readObject(o.values["message"], "message", false); err != nil {
			return nil, nil, err
		}
	}
	if comment != "" && !isNull(msg.values["body"]) {
		return nil, nil, errInvalidRequest("Specify either the comment parameter or the body property of the message parameter, not both.")
	}
	if !isNull(o.values["torecipients"]) && !isNull(msg.values["toRecipients"]) {
		return nil, nil, errInvalidRequest("Specify either the toRecipients parameter or the toRecipients property of the message parameter, not both.")
	}
	e := c.newDraft()
	e.verb = verb
	c.quote(e.st.c, original, verb, comment)
	if v := o.values["torecipients"]; !isNull(v) {
		if e.st.c.to, err = readRecipients(v); err != nil {
			return nil, nil, err
		}
	}
	return original, e, e.apply(c, msg)
}

// answerTo is to whom an answer goes: Reply-To where the sender gave one
// (RFC 5322, 3.6.2).
func (c *call) answerTo(original *message) []mimetree.Recipient {
	con := original.st.c
	if len(con.replyTo) > 0 {
		return slices.Clone(con.replyTo)
	}
	if con.from != nil {
		return []mimetree.Recipient{*con.from}
	}
	return nil
}

// quote fills an answer's fields from the original.
func (c *call) quote(con *content, original *message, verb, comment string) {
	old := original.st.c
	old.load()
	prefix := "RE: "
	if verb == verbForward {
		prefix = "FW: "
	}
	con.subject = prefix + bareSubject(old.subject)
	con.topic = bareSubject(old.subject)
	if old.messageID != "" {
		con.inReplyTo = old.messageID
		con.references = append(slices.Clone(old.references), old.messageID)
	}
	index := conversationIndex(original, original.st)
	con.index = append(slices.Clone(index), childBlock(original.st.sentAt, c.now)...)
	switch verb {
	case verbReply:
		con.to = c.answerTo(original)
	case verbReplyAll:
		con.to = c.answerTo(original)
		con.to = appendOthers(con.to, old.to, con.to, c.mb.user.Address)
		con.cc = appendOthers(nil, old.cc, con.to, c.mb.user.Address)
	}
	for _, a := range old.attachments {
		if verb == verbForward || a.inline && old.html {
			con.attach(a)
		}
	}
	con.html = old.html
	if con.html {
		con.body = htmlQuote(original, comment)
	} else {
		con.body = textQuote(original, comment)
	}
}

// appendOthers appends those of more who are neither in have nor oneself.
func appendOthers(list, more, have []mimetree.Recipient, self string) []mimetree.Recipient {
	for _, r := range more {
		same := func(o mimetree.Recipient) bool { return mimetree.SameAddress(o.Address, r.Address) }
		if !mimetree.SameAddress(r.Address, self) && !slices.ContainsFunc(have, same) && !slices.ContainsFunc(list, same) {
			list = append(list, r)
		}
	}
	return list
}

// bareSubject is a subject without its prefixes, in its own case.
func bareSubject(s string) string {
	topic, _ := topicOf(s)
	if i := strings.LastIndex(strings.ToLower(s), topic); i >= 0 && len(strings.ToLower(s)) == len(s) {
		return strings.TrimSpace(s[i:])
	}
	return strings.TrimSpace(s)
}

// childBlock is what an answer appends to a conversation index (MS-OXOMSG
// 2.2.1.3): the time since the original, coarsely.
func childBlock(before, now time.Time) []byte {
	n := uint32(max(0, now.Sub(before)/time.Second))
	return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0}
}

func quoteLines(original *message) [][2]string {
	con := original.st.c
	from := ""
	if con.from != nil {
		from = display(*con.from)
	}
	lines := [][2]string{{"From", from}, {"Sent", original.st.sentAt.Format("Monday, January 2, 2006 3:04 PM")}}
	for _, l := range []struct {
		name string
		rs   []mimetree.Recipient
	}{{"To", con.to}, {"Cc", con.cc}} {
		names := make([]string, len(l.rs))
		for i, r := range l.rs {
			names[i] = display(r)
		}
		if len(names) > 0 {
			lines = append(lines, [2]string{l.name, strings.Join(names, "; ")})
		}
	}
	return append(lines, [2]string{"Subject", con.subject})
}

func display(r mimetree.Recipient) string {
	if r.Name == "" || r.Name == r.Address {
		return r.Address
	}
	return r.Name + " <" + r.Address + ">"
}

func textQuote(original *message, comment string) string {
	var b strings.Builder
	b.WriteString(comment + "\r\n\r\n________________________________\r\n")
	for _, l := range quoteLines(original) {
		b.WriteString(l[0] + ": " + l[1] + "\r\n")
	}
	b.WriteString("\r\n" + original.st.c.bodyText())
	return b.String()
}

func htmlQuote(original *message, comment string) string {
	var b strings.Builder
	b.WriteString("<html><head>\r\n" + htmlHead + "</head><body>\r\n<div>" + strings.ReplaceAll(html.EscapeString(comment), "\n", "<br>\n") + "</div>\r\n")
	b.WriteString(`<hr tabindex="-1" style="display:inline-block; width:98%">` + "\r\n<div id=\"divRplyFwdMsg\" dir=\"ltr\">")
	for _, l := range quoteLines(original) {
		b.WriteString("<b>" + l[0] + ":</b> " + html.EscapeString(l[1]) + "<br>\r\n")
	}
	b.WriteString("</div>\r\n<div>" + original.st.c.bodyText() + "</div>\r\n</body></html>")
	return b.String()
}
