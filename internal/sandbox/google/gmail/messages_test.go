package gmail

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestProfile(t *testing.T) {
	w := newWorld(t)
	w.deliver(letter("One"))
	w.deliver("In-Reply-To: <one@else.example>\r\n" + letter("Re: One"))
	p, err := w.users(alan).GetProfile("me").Do()
	must(t, p, err)
	if p.EmailAddress != alan || p.MessagesTotal != 2 || p.ThreadsTotal != 1 || p.HistoryId == 0 {
		t.Errorf("%+v", p)
	}
	_, err = w.users(alan).GetProfile(bea).Do()
	refused(t, err, 403, "forbidden", "Delegation denied for "+alan)
	_, err = w.users("nobody@gmail.example").GetProfile("me").Do()
	refused(t, err, 400, "failedPrecondition", "Mail service not enabled")
	_, err = w.users("nonsense").GetProfile("me").Do()
	if e := refused(t, err, 401, "authError", "Request had invalid authentication credentials."); !strings.Contains(e.Body, `"Invalid Credentials"`) {
		t.Errorf("body %s", e.Body)
	}
	_, err = w.users(alan, scopeInsert).GetProfile("me").Do()
	e := refused(t, err, 403, "insufficientPermissions", "Request had insufficient authentication scopes.")
	if !strings.Contains(e.Body, "caribou.api.proto.MailboxService.GetProfile") || !strings.Contains(e.Header.Get("WWW-Authenticate"), "insufficient_scope") {
		t.Errorf("%s\n%v", e.Body, e.Header)
	}
}

func TestListing(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for i := range 7 {
		w.pass(time.Minute)
		ids = append(ids, w.deliver(letter(fmt.Sprint("Number ", i))))
	}
	slices.Reverse(ids)
	msgs := w.users(alan).Messages
	page, err := msgs.List("me").MaxResults(3).Do()
	must(t, page, err)
	if page.NextPageToken == "" || page.ResultSizeEstimate == 7 {
		t.Errorf("%+v: an estimate is none when it is right", page)
	}
	var got []string
	for _, m := range page.Messages {
		got = append(got, m.Id)
		if m.ThreadId != m.Id || m.Snippet != "" || len(m.LabelIds) > 0 {
			t.Errorf("a list shows more than ids: %+v", m)
		}
	}
	// Between two pages one message comes and the last one seen goes.
	w.pass(time.Minute)
	w.deliver(letter("Late"))
	if err := msgs.Delete("me", got[2]).Do(); err != nil {
		t.Fatal(err)
	}
	for token := page.NextPageToken; token != ""; {
		page, err = msgs.List("me").MaxResults(3).PageToken(token).Do()
		must(t, page, err)
		for _, m := range page.Messages {
			got = append(got, m.Id)
		}
		token = page.NextPageToken
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Error(diff)
	}
	for _, token := range []string{"0", "00000000000000000000", "zz", pageToken("threads", "5.6")} {
		_, err = msgs.List("me").PageToken(token).Do()
		refused(t, err, 400, "invalidArgument", "Invalid pageToken")
	}
	_, err = msgs.List("me").LabelIds("Label_99").Do()
	refused(t, err, 400, "invalidArgument", "Invalid label: Label_99")
}

func TestSpamAndTrashAreHidden(t *testing.T) {
	w := newWorld(t)
	in := w.deliver(letter("In"))
	spam := w.deliver(letter("Spam"), func(d *cloud.Delivery) { d.Mailbox = "spam" })
	trash := w.deliver(letter("Trash"), func(d *cloud.Delivery) { d.Mailbox = "TRASH" })
	msgs := w.users(alan).Messages
	for _, c := range []struct {
		what string
		call *api.UsersMessagesListCall
		want []string
	}{
		{"all", msgs.List("me"), []string{in}},
		{"included", msgs.List("me").IncludeSpamTrash(true), []string{trash, spam, in}},
		{"by label", msgs.List("me").LabelIds("SPAM"), []string{spam}},
		{"trash by label", msgs.List("me").LabelIds("TRASH"), []string{trash}},
		{"labels are and", msgs.List("me").LabelIds("SPAM", "INBOX"), nil},
		{"in:trash", msgs.List("me").Q("in:trash"), []string{trash}},
		{"in:anywhere", msgs.List("me").Q("in:anywhere text"), []string{trash, spam, in}},
		{"unread inbox", msgs.List("me").LabelIds("UNREAD", "INBOX"), []string{in}},
	} {
		list, err := c.call.Do()
		must(t, list, err)
		var got []string
		for _, m := range list.Messages {
			got = append(got, m.Id)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.what, diff)
		}
	}
}

