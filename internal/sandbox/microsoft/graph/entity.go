package graph

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// messageProperties are what $select may name on a message.
var messageProperties = lowerSet("id", "createdDateTime", "lastModifiedDateTime", "changeKey", "categories", "receivedDateTime",
	"sentDateTime", "hasAttachments", "internetMessageId", "subject", "bodyPreview", "importance", "parentFolderId", "conversationId",
	"conversationIndex", "isDeliveryReceiptRequested", "isReadReceiptRequested", "isRead", "isDraft", "webLink", "inferenceClassification",
	"body", "sender", "from", "toRecipients", "ccRecipients", "bccRecipients", "replyTo", "flag", "internetMessageHeaders", "uniqueBody",
	"attachments", "singleValueExtendedProperties", "multiValueExtendedProperties", "extensions")

var folderProperties = lowerSet("id", "displayName", "parentFolderId", "childFolderCount", "unreadItemCount", "totalItemCount",
	"sizeInBytes", "isHidden", "childFolders", "messages", "messageRules", "singleValueExtendedProperties", "multiValueExtendedProperties")

func lowerSet(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[strings.ToLower(n)] = true
	}
	return set
}

// itemID is a message's id in the form that the request asked for.
func (c *call) itemID(m *message) string { return c.itemIDOf(m.num, m.folder.num, m.mid) }

func (c *call) itemIDOf(num, folder, mid uint64) string {
	if c.prefer.immutable {
		return c.mb.ids.immutable(num)
	}
	return c.mb.ids.regular(folder, mid)
}

// messageEntity is a message as JSON, in the order in which the service writes
// its properties.
func (c *call) messageEntity(m *message) entity {
	return c.stateEntity(m, m.st, m.folder, m.mid)
}

