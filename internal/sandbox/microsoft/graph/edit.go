package graph

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// An edit is a message as a client wants it: a copy of a state, and of its
// content when that changes too.
type edit struct {
	st       *state
	readOnly bool // isRead is all that changed
	content  bool // st.c is a copy made for this edit
	creating bool
	verb     string
}

func newEdit(old *state) *edit {
	st := *old
	return &edit{st: &st, readOnly: true}
}

// own gives the edit a content of its own to change, with every field that was
// still in the MIME taken out of it.
func (e *edit) own() *content {
	if !e.content {
		e.st.c.load()
		c := *e.st.c
		c.body = c.bodyText()
		c.bodyParts, c.made, c.raw, c.digest = nil, true, nil, ""
		c.attachments = slices.Clone(c.attachments)
		e.st.c, e.content = &c, true
	}
	return e.st.c
}

// ignored are properties that clients send back and the service does not take.
var ignored = lowerSet("id", "createdDateTime", "lastModifiedDateTime", "changeKey", "receivedDateTime", "sentDateTime", "hasAttachments",
	"bodyPreview", "parentFolderId", "conversationId", "conversationIndex", "isDraft", "webLink", "uniqueBody")

// draftOnly are properties that cannot change once a message was sent.
var draftOnly = map[string]bool{
	"subject": true, "body": true, "toRecipients": true, "ccRecipients": true, "bccRecipients": true, "from": true, "sender": true,
	"replyTo": true, "internetMessageId": true, "internetMessageHeaders": true, "attachments": true,
}

// apply sets the properties of a message given as JSON.
func (e *edit) apply(c *call, o object) error {
	for _, k := range o.keys {
		if strings.HasPrefix(k, "@") || strings.Contains(k, "@odata.") || ignored[strings.ToLower(k)] && messageProperties[strings.ToLower(k)] {
			continue
		}
		if draftOnly[k] && !e.st.draft && !e.creating {
			return errDraftOnly(k)
		}
		if k != "isRead" {
			e.readOnly = false
		}
		if err := e.set(c, k, o.values[k]); err != nil {
			return err
		}
	}
	e.finish()
	return nil
}

// finish works out what follows from the fields of a content that was changed.
func (e *edit) finish() {
	if !e.content {
		return
	}
	con := e.st.c
	con.raw, con.digest = nil, ""
	con.preview = makePreview(con.html, con.body)
	con.importance = e.st.importance
	con.readReceipt, con.dlvReceipt = e.st.readReceipt, e.st.deliveryReceipt
	e.st.size = int64(len(con.subject) + len(con.body) + 1000)
	for _, a := range con.attachments {
		e.st.size += int64(a.size())
	}
}

func (e *edit) set(c *call, name string, v json.RawMessage) (err error) {
	switch name {
	case "isRead":
		e.st.read, err = readBool(v)
	case "flag":
		e.st.flag, err = readFlag(v)
	case "categories":
		e.st.categories, err = read[[]string](v, "Collection(Edm.String)")
	case "importance":
		e.st.importance, err = e.readImportance(v)
		if err == nil && e.st.draft {
			e.own()
		}
	case "inferenceClassification":
		var s string
		if s, err = readString(v); err == nil {
			e.st.inference, err = oneOf(s, "focused", "other")
		}
	case "isReadReceiptRequested":
		e.st.readReceipt, err = readBool(v)
	case "isDeliveryReceiptRequested":
		e.st.deliveryReceipt, err = readBool(v)
	case "singleValueExtendedProperties":
		err = e.setProps(v)
	case "subject":
		con := e.own()
		con.subject, err = readString(v)
		con.topic = con.subject
	case "body":
		con := e.own()
		con.body, con.html, err = readItemBody(v)
	case "toRecipients":
		e.own().to, err = readRecipients(v)
	case "ccRecipients":
		e.own().cc, err = readRecipients(v)
	case "bccRecipients":
		e.own().bcc, err = readRecipients(v)
	case "replyTo":
		e.own().replyTo, err = readRecipients(v)
	case "from":
		e.own().from, err = readRecipient(v)
	case "sender":
		e.own().sender, err = readRecipient(v)
	case "internetMessageId":
		var id string
		if id, err = readString(v); err == nil && id != "" && c.s.set.KeepMessageID {
			e.own().messageID = oneLine(id)
		}
	case "internetMessageHeaders":
		e.own().custom, err = readHeaders(v, c.s.set.MaxCustomHeaders)
	case "attachments":
		err = e.setAttachments(c, v)
	default:
		return errUnknownProperty(name, "message")
	}
	return err
}

func (e *edit) readImportance(v json.RawMessage) (string, error) {
	s, err := readString(v)
	if err != nil || s == "" {
		return "normal", err
	}
	return oneOf(s, "low", "normal", "high")
}

func (e *edit) setAttachments(c *call, v json.RawMessage) error {
	if !e.creating {
		return errInvalidRequest("Attachments cannot be changed through the message; use its attachments collection.")
	}
	items, err := read[[]json.RawMessage](v, "Collection(microsoft.graph.attachment)")
	if err != nil {
		return err
	}
	con := e.own()
	for _, item := range items {
		a, err := c.readAttachment(item)
		if err != nil {
			return err
		}
		con.attach(a)
	}
	return nil
}

// setProps sets extended properties. Some are the message's own fields under
// another name: at creation they make what JSON cannot say, a message that is
// no draft or that was received in the past.
func (e *edit) setProps(v json.RawMessage) error {
	ps, err := readProps(v)
	if err != nil {
		return err
	}
	props := maps.Clone(e.st.props)
	if props == nil {
		props = map[string]string{}
	}
	for _, p := range ps {
		if readOnlyProps[p.id] && (!e.creating || p.id == tagSize) {
			return errSaveProperty()
		}
		switch p.id {
		case tagMessageFlags:
			n, err := json.Number(p.value).Int64()
			if err != nil {
				return errSaveProperty()
			}
			e.st.draft = n&0x8 != 0
			e.st.read = n&0x1 != 0
		case tagDelivered, tagSubmitted:
			t, err := parsePropTime(p.value)
			if err != nil {
				return errSaveProperty()
			}
			if p.id == tagDelivered {
				e.st.received = t.Truncate(1e9)
			} else {
				e.st.sentAt = t.Truncate(1e9)
				e.own().sent = e.st.sentAt
			}
		case "String 0x1035":
			e.own().messageID = oneLine(p.value)
		case "String 0x1042":
			e.own().inReplyTo = oneLine(p.value)
		case "String 0x1039":
			e.own().references = mimetree.MessageIDs(p.value)
		default:
			props[p.id] = p.value
		}
	}
	e.st.props = props
	return nil
}

// attach adds a file to a content that nobody else sees yet.
func (con *content) attach(a *attachment) {
	con.attachments = append(con.attachments, a)
	con.attached = con.attached || !a.inline
}