const mixed = "From: Carl <carl@else.example>\r\nTo: alan@gmail.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= & \"more\"\r\nMessage-ID: <m@else.example>\r\n" +
	"Received: from a\r\n\tby b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n" +
	"--c\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe \"b\"\r\n" +
	"--c\r\nContent-Type: text/html\r\n\r\n<p>Hallo\r\n--c--\r\n" +
	"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n" +
	"--b\r\nContent-Type: text/plain; name=n.txt\r\nContent-Disposition: attachment; filename=n.txt\r\n\r\nnotes\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Inner\r\nContent-Type: image/png; name=i.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBO\r\n--b--\r\n"

func TestFormats(t *testing.T) {
	w := newWorld(t)
	date := time.Date(2026, 2, 1, 3, 4, 5, 678_900_000, time.UTC)
	id := w.deliver(mixed, func(d *cloud.Delivery) { d.Date = date })
	msgs := w.users(alan).Messages

	minimal, err := msgs.Get("me", id).Format("minimal").Do()
	must(t, minimal, err)
	if minimal.Payload != nil || minimal.Raw != "" || minimal.HistoryId == 0 || minimal.ThreadId != id || minimal.InternalDate != date.UnixMilli() ||
		minimal.Snippet != "Grüße &quot;b&quot;" || minimal.SizeEstimate == int64(len(mixed)) {
		t.Errorf("minimal: %+v", minimal)
	}
	if diff := cmp.Diff([]string{"CATEGORY_PERSONAL", "IMPORTANT", "INBOX", "UNREAD"}, minimal.LabelIds); diff != "" {
		t.Error(diff)
	}
	raw, err := msgs.Get("me", id).Format("RAW").Do()
	must(t, raw, err)
	if decode(t, raw.Raw) != mixed || raw.Payload != nil {
		t.Errorf("raw is not what was stored")
	}
	meta, err := msgs.Get("me", id).Format("metadata").MetadataHeaders("subject", "RECEIVED").Do()
	must(t, meta, err)
	want := []*api.MessagePartHeader{{Name: "Subject", Value: "Grüße & \"more\""}, {Name: "Received", Value: "from a by b"}}
	if diff := cmp.Diff(want, meta.Payload.Headers); diff != "" || meta.Payload.Body != nil || len(meta.Payload.Parts) > 0 {
		t.Errorf("metadata: %s\n%+v", diff, meta.Payload)
	}
	full, err := msgs.Get("me", id).Do()
	must(t, full, err)
	var tree []string
	var walk func(*api.MessagePart)
	walk = func(p *api.MessagePart) {
		kind := "-"
		switch {
		case p.Body.AttachmentId != "":
			kind = "attachment"
			if len(p.Body.AttachmentId) < 200 {
				t.Errorf("attachment id %q is short", p.Body.AttachmentId)
			}
		case p.Body.Data != "":
			kind = decode(t, p.Body.Data)
		}
		tree = append(tree, fmt.Sprintf("%s %s %q %d %s", p.PartId, p.MimeType, p.Filename, p.Body.Size, kind))
		for _, c := range p.Parts {
			walk(c)
		}
	}
	walk(full.Payload)
	wantTree := []string{
		` multipart/mixed "" 0 -`, `0 multipart/alternative "" 0 -`, `0.0 text/plain "" 9 Grüße "b"`, `0.1 text/html "" 8 <p>Hallo`,
		`1 application/pdf "a.pdf" 5 attachment`, `2 text/plain "n.txt" 5 attachment`,
		`3 message/rfc822 "" 94 attachment`, `3.0 image/png "i.png" 3 attachment`,
	}
	if diff := cmp.Diff(wantTree, tree); diff != "" {
		t.Error(diff)
	}
}

func TestAttachments(t *testing.T) {
	w := newWorld(t)
	id := w.deliver(mixed)
	other := w.deliver(letter("Other"))
	msgs := w.users(alan).Messages
	first := must2(t)(msgs.Get("me", id).Do())
	second := must2(t)(msgs.Get("me", id).Do())
	old, fresh := first.Payload.Parts[1].Body.AttachmentId, second.Payload.Parts[1].Body.AttachmentId
	if old == fresh {
		t.Error("the attachment's id is the same in two gets")
	}
	for _, a := range []string{old, fresh} {
		b, err := msgs.Attachments.Get("me", id, a).Do()
		must(t, b, err)
		if decode(t, b.Data) != "%PDF-" || b.Size != 5 || b.AttachmentId != "" {
			t.Errorf("%+v", b)
		}
	}
	inner, err := msgs.Attachments.Get("me", id, first.Payload.Parts[3].Parts[0].Body.AttachmentId).Do()
	must(t, inner, err)
	if decode(t, inner.Data) != "\x89PN" {
		t.Errorf("%q", decode(t, inner.Data))
	}
	_, err = msgs.Attachments.Get("me", other, old).Do()
	refused(t, err, 400, "invalidArgument", "Invalid attachment token")
	_, err = msgs.Attachments.Get("me", id, "ANGjdJnonsense").Do()
	refused(t, err, 400, "invalidArgument", "Invalid attachment token")
	_, err = msgs.Attachments.Get("me", "0123456789abcdef", old).Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	_, err = w.users(alan, scopeMetadata).Messages.Attachments.Get("me", id, old).Do()
	refused(t, err, 403, "insufficientPermissions", "Request had insufficient authentication scopes.")
}

