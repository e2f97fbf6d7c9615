package bolt_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store/table"
)

// unpackSample gives a data folder of a format of the past, and what it holds.
func unpackSample(t testing.TB, format int) (data string, holds []byte) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(filepath.Join("testdata", fmt.Sprint("format", format), "sample.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			err = writeFrom(path, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	holds, err = os.ReadFile(filepath.Join(dir, "holds.json"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data"), holds
}

// writeFrom writes a file anew. From another file the kernel copies.
func writeFrom(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// copied copies a file over another one.
func copied(t testing.TB, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeFrom(to, f); err != nil {
		t.Fatal(err)
	}
}

// TestSamplesOfEveryFormatAreRead opens each sample and finds in it what the
// build that wrote it found.
func TestSamplesOfEveryFormatAreRead(t *testing.T) {
	for format := 1; format < table.Format || format == 1; format++ {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			data, holds := unpackSample(t, format)
			s := openSample(t, data)
			defer s.Close()
			missing(t, holds, dumpSample(t, s))
		})
	}
}

// missing tells what of a sample's account of itself is not there any more.
// What is read now may say more: records gain fields.
func missing(t *testing.T, then, now []byte) {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal(then, &a), json.Unmarshal(now, &b)); err != nil {
		t.Fatal(err)
	}
	if n := contains(t, "sample", a, b); n < 1000 {
		t.Errorf("only %d values were compared", n)
	}
}

func contains(t *testing.T, path string, then, now any) (compared int) {
	t.Helper()
	switch a := then.(type) {
	case map[string]any:
		b, _ := now.(map[string]any)
		for k, v := range a {
			if _, ok := b[k]; !ok {
				t.Errorf("%s: %q is gone", path, k)
				continue
			}
			compared += contains(t, path+"/"+k, v, b[k])
		}
	case []any:
		b, _ := now.([]any)
		if len(b) != len(a) {
			t.Errorf("%s: %d items, there were %d", path, len(b), len(a))
			return 0
		}
		for i := range a {
			compared += contains(t, fmt.Sprintf("%s/%d", path, i), a[i], b[i])
		}
	default:
		if a != now {
			t.Errorf("%s: %v, was %v", path, now, a)
		}
		return 1
	}
	return compared
}

// TestSampleFillsEveryBucket keeps the samples to come complete.
func TestSampleFillsEveryBucket(t *testing.T) {
	dir := t.TempDir()
	makeSample(t, dir)
	db, err := bbolt.Open(filepath.Join(dir, "data", "postern.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for n, name := range table.BucketNames() {
			if table.Bucket(n).Former() {
				continue
			}
			if k, _ := tx.Bucket([]byte(name)).Cursor().First(); k == nil {
				t.Errorf("bucket %s is empty", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
