package graph

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// messageEnvelope is the message's id as bytes, on which attachments' ids stand.
func (c *call) messageEnvelope(num, folder, mid uint64) []byte {
	if c.prefer.immutable {
		return wrapImmutable(c.mb.ids.immutableEntry(num))
	}
	return c.mb.ids.wrap(c.mb.ids.regularEntry(folder, mid))
}

var attachmentProperties = lowerSet("id", "lastModifiedDateTime", "name", "contentType", "size", "isInline", "contentId", "contentLocation", "contentBytes", "item")

func (c *call) attachmentEntity(m *message, f *folder, mid uint64, a *attachment) entity {
	q := c.query
	kind := "file"
	if a.item {
		kind = "item"
	}
	e := entity{{"@odata.type", "#microsoft.graph." + kind + "Attachment"}}
	if !a.item && a.ctype != "" {
		e = append(e, field{"@odata.mediaContentType", a.ctype})
	}
	e = append(e, field{"id", attachmentID(c.messageEnvelope(m.num, f.num, mid), a.key)})
	modified := a.modified
	if modified.IsZero() {
		modified = m.created
	}
	ps := []field{
		{"lastModifiedDateTime", modified},
		{"name", a.name},
		{"contentType", orNull(a.ctype)},
		{"size", a.size()},
		{"isInline", a.inline},
	}
	if !a.item {
		ps = append(ps, field{"contentId", orNull(a.cid)}, field{"contentLocation", orNull(a.location)})
		if q.wants("contentBytes") {
			ps = append(ps, field{"contentBytes", base64.StdEncoding.EncodeToString(a.bytes())})
		}
	}
	for _, p := range ps {
		if q.wants(p.key) {
			e = append(e, p)
		}
	}
	if a.item && (q.expands("microsoft.graph.itemattachment/item") || q.expands("item")) {
		e = append(e, field{"item", c.itemEntity(m, a)})
	}
	return e
}

// itemEntity is the message inside an item attachment. It has no id of its own.
func (c *call) itemEntity(outer *message, a *attachment) entity {
	con := parseContent(mimetree.Normalise(a.bytes()))
	at := con.sent.UTC()
	if at.IsZero() || at.Year() < 1970 {
		at = outer.created
	}
	st := &state{read: true, flag: flag{status: "notFlagged"}, importance: con.importance, inference: "focused", c: con, modified: at, received: at, sentAt: at}
	inner := *c
	inner.query = &query{}
	e := entity{{"@odata.type", "#microsoft.graph.message"}}
	for _, f := range inner.stateEntity(&message{created: at, st: st}, st, c.mb.root, 0) {
		switch f.key {
		case "@odata.etag", "changeKey", "parentFolderId", "categories", "webLink", "conversationId", "conversationIndex":
		case "id":
			e = append(e, field{"id", ""})
		default:
			e = append(e, f)
		}
	}
	return e
}

// targetAttachment is the attachment in the path.
func (c *call) targetAttachment() (*message, *attachment, error) {
	m, err := c.targetMessage()
	if err != nil {
		return nil, nil, err
	}
	r, ok := parseID(c.path.attach)
	if !ok || r.attach == "" {
		return nil, nil, errMalformedID()
	}
	m.st.c.load()
	for _, a := range m.st.c.attachments {
		if a.key == r.attach {
			return m, a, nil
		}
	}
	return nil, nil, errItemNotFound()
}

func (c *call) attachmentsName() string {
	return "messages" + quoteKey(c.path.message) + "/attachments"
}

func (c *call) checkAttachmentQuery() error {
	if err := c.query.checkSelect("attachment", attachmentProperties); err != nil {
		return err
	}
	for name := range c.query.expand {
		if name != "microsoft.graph.itemattachment/item" && name != "item" {
			return errBadRequest("Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.attachment'.", name)
		}
	}
	return nil
}

func (c *call) listAttachments() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.checkAttachmentQuery(); err != nil {
		return answer{}, err
	}
	m.st.c.load()
	es := []entity{}
	for _, a := range m.st.c.attachments {
		if c.query.filter != nil {
			yes, err := truth(c.query.filter, attachmentValues(a))
			if err != nil {
				return answer{}, err
			}
			if !yes {
				continue
			}
		}
		es = append(es, c.attachmentEntity(m, m.folder, m.mid, a))
	}
	total := len(es)
	start := min(c.query.skip, total)
	end := total
	if c.query.top >= 0 {
		end = min(start+c.query.top, total)
	}
	next := ""
	if end < total && c.query.top > 0 {
		next = c.nextLink("$skip", strconv.Itoa(end))
	}
	return ok(c.many(c.attachmentsName(), es[start:end], total, next)), nil
}

func attachmentValues(a *attachment) lookup {
	return func(path string) (any, bool) {
		switch path {
		case "name":
			return a.name, true
		case "contenttype":
			return a.ctype, true
		case "isinline":
			return a.inline, true
		case "size":
			return float64(a.size()), true
		}
		return nil, false
	}
}

func (c *call) countAttachments() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	m.st.c.load()
	return countText(len(m.st.c.attachments)), nil
}

