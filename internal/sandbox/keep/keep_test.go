package keep_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/keep"
)

// TestKeep: what was saved is loaded; what is not there is no error; what is
// no JSON, or nowhere, is one.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	type doc struct{ Names []string }
	want := doc{[]string{"a", "b"}}
	var got doc
	if found, err := keep.Load(dir, "doc.json", &got); found || err != nil {
		t.Errorf("nothing there: %v %v", found, err)
	}
	for range 2 { // the second time over the first
		if err := keep.Save(dir, "doc.json", want); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := keep.Load(dir, "doc.json", &got); !found || err != nil || !cmp.Equal(want, got) {
		t.Errorf("loaded %v %v %+v", found, err, got)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Load(dir, "bad.json", &got); err == nil {
		t.Error("half a file was loaded")
	}
	if err := keep.Save(filepath.Join(dir, "nowhere"), "doc.json", want); err == nil {
		t.Error("saved into no folder")
	}
	if err := keep.Save(dir, "doc.json", func() {}); err == nil {
		t.Error("saved what is no JSON")
	}
	if found, err := keep.Load(dir, "doc.json", &got); !found || err != nil || !cmp.Equal(want, got) {
		t.Errorf("a failed save spoiled the file: %v %v %+v", found, err, got)
	}
}
