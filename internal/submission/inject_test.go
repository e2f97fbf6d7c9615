package submission

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// TestWordsStayInTheirFields: nothing that a caller gives makes a field of its own.
func TestWordsStayInTheirFields(t *testing.T) {
	const evil = "x\r\nX-Evil: y\r\nBcc: eve@example.net"
	built := 0
	for name, m := range map[string]Message{
		"subject":         {Subject: evil},
		"name":            {To: []mail.Address{{Name: evil, Email: bob}}},
		"reply to":        {ReplyTo: []mail.Address{{Email: "a@x.example>\r\nX-Evil: y"}}},
		"reply to, local": {ReplyTo: []mail.Address{{Email: "a\r\nX-Evil: y@x.example"}}},
		"from":            {From: &mail.Address{Email: "a@x.example>\r\nX-Evil: y"}},
		"to of a draft":   {To: []mail.Address{{Email: "a@x.example\r\nX-Evil: y"}}},
		"bcc of a draft":  {Bcc: []mail.Address{{Email: "a@x.example\r\nX-Evil: y"}}},
		"content id":      {HTML: "x", Attachments: []Attachment{{Name: "a", ContentID: evil, Content: []byte("x")}}},
		"file name":       {Attachments: []Attachment{{Name: evil, Content: []byte("x")}}},
		"type":            {Attachments: []Attachment{{Name: "a", Type: "text/plain\r\nX-Evil: y", Content: []byte("x")}}},
		"one LF":          {ReplyTo: []mail.Address{{Email: "a@x.example>\nX-Evil: y"}}},
		"one CR":          {ReplyTo: []mail.Address{{Email: "a@x.example>\rX-Evil: y"}}},
	} {
		b := &builder{acct: &store.Account{Address: ann}, msg: m, bcc: true}
		raw, err := b.build()
		if err != nil {
			continue // refused is as good
		}
		built++
		text := strings.ReplaceAll(string(raw), "\r\n", "\n")
		if strings.Contains(text, "\nX-Evil:") || bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\r")) {
			t.Errorf("%s:\n%s", name, raw)
		}
		fields, _ := header.Split(raw)
		for i := range fields {
			if f := &fields[i]; f.Name == "x-evil" || f.Name == "" || f.Name == "bcc" && name != "bcc of a draft" {
				t.Errorf("%s: field %q", name, f.Raw)
			}
		}
	}
	if built < 5 {
		t.Errorf("only %d were built", built)
	}
}
