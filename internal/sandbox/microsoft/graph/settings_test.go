package graph

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

func TestQuota(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.MailboxBytes = 5000 })
	id := w.deliver(cloud.Delivery{Raw: letter("fits", strings.Repeat("x", 3000))})
	if _, err := w.s.Deliver(t.Context(), ada, cloud.Delivery{Raw: letter("no", strings.Repeat("x", 3000))}); err == nil {
		t.Error("delivered over the quota")
	}
	w.do("POST", "/me/messages/"+id+"/copy", obj{"destinationId": "archive"}).refuses(507, "ErrorQuotaExceeded")
	w.do("POST", "/me/messages", b64(letter("no", strings.Repeat("x", 3000)))).refuses(507, "ErrorQuotaExceeded")
	w.do("POST", "/me/messages/"+id+"/permanentDelete", nil).is(204)
	w.do("POST", "/me/messages", b64(letter("yes", strings.Repeat("x", 3000)))).is(201)
}

func TestDisputedCodes(t *testing.T) {
	w := newWorld(t, func(s *Settings) {
		s.Codes = map[string]string{"RequestBodyRead": "UnableToDeserializePostBody"}
		s.Statuses = map[string]int{"ErrorMessageSizeExceeded": 400}
		s.GoneFolderCode = "ErrorFolderNotFound"
		s.OversizeStatus = 400
		s.MaxRequestBytes = 2000
		s.MaxMessageBytes = 100
		s.InnerErrorName = "innererror"
		s.RemovedReason = "changed"
		s.Archive = false
	})
	if r := w.do("POST", "/me/messages", []byte("{")); r.at("error", "code") != "UnableToDeserializePostBody" || r.at("error", "innererror", "request-id") == nil {
		t.Errorf("%s", r.raw)
	}
	if r := w.do("POST", "/me/sendMail", obj{"message": obj{"toRecipients": to("a@b")}}); r.status != 400 || r.at("error", "code") != "ErrorMessageSizeExceeded" {
		t.Errorf("%d %s", r.status, r.raw)
	}
	if r := w.do("POST", "/me/messages", obj{"subject": strings.Repeat("x", 3000)}); r.status != 400 || r.at("error", "message") != "The maximum request length supported is 4MB." {
		t.Errorf("%d %s", r.status, r.raw)
	}
	f := w.do("POST", "/me/mailFolders", obj{"displayName": "f"}).is(201).text("id")
	w.do("POST", "/me/mailFolders/"+f+"/permanentDelete", nil).is(204)
	if r := w.get("/me/mailFolders/" + f); r.at("error", "code") != "ErrorFolderNotFound" {
		t.Errorf("%s", r.raw)
	}
	if r := w.get("/me/mailFolders/archive"); r.status != 404 {
		t.Errorf("archive: %d", r.status)
	}
	id := w.deliver(cloud.Delivery{Raw: letter("x", "x")})
	_, link, _ := w.round("/me/mailFolders/inbox/messages/delta")
	w.do("DELETE", "/me/messages/"+id, nil).is(204)
	if got, _, _ := w.round(link); len(got) != 1 || dig(got[0], "@removed", "reason") != "changed" {
		t.Errorf("%v", got)
	}
}

func TestDisputedSending(t *testing.T) {
	w := newWorld(t, func(s *Settings) {
		s.KeepMessageID = false
		s.SilentMIMEBytes = 1000
		s.OutboxTransit = false
		s.HeadersOnSent = true
		s.NewMailUpdates = false
		s.NormalisePropertyIDs = false
	})
	raw := "To: b@x.example\r\nSubject: mine\r\nMessage-ID: <mine@x>\r\n\r\n"
	w.do("POST", "/me/sendMail", b64([]byte(raw+"short\r\n"))).is(202)
	if strings.Contains(string(w.sent[0].raw), "<mine@x>") || strings.Count(string(w.sent[0].raw), "Message-ID:") != 1 {
		t.Errorf("on the wire: %q", w.sent[0].raw)
	}
	w.do("POST", "/me/sendMail", b64([]byte(raw+strings.Repeat("long\r\n", 1000)))).is(202)
	if len(w.sent) != 1 {
		t.Error("large MIME was sent")
	}
	sent := w.get("/me/mailFolders/sentitems/messages?$select=internetMessageHeaders&$expand=singleValueExtendedProperties($filter=id eq 'Integer 0x0E08')").is(200)
	if len(sent.values()) != 2 || sent.at("value", 0, "internetMessageHeaders", 0) == nil || sent.at("value", 0, "singleValueExtendedProperties", 0, "id") != "Integer 0x0E08" {
		t.Errorf("sent: %s", sent.raw)
	}
	var kinds []string
	for _, c := range w.changes {
		kinds = append(kinds, c.Type)
	}
	if want := []string{"created", "created"}; !cmp.Equal(kinds, want) {
		t.Errorf("changes %v", kinds)
	}
}

