package outlook

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// corpus finds real mail beside the project, if it is there.
func corpus(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	mailDir := filepath.Join(dir, "..", "shared", "corpus", "mail")
	if _, err := os.Stat(mailDir); err != nil {
		t.Skip("../shared is not present")
	}
	return mailDir
}

// TestRealMail takes real messages apart: none is lost on the way.
func TestRealMail(t *testing.T) {
	n := 0
	err := filepath.WalkDir(corpus(t), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		fields, body := splitHeader(raw)
		var whole bytes.Buffer
		for _, f := range fields {
			whole.Write(f.raw)
		}
		whole.Write(body)
		if !bytes.Equal(whole.Bytes(), raw) {
			t.Errorf("%s: header and body are not the message", path)
		}
		c := parseContent(raw)
		if c.body == "" && len(c.attachments) == 0 && len(bytes.TrimSpace(body)) > 0 {
			t.Errorf("%s: nothing was found in %d bytes", path, len(body))
		}
		out := forEnvelope(raw, provider.Envelope{Recipients: []string{"somebody@contoso.example"}})
		again, rest := splitHeader(out)
		for _, f := range again {
			if f.name == "bcc" && f.value() != "<somebody@contoso.example>" {
				t.Errorf("%s: Bcc %q", path, f.value())
			}
			if f.name == "to" || f.name == "cc" {
				if list, _ := parseAddresses(f.value()); len(list) > 0 {
					t.Errorf("%s: %s still says %v", path, f.name, list)
				}
			}
		}
		if body != nil && !bytes.Equal(rest, body) {
			t.Errorf("%s: the body was changed", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Error("the corpus is empty")
	}
}
