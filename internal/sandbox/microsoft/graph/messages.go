package graph

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// newMessageID is a Message-ID as the service makes them.
func newMessageID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return fmt.Sprintf("<PAXPR09MB5149%X@PAXPR09MB5149.eurprd09.prod.outlook.com>", b)
}

func (c *call) getMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.query.checkSelect("message", messageProperties); err != nil {
		return answer{}, err
	}
	if err := c.checkExpand(); err != nil {
		return answer{}, err
	}
	return ok(c.one("messages", c.messageEntity(m))), nil
}

func (c *call) messageMIME() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, raw: m.st.c.mime(), ctype: textPlain}, nil
}

// newDraft is a message that nobody has written anything into yet.
func (c *call) newDraft() *edit {
	now := c.now.Truncate(1e9)
	con := &content{made: true, loaded: true, messageID: newMessageID(), index: newConversationIndex(now), importance: "normal", sent: now}
	return &edit{creating: true, content: true, st: &state{
		read: true, draft: true, flag: flag{status: "notFlagged"}, importance: "normal", inference: "focused",
		c: con, change: c.mb.nextChange(), modified: c.now, received: now, sentAt: now,
	}}
}

// mimeDraft is a draft from MIME. It keeps its bytes, completed where the wire
// needs more.
func (c *call) mimeDraft(raw []byte) *edit {
	con := parseContent(raw)
	if con.messageID == "" || !c.s.set.KeepMessageID {
		con = parseContent(withMessageID(raw, newMessageID()))
	}
	e := c.newDraft()
	e.content = false
	e.st.c, e.st.importance = con, con.importance
	e.st.readReceipt, e.st.deliveryReceipt = con.readReceipt, con.dlvReceipt
	e.st.size = int64(len(con.raw))
	if !con.sent.IsZero() {
		e.st.sentAt = con.sent.UTC().Truncate(1e9)
	}
	return e
}

func withMessageID(raw []byte, id string) []byte {
	rest := mimetree.DropFields(raw, func(name string) bool { return strings.EqualFold(name, "Message-ID") })
	return append([]byte("Message-ID: "+id+"\r\n"), rest...)
}

// save puts a new message into a folder.
func (c *call) save(e *edit, f *folder) *message {
	m := &message{num: c.mb.nextNumber(), created: c.now, st: e.st, replyVerb: e.verb}
	m.conv = c.mb.converse(e.st.c, m.num)
	c.mb.insert(m, f, false, c.now)
	c.mb.tell(cloud.Created, f, m, m.mid, c.now, false)
	return m
}

func (c *call) createMessage() (answer, error) {
	f, err := c.targetFolder()
	if err != nil {
		return answer{}, err
	}
	if f == nil {
		f = c.mb.wellKnown["drafts"]
	}
	isMIME, err := c.isMIME()
	if err != nil {
		return answer{}, err
	}
	var e *edit
	if isMIME {
		raw, err := c.readMIME()
		if err != nil {
			return answer{}, err
		}
		e = c.mimeDraft(raw)
	} else {
		o, err := readObject(c.body, "message", false)
		if err != nil {
			return answer{}, err
		}
		e = c.newDraft()
		if err := e.apply(c, o); err != nil {
			return answer{}, err
		}
	}
	if err := c.mb.room(e.st.size); err != nil {
		return answer{}, err
	}
	return c.createdMessage(c.save(e, f)), nil
}

// createdMessage is the answer to whatever made or moved a message.
func (c *call) createdMessage(m *message) answer {
	a := created(c.one("messages", c.messageEntity(m)))
	a.header = http.Header{"Location": {c.base + "/v1.0/users" + quoteKey(c.mb.user.Address) + "/messages" + quoteKey(c.itemID(m))}}
	return a
}

// ifMatch compares an If-Match header with a message's etag.
func (c *call) ifMatch(m *message) error {
	want := c.r.Header.Get("If-Match")
	if want == "" || want == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(want, ",") {
		if strings.TrimSpace(tag) == c.mb.ids.etag(m.st.change) {
			return nil
		}
	}
	return errConflict()
}

func (c *call) updateMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.ifMatch(m); err != nil {
		return answer{}, err
	}
	o, err := readObject(c.body, "message", false)
	if err != nil {
		return answer{}, err
	}
	e := newEdit(m.st)
	if err := e.apply(c, o); err != nil {
		return answer{}, err
	}
	c.mb.commit(m, e, c.now)
	return ok(c.one("messages", c.messageEntity(m))), nil
}

// commit makes an edit the message's state, if it says anything new.
func (mb *mailbox) commit(m *message, e *edit, now time.Time) {
	kind := entryUpdated
	if e.readOnly {
		if e.st.read == m.st.read {
			return
		}
		kind = entryRead
	}
	mb.replace(m, e.st, kind, now)
	mb.tell(cloud.Updated, m.folder, m, m.mid, now, false)
}

func (c *call) deleteMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.ifMatch(m); err != nil {
		return answer{}, err
	}
	trash, dumpster := c.mb.wellKnown["deleteditems"], c.mb.wellKnown["recoverableitemsdeletions"]
	switch {
	case m.folder.within(dumpster):
		c.mb.purge(m, c.now)
	case m.folder.within(trash):
		c.mb.moveMessage(m, dumpster, c.now)
	default:
		c.mb.moveMessage(m, trash, c.now)
	}
	return noContent(), nil
}

func (c *call) permanentlyDeleteMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	c.mb.purge(m, c.now)
	return noContent(), nil
}

// destination reads the folder that move and copy name.
func (c *call) destination() (*folder, error) {
	o, err := c.action("destinationid")
	if err != nil {
		return nil, err
	}
	id, err := readString(o.values["destinationid"])
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, errInvalidRequest("The parameter 'DestinationId' is required.")
	}
	return c.mb.lookupFolder(id)
}

func (c *call) moveMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	to, err := c.destination()
	if err != nil {
		return answer{}, err
	}
	c.mb.moveMessage(m, to, c.now)
	return c.createdMessage(m), nil
}

func (c *call) copyMessage() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	to, err := c.destination()
	if err != nil {
		return answer{}, err
	}
	if err := c.mb.room(m.st.size); err != nil {
		return answer{}, err
	}
	return c.createdMessage(c.mb.copyMessage(m, to, c.now)), nil
}