// stateEntity is a message as it was in one of its states and folders.
func (c *call) stateEntity(m *message, st *state, f *folder, mid uint64) entity {
	q, con := c.query, st.c
	con.load()
	id := c.itemIDOf(m.num, f.num, mid)
	e := make(entity, 0, 32)
	if t := meetingType(con.meeting); t != "" {
		e = append(e, field{"@odata.type", t})
	}
	e = append(e, field{"@odata.etag", c.mb.ids.etag(st.change)}, field{"id", id})
	add := func(name string, value any) {
		if q.wants(name) {
			e = append(e, field{name, value})
		}
	}
	add("createdDateTime", m.created)
	add("lastModifiedDateTime", st.modified)
	add("changeKey", c.mb.ids.changeKey(st.change))
	add("categories", append([]string{}, st.categories...))
	add("receivedDateTime", st.received)
	add("sentDateTime", st.sentAt)
	add("hasAttachments", con.attached)
	add("internetMessageId", orNull(con.messageID))
	add("subject", con.subject)
	add("bodyPreview", con.preview)
	add("importance", st.importance)
	add("parentFolderId", c.mb.ids.folder(f.num))
	add("conversationId", c.mb.ids.conversation(m.conv))
	if q.wants("conversationIndex") {
		add("conversationIndex", base64.StdEncoding.EncodeToString(conversationIndex(m, st)))
	}
	add("isDeliveryReceiptRequested", st.deliveryReceipt)
	add("isReadReceiptRequested", st.readReceipt)
	add("isRead", st.read)
	add("isDraft", st.draft)
	if q.wants("webLink") {
		add("webLink", "https://outlook.office365.com/owa/?ItemID="+url.QueryEscape(id)+"&exvsurl=1&viewmodel=ReadMessageItem")
	}
	add("inferenceClassification", st.inference)
	if con.meeting != "" {
		add("meetingMessageType", meetingMessageType(con.meeting))
	}
	if q.wants("body") {
		add("body", c.bodyEntity(con))
	}
	if con.sender != nil {
		add("sender", recipientEntity(*con.sender))
	}
	if con.from != nil {
		add("from", recipientEntity(*con.from))
	}
	add("toRecipients", recipients(con.to))
	add("ccRecipients", recipients(con.cc))
	add("bccRecipients", recipients(con.bcc))
	add("replyTo", recipients(con.replyTo))
	add("flag", st.flag.entity())
	if q.names("internetMessageHeaders") && !con.made && !st.draft && (!st.outgoing || c.s.set.HeadersOnSent) {
		add("internetMessageHeaders", con.headerEntities())
	}
	if q.names("uniqueBody") {
		add("uniqueBody", c.bodyEntity(con))
	}
	if q.expands("attachments") {
		add := []entity{}
		for _, a := range con.attachments {
			inner := *c
			inner.query = q.expand["attachments"]
			add = append(add, inner.attachmentEntity(m, f, mid, a))
		}
		e = append(e, field{"attachments", add})
	}
	if x := q.expand["singlevalueextendedproperties"]; x != nil {
		if props := st.expandProps(x, c.s.set.NormalisePropertyIDs); len(props) > 0 {
			e = append(e, field{"singleValueExtendedProperties", props})
		}
	}
	return e
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// bodyEntity is the body in the type that the request prefers.
func (c *call) bodyEntity(con *content) entity {
	text, isHTML := con.bodyText(), con.html
	switch {
	case isHTML && c.prefer.bodyType == "text":
		text, isHTML = mimetree.HTMLToText(text), false
	case !isHTML && c.prefer.bodyType == "html":
		text, isHTML = textToHTML(text), true
	case isHTML && c.s.set.SanitizeHTML && !c.prefer.unsafeHTML:
		text = sanitizeHTML(text)
	}
	kind := "text"
	if isHTML {
		kind = "html"
	}
	return entity{{"contentType", kind}, {"content", text}}
}

func (con *content) headerEntities() []entity {
	es := make([]entity, len(con.headers))
	for i, f := range con.headers {
		es[i] = entity{{"name", f.Name}, {"value", mimetree.Guess(f.Value)}}
	}
	return es
}

func (f flag) entity() entity {
	e := entity{{"flagStatus", f.status}}
	for _, d := range []struct {
		name string
		at   *dateTimeZone
	}{{"dueDateTime", f.due}, {"startDateTime", f.start}, {"completedDateTime", f.completed}} {
		if d.at != nil {
			e = append(e, field{d.name, entity{{"dateTime", d.at.DateTime}, {"timeZone", d.at.TimeZone}}})
		}
	}
	return e
}

// meetingType is the @odata.type of mail about a meeting.
func meetingType(method string) string {
	switch method {
	case "":
		return ""
	case "REQUEST":
		return "#microsoft.graph.eventMessageRequest"
	case "REPLY":
		return "#microsoft.graph.eventMessageResponse"
	}
	return "#microsoft.graph.eventMessage"
}

func meetingMessageType(method string) string {
	switch method {
	case "REQUEST":
		return "meetingRequest"
	case "CANCEL":
		return "meetingCancelled"
	case "REPLY":
		return "meetingAccepted"
	}
	return "none"
}

// conversationIndex is MS-OXOMSG 2.2.1.3: a header with a coarse time and the
// conversation's key. What the message brought along stays.
func conversationIndex(m *message, st *state) []byte {
	if len(st.c.index) >= 22 {
		return st.c.index
	}
	return append(indexHeader(st.sentAt), m.conv[:]...)
}

func indexHeader(at time.Time) []byte {
	ticks := uint64(at.Unix()+11644473600) * 10_000_000 // FILETIME
	b := []byte{1}
	for shift := 56; shift >= 24; shift -= 8 {
		b = append(b, byte(ticks>>shift))
	}
	return b
}

// newConversationIndex begins a conversation.
func newConversationIndex(at time.Time) []byte {
	key := uuid.New()
	return append(indexHeader(at), key[:]...)
}

// filterValues gives a message's properties to $filter and $orderby.
func (c *call) filterValues(m *message) lookup {
	st := m.st
	return func(path string) (any, bool) {
		switch path {
		case "id":
			return c.itemID(m), true
		case "subject":
			return st.c.subject, true
		case "isread":
			return st.read, true
		case "isdraft":
			return st.draft, true
		case "importance":
			return st.importance, true
		case "inferenceclassification":
			return st.inference, true
		case "receiveddatetime":
			return st.received, true
		case "sentdatetime":
			return st.sentAt, true
		case "createddatetime":
			return m.created.Truncate(time.Second), true
		case "lastmodifieddatetime":
			return st.modified.Truncate(time.Second), true
		case "changekey":
			return c.mb.ids.changeKey(st.change), true
		case "internetmessageid":
			return orNull(st.c.messageID), true
		case "conversationid":
			return c.mb.ids.conversation(m.conv), true
		case "parentfolderid":
			return c.mb.ids.folder(m.folder.num), true
		case "hasattachments":
			st.c.load()
			return st.c.attached, true
		case "bodypreview":
			st.c.load()
			return st.c.preview, true
		case "body/content":
			st.c.load()
			return st.c.bodyText(), true
		case "body/contenttype":
			return c.bodyEntity(st.c).get("contentType"), true
		case "isreadreceiptrequested":
			return st.readReceipt, true
		case "isdeliveryreceiptrequested":
			return st.deliveryReceipt, true
		case "flag/flagstatus":
			return st.flag.status, true
		case "flag/duedatetime/datetime":
			return st.flag.due.value(), true
		case "flag/startdatetime/datetime":
			return st.flag.start.value(), true
		case "flag/completeddatetime/datetime":
			return st.flag.completed.value(), true
		case "from/emailaddress/address", "from/emailaddress/name":
			return person(st.c.from, path), true
		case "sender/emailaddress/address", "sender/emailaddress/name":
			return person(st.c.sender, path), true
		case "from", "sender":
			return nil, true
		case "torecipients":
			return peopleValues(st.c.to), true
		case "ccrecipients":
			return peopleValues(st.c.cc), true
		case "bccrecipients":
			return peopleValues(st.c.bcc), true
		case "replyto":
			return peopleValues(st.c.replyTo), true
		case "categories":
			items := make([]lookup, len(st.categories))
			for i, k := range st.categories {
				items[i] = func(p string) (any, bool) { return k, p == "" }
			}
			return items, true
		case "singlevalueextendedproperties":
			return st.propValues(c.query.propIDs), true
		}
		return nil, false
	}
}

func (d *dateTimeZone) value() any {
	if d == nil {
		return nil
	}
	return d.DateTime
}

func person(r *mimetree.Recipient, path string) any {
	if r == nil {
		return nil
	}
	if strings.HasSuffix(path, "/name") {
		return r.Name
	}
	return r.Address
}

func peopleValues(rs []mimetree.Recipient) []lookup {
	items := make([]lookup, len(rs))
	for i, r := range rs {
		items[i] = func(p string) (any, bool) {
			switch p {
			case "emailaddress/address":
				return r.Address, true
			case "emailaddress/name":
				return r.Name, true
			}
			return nil, false
		}
	}
	return items
}

// folderValues gives a folder's properties to $filter and $orderby.
func (c *call) folderValues(f *folder) lookup {
	return func(path string) (any, bool) {
		switch path {
		case "id":
			return c.mb.ids.folder(f.num), true
		case "displayname":
			return f.name, true
		case "ishidden":
			return f.hidden, true
		case "unreaditemcount":
			return float64(f.unread), true
		case "totalitemcount":
			return float64(len(f.items)), true
		case "childfoldercount":
			return float64(len(c.mb.children(f, true))), true
		}
		return nil, false
	}
}

// userContext is the owner's part of an @odata.context.
func (c *call) userContext() string {
	return c.base + "/v1.0/$metadata#users('" + url.QueryEscape(c.mb.user.Address) + "')"
}

// selection is the part of an @odata.context that repeats $select.
func (c *call) selection() string {
	if len(c.query.selects) == 0 {
		return ""
	}
	return "(" + strings.Join(c.query.selects, ",") + ")"
}

// one puts the context in front of a single entity.
func (c *call) one(collection string, e entity) entity {
	return append(entity{{"@odata.context", c.userContext() + "/" + collection + c.selection() + "/$entity"}}, e...)
}

// many wraps a page.
func (c *call) many(collection string, es []entity, total int, next string) entity {
	e := entity{{"@odata.context", c.userContext() + "/" + collection + c.selection()}}
	if c.query.count && total >= 0 {
		e = append(e, field{"@odata.count", total})
	}
	e = append(e, field{"value", es})
	if next != "" {
		e = append(e, field{"@odata.nextLink", next})
	}
	return e
}

func quoteKey(id string) string { return "('" + strings.ReplaceAll(id, "'", "''") + "')" }

func countText(n int) answer {
	return answer{status: 200, raw: []byte(strconv.Itoa(n)), ctype: textPlain}
}
