package gmail

import (
	"bytes"
	"encoding/json"
	"slices"
)

// A labelCount is a label with what labels.get counts.
type labelCount struct {
	label
	MessagesTotal  int `json:"messagesTotal"`
	MessagesUnread int `json:"messagesUnread"`
	ThreadsTotal   int `json:"threadsTotal"`
	ThreadsUnread  int `json:"threadsUnread"`
}

// listLabels tells no counts and no colours: "each label resource only contains
// an id, name, messageListVisibility, labelListVisibility, and type" (DISC).
func (s *Server) listLabels(c *call) (any, error) {
	var out struct {
		Labels []label `json:"labels,omitempty"`
	}
	err := c.locked(func() error {
		for _, l := range c.mb.sortedLabels() {
			plain := *l
			plain.Color = nil
			out.Labels = append(out.Labels, plain)
		}
		return nil
	})
	return out, err
}

// findLabel finds the label that the path names.
func (c *call) findLabel() (*label, error) {
	if l := c.mb.labels[c.path["id"]]; l != nil {
		return l, nil
	}
	return nil, errNotFound()
}

func (s *Server) getLabel(c *call) (any, error) {
	var out labelCount
	err := c.locked(func() error {
		l, err := c.findLabel()
		if err != nil {
			return err
		}
		out.label = *l
		threads, unread := map[string]bool{}, map[string]bool{}
		for _, m := range c.mb.order {
			if !m.has(l.ID) {
				continue
			}
			out.MessagesTotal++
			threads[m.ThreadID] = true
			if m.has(labelUnread) {
				out.MessagesUnread++
				unread[m.ThreadID] = true
			}
		}
		out.ThreadsTotal, out.ThreadsUnread = len(threads), len(unread)
		return nil
	})
	return out, err
}

// A labelBody is what a client may say of a label. What only the service knows
// is accepted and ignored.
type labelBody struct {
	ID                    *string     `json:"id"`
	Name                  *string     `json:"name"`
	MessageListVisibility *string     `json:"messageListVisibility"`
	LabelListVisibility   *string     `json:"labelListVisibility"`
	Color                 *labelColor `json:"color"`
	Type                  *string     `json:"type"`
	MessagesTotal         any         `json:"messagesTotal"`
	MessagesUnread        any         `json:"messagesUnread"`
	ThreadsTotal          any         `json:"threadsTotal"`
	ThreadsUnread         any         `json:"threadsUnread"`

	dropColor bool // "color": null
}

// UnmarshalJSON notes a colour that is to go.
func (b *labelBody) UnmarshalJSON(raw []byte) error {
	type plain labelBody
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(b)); err != nil {
		return err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return err
	}
	color, given := keys["color"]
	b.dropColor = given && string(color) == "null"
	return nil
}

// readLabel reads and checks the body of a label method.
func (c *call) readLabel() (*labelBody, error) {
	var b labelBody
	if err := c.body(&b, maxJSON); err != nil {
		return nil, err
	}
	oneOf := func(field string, v *string, values ...string) error {
		if v != nil && *v != "" && !slices.Contains(values, *v) {
			return errField("label."+field, "Invalid value at 'label.%s' (TYPE_ENUM), %q", field, *v)
		}
		return nil
	}
	if err := oneOf("message_list_visibility", b.MessageListVisibility, "show", "hide"); err != nil {
		return nil, err
	}
	if err := oneOf("label_list_visibility", b.LabelListVisibility, "labelShow", "labelShowIfUnread", "labelHide"); err != nil {
		return nil, err
	}
	if err := oneOf("type", b.Type, "user", "system"); err != nil {
		return nil, err
	}
	return &b, b.Color.check()
}

// check refuses a colour that is not of the palette, and half of one.
func (k *labelColor) check() error {
	if k == nil || *k == (labelColor{}) {
		return nil
	}
	if k.TextColor == "" || k.BackgroundColor == "" {
		return errInvalid("Both text and background colors must be specified")
	}
	for _, v := range []string{k.TextColor, k.BackgroundColor} {
		if !slices.Contains(palette(), v) {
			return errInvalid("Label color %s is not on the allowed color palette", v)
		}
	}
	return nil
}

// rename checks a name for a label; l is nil for a new one.
func (mb *mailbox) rename(l *label, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if other := mb.labelNamed(name); other != nil && other != l {
		return errLabelExists()
	}
	return nil
}

// set takes over what the body says of a label.
func (b *labelBody) set(l *label) {
	if b.Name != nil {
		l.Name = *b.Name
	}
	if v := b.MessageListVisibility; v != nil && *v != "" {
		l.MessageListVisibility = *v
	}
	if v := b.LabelListVisibility; v != nil && *v != "" {
		l.LabelListVisibility = *v
	}
	switch {
	case b.dropColor || b.Color != nil && *b.Color == labelColor{}:
		l.Color = nil
	case b.Color != nil:
		l.Color = b.Color
	}
}

func (s *Server) createLabel(c *call) (any, error) {
	b, err := c.readLabel()
	if err != nil {
		return nil, err
	}
	if b.Name == nil {
		return nil, errInvalid("Invalid label name")
	}
	var out label
	err = c.locked(func() error {
		if err := c.mb.rename(nil, *b.Name); err != nil {
			return err
		}
		if len(c.mb.labels)-len(systemLabels()) >= s.set.MaxLabels {
			return errInvalid("Too many labels")
		}
		l := c.mb.addLabel(*b.Name)
		b.set(l)
		out = *l
		return nil
	})
	return out, err
}

// changeLabel changes the user label that the path names. System labels
// "cannot be added, modified, or deleted" (DISC).
func (c *call) changeLabel(whole bool) (any, error) {
	b, err := c.readLabel()
	if err != nil {
		return nil, err
	}
	var out label
	err = c.locked(func() error {
		l, err := c.userLabel("update")
		if err != nil {
			return err
		}
		if b.ID != nil && *b.ID != "" && *b.ID != l.ID {
			return errInvalid("Label id in the body does not match the one in the path")
		}
		if whole && b.Name == nil {
			return errInvalid("Invalid label name")
		}
		if b.Name != nil {
			if err := c.mb.rename(l, *b.Name); err != nil {
				return err
			}
		}
		changed := *l
		if whole {
			changed = label{ID: l.ID, Name: l.Name, Type: l.Type, MessageListVisibility: "show", LabelListVisibility: "labelShow"}
		}
		b.set(&changed)
		c.mb.labels[l.ID] = &changed
		out = changed
		return nil
	})
	return out, err
}

func (c *call) userLabel(what string) (*label, error) {
	l, err := c.findLabel()
	if err != nil {
		return nil, err
	}
	if l.Type != "user" {
		return nil, errInvalid("Invalid %s request: %s is a system label", what, l.ID)
	}
	return l, nil
}

func (s *Server) updateLabel(c *call) (any, error) { return c.changeLabel(true) }

func (s *Server) patchLabel(c *call) (any, error) { return c.changeLabel(false) }

// deleteLabel takes the label off every message, one record each, and then
// away.
func (s *Server) deleteLabel(c *call) (any, error) {
	return nil, c.locked(func() error {
		l, err := c.userLabel("delete")
		if err != nil {
			return err
		}
		for _, m := range slices.Backward(c.mb.list(func(m *Message) bool { return m.has(l.ID) })) {
			c.mb.relabel(m, nil, []string{l.ID}, c.now)
		}
		delete(c.mb.labels, l.ID)
		return nil
	})
}
