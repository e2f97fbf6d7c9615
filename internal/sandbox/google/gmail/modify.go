package gmail

import (
	"slices"
	"time"
)

// A labelChange is the body of the modify methods. Classification labels are
// Drive's and not played: they are accepted as long as they are empty.
type labelChange struct {
	IDs                          []string `json:"ids"`
	AddLabelIDs                  []string `json:"addLabelIds"`
	RemoveLabelIDs               []string `json:"removeLabelIds"`
	AddClassificationLabels      []any    `json:"addClassificationLabels"`
	RemoveClassificationLabelIDs []string `json:"removeClassificationLabelIds"`
}

const (
	maxModifiedLabels = 100
	maxBatchedIDs     = 1000
)

// readChange reads the body of a modify method.
func (c *call) readChange(batch bool) (*labelChange, error) {
	var ch labelChange
	if err := c.body(&ch, maxJSON); err != nil {
		return nil, err
	}
	switch {
	case len(ch.AddClassificationLabels)+len(ch.RemoveClassificationLabelIDs) > 0:
		return nil, errPrecondition("Classification labels are not enabled for this account.")
	case len(ch.AddLabelIDs) > maxModifiedLabels || len(ch.RemoveLabelIDs) > maxModifiedLabels:
		return nil, errInvalid("Too many label ids, a maximum of %d is allowed.", maxModifiedLabels)
	case len(ch.AddLabelIDs)+len(ch.RemoveLabelIDs) == 0:
		return nil, errInvalid("No label add or removes specified")
	case !batch && ch.IDs != nil:
		return nil, errField("ids", "Invalid JSON payload received. Unknown name \"ids\": Cannot find field.")
	}
	if batch {
		return &ch, checkIDs(ch.IDs)
	}
	return &ch, nil
}

// check refuses labels that do not exist and those that only the service puts
// on and takes off.
func (ch *labelChange) check(mb *mailbox) error {
	for _, id := range slices.Concat(ch.AddLabelIDs, ch.RemoveLabelIDs) {
		if id == labelSent || id == labelDraft || id == labelChat {
			return errInvalid("Invalid label: %s", id)
		}
	}
	if err := mb.checkLabels(slices.Concat(ch.AddLabelIDs, ch.RemoveLabelIDs)); err != nil {
		return err
	}
	if slices.ContainsFunc(ch.AddLabelIDs, func(id string) bool { return slices.Contains(ch.RemoveLabelIDs, id) }) {
		return errInvalid("Cannot both add and remove the same label")
	}
	return nil
}

func checkIDs(ids []string) error {
	switch {
	case len(ids) == 0:
		return errInvalid("No message ids specified")
	case len(ids) > maxBatchedIDs:
		return errInvalid("Too many message ids, a maximum of %d is allowed.", maxBatchedIDs)
	}
	for _, id := range ids {
		if err := checkID(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) modifyMessage(c *call) (any, error) {
	ch, err := c.readChange(false)
	if err != nil {
		return nil, err
	}
	return c.changeMessage(func(m *Message) error {
		if err := ch.check(c.mb); err != nil {
			return err
		}
		c.mb.relabel(m, ch.AddLabelIDs, ch.RemoveLabelIDs, c.now)
		return nil
	})
}

// changeMessage finds the message that the path names, changes it and answers
// with its labels.
func (c *call) changeMessage(f func(*Message) error) (any, error) {
	var out *messageResource
	err := c.locked(func() error {
		m, err := c.mb.get(c.path["id"])
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
		out = reference(m, true)
		return nil
	})
	return out, err
}

// toTrash puts a message into the trash.
func (mb *mailbox) toTrash(m *Message, now time.Time) {
	var gone []string
	if !mb.set.TrashKeepsInbox {
		gone = []string{labelInbox}
	}
	mb.relabel(m, []string{labelTrash}, gone, now)
}

// fromTrash takes it out again.
func (mb *mailbox) fromTrash(m *Message, now time.Time) {
	var back []string
	if mb.set.UntrashRestoresInbox && m.has(labelTrash) {
		back = []string{labelInbox}
	}
	mb.relabel(m, back, []string{labelTrash}, now)
}

func (s *Server) trashMessage(c *call) (any, error) {
	return c.changeMessage(func(m *Message) error {
		c.mb.toTrash(m, c.now)
		return nil
	})
}

func (s *Server) untrashMessage(c *call) (any, error) {
	return c.changeMessage(func(m *Message) error {
		c.mb.fromTrash(m, c.now)
		return nil
	})
}

func (s *Server) deleteMessage(c *call) (any, error) {
	_, err := c.changeMessage(func(m *Message) error {
		c.mb.remove(m, c.now)
		return nil
	})
	return nil, err
}

// batchModify changes what is there and says nothing of what is not.
func (s *Server) batchModify(c *call) (any, error) {
	ch, err := c.readChange(true)
	if err != nil {
		return nil, err
	}
	return nil, c.locked(func() error {
		if err := ch.check(c.mb); err != nil {
			return err
		}
		for _, id := range ch.IDs {
			if m := c.mb.messages[id]; m != nil {
				c.mb.relabel(m, ch.AddLabelIDs, ch.RemoveLabelIDs, c.now)
			}
		}
		return nil
	})
}

// batchDelete "provides no guarantees that messages were not already deleted or
// even existed at all" (DISC).
func (s *Server) batchDelete(c *call) (any, error) {
	var body struct {
		IDs []string `json:"ids"`
	}
	if err := c.body(&body, maxJSON); err != nil {
		return nil, err
	}
	if err := checkIDs(body.IDs); err != nil {
		return nil, err
	}
	return nil, c.locked(func() error {
		for _, id := range body.IDs {
			if m := c.mb.messages[id]; m != nil {
				c.mb.remove(m, c.now)
			}
		}
		return nil
	})
}
