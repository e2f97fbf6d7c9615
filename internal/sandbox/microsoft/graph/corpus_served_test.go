package graph

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// Every message of the corpus is delivered, listed, opened and served as the
// bytes that it came with.
func TestCorpusServed(t *testing.T) {
	dir := sharedDir(t, "corpus/mail")
	names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	want := map[string][]byte{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		date, _ := mimetree.SentDate(raw)
		want[w.deliver(cloud.Delivery{Raw: raw, Date: date})] = mimetree.Normalise(raw)
	}
	listed := 0
	for link := "/me/messages?$top=200&$expand=attachments($select=name,size)"; link != ""; {
		r := w.get(link, "Prefer", immutable).is(200)
		for _, m := range r.values() {
			listed++
			id := m["id"].(string)
			raw := w.get("/me/messages/" + id + "/$value").is(200).raw
			if !bytes.Equal(raw, want[id]) {
				t.Errorf("%v: other bytes are served", m["subject"])
			}
			if dig(m, "body", "contentType") == nil || m["sentDateTime"] == nil || m["receivedDateTime"] == nil {
				t.Errorf("%v: incomplete: %v", m["subject"], m)
			}
		}
		link = r.text("@odata.nextLink")
	}
	if listed != len(names) || listed < 1500 {
		t.Errorf("%d of %d messages are listed", listed, len(names))
	}
	infos, err := w.s.Messages(ada)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		sum := sha256.Sum256(want[info.ID])
		if info.SHA256 != hex.EncodeToString(sum[:]) || info.Size != int64(len(want[info.ID])) {
			t.Errorf("%s: digest or size differ from what is served", info.ID)
		}
	}
}
