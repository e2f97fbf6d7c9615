package gmail

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// TestCorpus delivers mail as it is found and gets it back in every format:
// raw byte for byte, full with every attachment.
func TestCorpus(t *testing.T) {
	const dir = "../../../../../shared/corpus/mail"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no corpus of mail: ../shared is absent")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	w := newWorld(t, func(s *Settings, _ *Options) { s.Quota.UserUnits = -1 })
	msgs := w.users(alan).Messages
	raws := map[string]string{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		date, _ := mimetree.SentDate(raw)
		raws[w.deliver(string(raw), func(d *cloud.Delivery) { d.Date = date })] = string(raw)
	}
	if len(raws) != len(names) || len(names) == 0 {
		t.Fatalf("%d ids for %d messages", len(raws), len(names))
	}
	attachments, listed := 0, 0
	if err := msgs.List("me").MaxResults(500).Pages(t.Context(), func(page *api.ListMessagesResponse) error {
		for _, m := range page.Messages {
			listed++
			attachments += w.compare(m.Id, raws[m.Id])
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if listed != len(names) {
		t.Errorf("%d of %d are listed", listed, len(names))
	}
	if attachments == 0 {
		t.Error("no message has an attachment")
	}
}

// compare gets a message and says how many attachments it has.
func (w *world) compare(id, raw string) (attachments int) {
	w.Helper()
	msgs := w.users(alan).Messages
	got := must2(w.T)(msgs.Get("me", id).Format("raw").Do())
	if decode(w.T, got.Raw) != raw {
		w.Errorf("%s: raw is not what was delivered", id)
	}
	if got.SizeEstimate == int64(len(raw)) {
		w.Errorf("%s: the estimate is the size", id)
	}
	full := must2(w.T)(msgs.Get("me", id).Do())
	tree := mimetree.Parse([]byte(raw))
	if n := len(full.Payload.Headers); n != len(tree.Header) {
		w.Errorf("%s: %d headers, want %d", id, n, len(tree.Header))
	}
	var walk func(*api.MessagePart)
	walk = func(p *api.MessagePart) {
		for _, c := range p.Parts {
			walk(c)
		}
		if p.Body.Data != "" {
			if _, err := base64.URLEncoding.DecodeString(p.Body.Data); err != nil || !strings.HasPrefix(p.MimeType, "text/") {
				w.Errorf("%s part %s of %s: %v", id, p.PartId, p.MimeType, err)
			}
		}
		if p.Body.AttachmentId == "" {
			return
		}
		attachments++
		b, err := msgs.Attachments.Get("me", id, p.Body.AttachmentId).Do()
		if must(w.T, b, err); b.Size != p.Body.Size || len(decode(w.T, b.Data)) != int(b.Size) {
			w.Errorf("%s part %s: %d bytes, want %d", id, p.PartId, b.Size, p.Body.Size)
		}
	}
	walk(full.Payload)
	return attachments
}

func BenchmarkSearch(b *testing.B) {
	s := New(Settings{}, Options{})
	if err := s.AddUser(cloud.User{Address: alan}); err != nil {
		b.Fatal(err)
	}
	for range 2000 {
		if _, err := s.Deliver(b.Context(), alan, cloud.Delivery{Raw: []byte(letter("One"))}); err != nil {
			b.Fatal(err)
		}
	}
	mb := s.mailbox(alan)
	for b.Loop() {
		q := parseQuery("from:nobody OR rfc822msgid:<none@else.example> -in:trash")
		look := &looker{mb: mb}
		mb.mu.Lock()
		mb.list(func(m *Message) bool { return q.matches(look, m) })
		mb.mu.Unlock()
	}
}