func TestPlainDelta(t *testing.T) {
	w := newWorld(t, func(s *Settings) {
		s.DeltaPartialReads, s.DeltaReplays, s.DeltaMovesTwice, s.DeltaEmptyPages = false, false, false, false
		s.DeletedFolderMoves = false
	})
	var last string
	for range 7 {
		last = w.deliver(cloud.Delivery{Raw: letter("m", "x")})
	}
	items, link, pages := w.round("/me/mailFolders/inbox/messages/delta?$top=3")
	if len(items) != 7 || pages != 3 {
		t.Errorf("%d items in %d pages", len(items), pages)
	}
	w.do("PATCH", "/me/messages/"+last, obj{"isRead": true}).is(200)
	if got, _, _ := w.round(link); len(got) != 1 || got[0]["subject"] != "m" {
		t.Errorf("%v", got)
	}
	f := w.do("POST", "/me/mailFolders", obj{"displayName": "f"}).is(201).text("id")
	w.do("DELETE", "/me/mailFolders/"+f, nil).is(204)
	w.get("/me/mailFolders/"+f).refuses(404, "ErrorItemNotFound")
}

// Whatever is cut off of a body, the message is one with the same header.
func TestTruncatedMail(t *testing.T) {
	for _, raw := range uglyMail() {
		raw = mimetree.Normalise(raw)
		whole := parseContent(raw)
		head := bytes.Index(raw, []byte("\r\n\r\n")) + 2
		for n := range raw {
			c := parseContent(raw[:n])
			c.load()
			for _, a := range c.attachments {
				if len(a.bytes()) > n {
					t.Errorf("an attachment of %d bytes in a message of %d", len(a.bytes()), n)
				}
			}
			if n >= head && (c.subject != whole.subject || !c.sent.Equal(whole.sent)) {
				t.Errorf("cut at %d: subject %q, sent %v", n, c.subject, c.sent)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, raw := range uglyMail() {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		norm := mimetree.Normalise(raw)
		if again := mimetree.Normalise(norm); len(again) != len(norm) && !strings.HasPrefix(string(norm), "From ") && !strings.HasPrefix(string(norm), ">From ") {
			t.Error("normalising twice differs")
		}
		c := parseContent(norm)
		c.load()
		_ = sanitizeHTML(c.bodyText())
		for _, a := range c.attachments {
			_ = a.bytes()
		}
	})
}

func TestSanitize(t *testing.T) {
	for in, want := range map[string]string{
		`<p onclick="x">a</p>`:                                     `<p>a</p>`,
		`<script>x<script>y</script>z</script>b`:                   `zb`,
		`<a href=" JavaScript:x">c</a>`:                            `<a>c</a>`,
		`<iframe src=x>d</iframe>e`:                                `e`,
		`<html><head><style>s</style></head><body>f</body></html>`: `f`,
		`g &amp; <b>h`:                                             `g &amp; <b>h`,
	} {
		got := sanitizeHTML(in)
		if !strings.HasPrefix(got, "<html><head>\r\n<meta ") || !strings.Contains(got, "<body>"+want+"</body>") {
			t.Errorf("%s became %s", in, got)
		}
		if strings.Contains(strings.ToLower(got), "javascript:") || strings.Contains(got, "onclick") {
			t.Errorf("%s is not safe", got)
		}
	}
}
