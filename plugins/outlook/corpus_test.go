package outlook

import (
	"bytes"
	"os"
	"testing"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/plugins/sdk/header"
)

// TestRealMail takes real messages apart: none is lost on the way.
func TestRealMail(t *testing.T) {
	for _, path := range plugintest.Corpus(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fields, body := header.Split(raw)
		var whole bytes.Buffer
		for _, f := range fields {
			whole.Write(f.Raw)
		}
		whole.Write(body)
		if !bytes.Equal(whole.Bytes(), raw) {
			t.Errorf("%s: header and body are not the message", path)
		}
		c := parseContent(raw)
		if c.body == "" && len(c.attachments) == 0 && len(bytes.TrimSpace(body)) > 0 {
			t.Errorf("%s: nothing was found in %d bytes", path, len(body))
		}
		out := header.ForEnvelope(raw, []string{"somebody@contoso.example"})
		again, rest := header.Split(out)
		for _, f := range again {
			if f.Name == "bcc" && f.Value() != "<somebody@contoso.example>" {
				t.Errorf("%s: Bcc %q", path, f.Value())
			}
			if f.Name == "to" || f.Name == "cc" {
				if list, _ := header.ParseAddresses(f.Value()); len(list) > 0 {
					t.Errorf("%s: %s still says %v", path, f.Name, list)
				}
			}
		}
		if body != nil && !bytes.Equal(rest, body) {
			t.Errorf("%s: the body was changed", path)
		}
	}
}