func (c *call) getAttachment() (answer, error) {
	m, a, err := c.targetAttachment()
	if err != nil {
		return answer{}, err
	}
	if err := c.checkAttachmentQuery(); err != nil {
		return answer{}, err
	}
	return ok(c.one(c.attachmentsName(), c.attachmentEntity(m, m.folder, m.mid, a))), nil
}

func (c *call) attachmentValue() (answer, error) {
	_, a, err := c.targetAttachment()
	if err != nil {
		return answer{}, err
	}
	ctype := a.ctype
	if a.item {
		ctype = textPlain
	} else if ctype == "" {
		ctype = "application/octet-stream"
	}
	return answer{status: http.StatusOK, raw: a.bytes(), ctype: ctype}, nil
}

// readAttachment reads an attachment given as JSON.
func (c *call) readAttachment(v json.RawMessage) (*attachment, error) {
	o, err := readObject(v, "attachment", false)
	if err != nil {
		return nil, err
	}
	kind, err := readString(o.values["@odata.type"])
	if err != nil {
		return nil, err
	}
	switch strings.TrimPrefix(strings.ToLower(kind), "#") {
	case "microsoft.graph.fileattachment":
	case "microsoft.graph.itemattachment":
		return c.readItemAttachment(o)
	case "microsoft.graph.referenceattachment":
		return nil, errRefused("reference attachments point at files in a cloud that the sandbox does not have")
	default:
		return nil, errRequestBody("A type named '%s' could not be resolved by the model. When a model is available, each type name must resolve to a valid type.", abbreviate(kind))
	}
	a := newAttachment(c.now)
	for _, k := range o.keys {
		v := o.values[k]
		switch k {
		case "name":
			a.name, err = readString(v)
		case "contentType":
			a.ctype, err = readString(v)
		case "contentId":
			a.cid, err = readString(v)
			a.cid = strings.Trim(oneLine(a.cid), "<>")
		case "contentLocation":
			a.location, err = readString(v)
		case "isInline":
			a.inline, err = readBool(v)
		case "contentBytes":
			a.data, err = read[[]byte](v, "Edm.Binary")
		case "id", "size", "lastModifiedDateTime":
		default:
			if !strings.HasPrefix(k, "@") {
				return nil, errUnknownProperty(k, "fileAttachment")
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if a.name = oneLine(a.name); a.name == "" {
		return nil, errInvalidRequest("The attachment's name is missing.")
	}
	if a.ctype == "" {
		a.ctype = "application/octet-stream"
	}
	if int64(len(a.data)) >= c.s.set.SmallAttachmentBytes {
		return nil, errLargeAttachment()
	}
	return a, nil
}

func newAttachment(now time.Time) *attachment {
	key := uuid.New()
	return &attachment{key: string(key[:]), modified: now}
}

// readItemAttachment makes MIME of a message given inside an attachment.
func (c *call) readItemAttachment(o object) (*attachment, error) {
	a := newAttachment(c.now)
	a.item, a.ctype = true, "message/rfc822"
	for _, k := range o.keys {
		switch k {
		case "name", "item", "contentType", "isInline", "id", "size", "lastModifiedDateTime":
		default:
			if !strings.HasPrefix(k, "@") {
				return nil, errUnknownProperty(k, "itemAttachment")
			}
		}
	}
	var err error
	if a.name, err = readString(o.values["name"]); err != nil {
		return nil, err
	}
	item, err := readObject(o.values["item"], "outlookItem", false)
	if err != nil {
		return nil, err
	}
	if kind, err := readString(item.values["@odata.type"]); err != nil || kind != "" && !strings.HasSuffix(strings.ToLower(kind), "microsoft.graph.message") {
		return nil, errRefused("of items only messages are served as attachments")
	}
	e := c.newDraft()
	if err := e.apply(c, item); err != nil {
		return nil, err
	}
	a.data = e.st.c.mime()
	if a.name == "" {
		a.name = e.st.c.subject
	}
	return a, nil
}

// addAttachment gives a message one more attachment.
func (c *call) addAttachment(m *message, a *attachment) {
	e := newEdit(m.st)
	e.own().attach(a)
	e.readOnly = false
	e.finish()
	c.mb.commit(m, e, c.now)
}

func (c *call) createAttachment() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	a, err := c.readAttachment(c.body)
	if err != nil {
		return answer{}, err
	}
	if c.s.set.AttachToDraftsOnly && !m.st.draft {
		return answer{}, errDraftOnly("attachments")
	}
	c.addAttachment(m, a)
	ans := created(c.one(c.attachmentsName(), c.attachmentEntity(m, m.folder, m.mid, a)))
	id, _ := ans.entity.get("id").(string)
	ans.header = http.Header{"Location": {c.base + "/v1.0/users" + quoteKey(c.mb.user.Address) + "/messages" + quoteKey(c.itemID(m)) + "/attachments" + quoteKey(id)}}
	return ans, nil
}

func (c *call) deleteAttachment() (answer, error) {
	m, a, err := c.targetAttachment()
	if err != nil {
		return answer{}, err
	}
	e := newEdit(m.st)
	con := e.own()
	e.readOnly = false
	con.attached = false
	kept := con.attachments[:0]
	for _, b := range con.attachments {
		if b != a {
			kept = append(kept, b)
			con.attached = con.attached || !b.inline
		}
	}
	con.attachments = kept
	e.finish()
	c.mb.commit(m, e, c.now)
	return noContent(), nil
}
