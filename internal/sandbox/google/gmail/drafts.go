package gmail

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"
)

// A draft is a message with the label DRAFT under an id of its own, which stays
// while the message is replaced ("Drafts" guide): an update destroys the message
// and makes another with another id, and so does sending, which ends the draft.

// A draftInput is a Draft as requests bring one (DISC "Draft").
type draftInput struct {
	ID      string        `json:"id"`
	Message *messageInput `json:"message"`
}

type draftResource struct {
	ID      string           `json:"id"`
	Message *messageResource `json:"message,omitempty"`
}

// draftOf is the id of the draft that a message is. A draft that another of the
// owner's programs made gets its id when it is first seen.
func (mb *mailbox) draftOf(m *Message) string {
	for id, message := range mb.out.Drafts {
		if message == m.ID {
			return id
		}
	}
	sum := sha256.Sum256([]byte(mb.user.ID + m.ID))
	id := "r" + strconv.FormatInt(int64(binary.BigEndian.Uint64(sum[:])), 10) // may be below zero, as the service's
	mb.setDraft(id, m)
	return id
}

func (mb *mailbox) setDraft(id string, m *Message) {
	if mb.out.Drafts == nil {
		mb.out.Drafts = map[string]string{}
	}
	mb.out.Drafts[id] = m.ID
}

// draft finds the message of a draft.
func (mb *mailbox) draft(id string) (*Message, error) {
	if m := mb.messages[mb.out.Drafts[id]]; m != nil && m.has(labelDraft) {
		return m, nil
	}
	for _, m := range mb.order {
		if m.has(labelDraft) && mb.draftOf(m) == id {
			return m, nil
		}
	}
	delete(mb.out.Drafts, id)
	return nil, errNotFound()
}

// readDraft reads a Draft and the message that it carries; raw is nil where it
// carries none and none is needed.
func (c *call) readDraft(needed bool) (d draftInput, raw []byte, done bool, err error) {
	in, done, err := c.incoming(maxSend)
	if err != nil || done {
		return d, nil, done, err
	}
	if err := decodeBody(in.meta, &d); err != nil {
		return d, nil, false, err
	}
	if d.Message == nil {
		d.Message = &messageInput{}
	}
	if in.media == nil && (d.Message.Raw == nil || *d.Message.Raw == "") && !needed {
		return d, nil, false, nil
	}
	raw, err = in.bytes(d.Message, maxSend)
	return d, raw, false, err
}

func (c *call) listDrafts() (any, error) {
	var out struct {
		Drafts             []draftResource `json:"drafts,omitempty"`
		NextPageToken      string          `json:"nextPageToken,omitempty"`
		ResultSizeEstimate int             `json:"resultSizeEstimate"`
	}
	err := c.locked(func() error {
		keep, err := c.selection()
		if err != nil {
			return err
		}
		page, next, err := c.page("drafts", c.mb.list(func(m *Message) bool { return m.has(labelDraft) && keep(m) }))
		if err != nil {
			return err
		}
		for _, m := range page {
			out.Drafts = append(out.Drafts, draftResource{c.mb.draftOf(m), reference(m, false)})
		}
		if out.NextPageToken, out.ResultSizeEstimate = next, len(page); next != "" {
			out.ResultSizeEstimate = manyResults
		}
		return nil
	})
	return out, err
}

func (c *call) getDraft() (any, error) {
	m, err := c.show(func() (*Message, error) { return c.mb.draft(c.path["id"]) })
	if err != nil {
		return nil, err
	}
	return draftResource{c.path["id"], m}, nil
}

func (c *call) createDraft() (any, error) {
	in, raw, done, err := c.readDraft(true)
	if err != nil || done {
		return answered{}, err
	}
	var out draftResource
	err = c.locked(func() error {
		if err := c.checkThread(in.Message.ThreadID); err != nil {
			return err
		}
		m := c.mb.add(c.compose(raw), []string{labelDraft}, c.now, c.now, in.Message.ThreadID)
		out = draftResource{c.mb.draftOf(m), reference(m, true)}
		return nil
	})
	return out, err
}

// updateDraft replaces the message. It stays in its thread, unless the new one
// belongs into the thread that the request names.
func (c *call) updateDraft() (any, error) {
	in, raw, done, err := c.readDraft(true)
	if err != nil || done {
		return answered{}, err
	}
	var out draftResource
	err = c.locked(func() error {
		old, err := c.mb.draft(c.path["id"])
		if err != nil {
			return err
		}
		if err := c.checkThread(in.Message.ThreadID); err != nil {
			return err
		}
		m := c.replaceDraft(old, c.compose(raw), []string{labelDraft}, in.Message.ThreadID)
		c.mb.setDraft(c.path["id"], m)
		out = draftResource{c.path["id"], reference(m, true)}
		return nil
	})
	return out, err
}

// replaceDraft puts a new message in the place of a draft's, and in its thread.
func (c *call) replaceDraft(old *Message, raw []byte, labels []string, thread string) *Message {
	mb := c.mb
	m := &Message{ID: mb.newID(c.now), LabelIDs: sortedSet(labels), InternalDate: c.now.Truncate(time.Millisecond), Raw: raw}
	if mb.join(m, thread); m.ThreadID == m.ID || thread == "" {
		m.ThreadID = old.ThreadID
	}
	mb.insert(m)
	mb.record(m, record{Added: true}, c.now)
	mb.remove(old, c.now)
	return m
}

// sendDraft sends a draft, as the request's message where it has one.
func (c *call) sendDraft() (any, error) {
	in, raw, done, err := c.readDraft(false)
	if err != nil || done {
		return answered{}, err
	}
	if in.ID == "" {
		return nil, errInvalid("Missing draft id")
	}
	var p *parcel
	err = c.locked(func() error {
		old, err := c.mb.draft(in.ID)
		if err != nil {
			return err
		}
		if raw == nil {
			raw = old.Raw
		}
		if err := c.checkThread(in.Message.ThreadID); err != nil {
			return err
		}
		if p, err = c.pack(raw); err != nil {
			return err
		}
		p.message = c.replaceDraft(old, p.raw, p.labels(), in.Message.ThreadID)
		delete(c.mb.out.Drafts, in.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.dispatch(p)
	return reference(p.message, true), nil
}

// deleteDraft deletes a draft for good, not into the trash.
func (c *call) deleteDraft() (any, error) {
	return nil, c.locked(func() error {
		m, err := c.mb.draft(c.path["id"])
		if err != nil {
			return err
		}
		c.mb.remove(m, c.now)
		delete(c.mb.out.Drafts, c.path["id"])
		return nil
	})
}