func must2(t *testing.T) func(*api.Message, error) *api.Message {
	return func(m *api.Message, err error) *api.Message {
		t.Helper()
		return must(t, m, err)
	}
}

func TestMetadataScope(t *testing.T) {
	w := newWorld(t)
	id := w.deliver(letter("One"))
	u := w.users(alan, scopeMetadata)
	_, err := u.Messages.Get("me", id).Do()
	refused(t, err, 403, "forbidden", "Metadata scope doesn't allow format FULL")
	_, err = u.Messages.Get("me", id).Format("raw").Do()
	refused(t, err, 403, "forbidden", "Metadata scope doesn't allow format RAW")
	_, err = u.Threads.Get("me", id).Do()
	refused(t, err, 403, "forbidden", "Metadata scope doesn't allow format FULL")
	_, err = u.Messages.List("me").Q("one").Do()
	refused(t, err, 403, "forbidden", "Metadata scope does not support 'q' parameter")
	m, err := u.Messages.Get("me", id).Format("metadata").Do()
	if must(t, m, err); len(m.Payload.Headers) != 4 {
		t.Errorf("%+v", m.Payload)
	}
	both := w.users(alan, scopeMetadata, scopeReadonly)
	if _, err := both.Messages.Get("me", id).Do(); err != nil {
		t.Error(err)
	}
}

func TestGetRefusals(t *testing.T) {
	w := newWorld(t)
	msgs := w.users(alan).Messages
	_, err := msgs.Get("me", "0123456789abcdef").Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	for _, id := range []string{"xyz", "0123456789ABCDEF", "0123456789abcdef0"} {
		_, err = msgs.Get("me", id).Do()
		refused(t, err, 400, "invalidArgument", "Invalid id value")
	}
	_, err = msgs.Get("me", "0123456789abcdef").Format("pretty").Do()
	refused(t, err, 400, "badRequest", "Invalid value at 'format'")
}

func TestTheFrontEndRefuses(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{"GET", "/gmail/v1/users/me/messages?maxResults=many", "", 400, "Invalid value at 'max_results' (TYPE_UINT32), \\\"many\\\""},
		{"GET", "/gmail/v1/users/me/messages?nonsense=1", "", 400, "Unknown name \\\"nonsense\\\": Cannot bind query parameter."},
		{"GET", "/gmail/v1/users/me/messages?q=a&q=b", "", 400, "Invalid value at 'q'"},
		{"GET", "/gmail/v1/users/me/nonsense", "", 404, "<!DOCTYPE html>"},
		{"PATCH", "/gmail/v1/users/me/messages", "", 404, "<!DOCTYPE html>"},
		{"GET", "/gmail/v1/users/me/history?startHistoryId=-1", "", 400, "Invalid value at 'start_history_id' (TYPE_UINT64)"},
		{"POST", "/gmail/v1/users/me/labels", `{"nam":"x"}`, 400, "Unknown name \\\"nam\\\": Cannot find field."},
		{"POST", "/gmail/v1/users/me/messages/0123456789abcdef/modify", `{"addLabelIds":`, 400, "Invalid JSON payload received."},
		{"POST", "/gmail/v1/users/me/messages/0123456789abcdef/modify", `{"addLabelIds":"INBOX"}`, 400, "Invalid value at 'add_label_ids'"},
		{"GET", "/gmail/v1/users/me/messages?max_results=1&$.xgafv=2", "", 200, "resultSizeEstimate"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, w.http.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := bearer(alan + " " + scopeFull).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != c.status || !strings.Contains(string(b), c.contains) {
			t.Errorf("%s %s: %d %s", c.method, c.path, res.StatusCode, b)
		}
	}
}

func TestBrokenMessagesAreServedAsTheyAre(t *testing.T) {
	w := newWorld(t)
	for _, raw := range []string{"", "\x00\xff\xfe no header at all", "Subject: \xe4\xf6\r\n\r\n\xff", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n"} {
		id := w.deliver(raw)
		m, err := w.users(alan).Messages.Get("me", id).Format("raw").Do()
		if must(t, m, err); decode(t, m.Raw) != raw {
			t.Errorf("%q came back as %q", raw, decode(t, m.Raw))
		}
		if _, err := w.users(alan).Messages.Get("me", id).Do(); err != nil {
			t.Error(err)
		}
	}
}

func TestPaddingOfRaw(t *testing.T) {
	w := newWorld(t)
	m, err := w.users(alan).Messages.Get("me", w.deliver("ab")).Format("raw").Do()
	if must(t, m, err); m.Raw != base64.URLEncoding.EncodeToString([]byte("ab")) {
		t.Errorf("raw %q", m.Raw)
	}
}
