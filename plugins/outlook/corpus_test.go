package outlook

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/header"
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
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Error("the corpus is empty")
	}
}
