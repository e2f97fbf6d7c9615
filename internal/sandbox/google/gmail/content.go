package gmail

import (
	"bytes"
	"net/mail"
	"strings"
)

// A content is what a message's header says of itself and its parts.
type content struct {
	subject   string
	messageID string   // without angle brackets; "" when it has none
	refers    []string // the ids of References and In-Reply-To, the nearest first
}

func parseContent(raw []byte) *content {
	c := &content{}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return c
	}
	c.subject = m.Header.Get("Subject")
	c.messageID = strings.Trim(m.Header.Get("Message-ID"), "<> ")
	return c
}

// identifiers are the ids by which answers may find this message's thread.
func (c *content) identifiers() []string {
	if c.messageID == "" {
		return c.refers
	}
	return append([]string{c.messageID}, c.refers...)
}

// categorise is a fixed stand-in for the service's sorting of new mail.
func categorise(c *content, address string) []string { return []string{"CATEGORY_PERSONAL"} }
