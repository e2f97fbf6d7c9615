package plugintest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Corpus lists the files of real mail beside the project. Where it is not there
// the test is skipped.
func Corpus(t testing.TB) []string {
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
	var files []string
	err = filepath.WalkDir(mailDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("the corpus is empty")
	}
	return files
}
