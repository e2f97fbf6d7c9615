package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestMessageProperties(t *testing.T) {
	w := newWorld(t, nil)
	id := w.deliver(cloud.Delivery{
		Raw:      []byte(strings.ReplaceAll("From nobody Tue Oct 27\nFrom: =?utf-8?Q?Gr=C3=A4ce?= <grace@contoso.example>\nSender: Office <office@contoso.example>\nTo: Ada <ada@contoso.example>, b@x.example\nCc: c@x.example\nReply-To: r@x.example\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\nDate: Tue, 27 Oct 2009 10:34:11 +1000\nMessage-ID: <m1@x.example>\nX-Priority: 1\nContent-Type: text/html; charset=utf-8\n\n<p onclick=\"x()\">Hello <b>world</b></p><script>evil()</script>\n", "\n", "\n")),
		Date:     time.Date(2009, 10, 27, 1, 0, 0, 0, time.UTC),
		Keywords: []string{"$flagged", "Blue category"},
	})
	m := w.get("/me/messages/"+id, "Prefer", immutable).is(200)
	want := map[string]any{
		"id": id, "subject": "Grüße", "importance": "high", "isRead": false, "isDraft": false, "hasAttachments": false,
		"receivedDateTime": "2009-10-27T01:00:00Z", "sentDateTime": "2009-10-27T00:34:11Z", "internetMessageId": "<m1@x.example>",
		"bodyPreview": "Hello world", "inferenceClassification": "focused",
		"categories": []any{"Blue category"},
		"flag":       map[string]any{"flagStatus": "flagged"},
		"from":       map[string]any{"emailAddress": map[string]any{"name": "Gräce", "address": grace}},
		"sender":     map[string]any{"emailAddress": map[string]any{"name": "Office", "address": "office@contoso.example"}},
		"replyTo":    []any{map[string]any{"emailAddress": map[string]any{"name": "r@x.example", "address": "r@x.example"}}},
	}
	for k, v := range want {
		if diff := cmp.Diff(v, m.json[k]); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
	if body := m.text("body", "content"); strings.Contains(body, "script") || strings.Contains(body, "onclick") || !strings.HasPrefix(body, "<html><head>") || !strings.Contains(body, "<b>world</b>") {
		t.Errorf("body %q", body)
	}
	if m.header.Get("Preference-Applied") != "IdType=ImmutableId" || m.text("@odata.etag") == "" {
		t.Errorf("headers %v", m.header)
	}
	if strings.Contains(string(m.raw), "ü") {
		t.Error("characters outside ASCII are not escaped")
	}
	unsafe := w.get("/me/messages/"+id+"?$select=body,internetMessageHeaders", "Prefer", "outlook.allow-unsafe-html").is(200)
	if !strings.Contains(unsafe.text("body", "content"), "<script>") || unsafe.at("internetMessageHeaders", 0, "name") != "From" {
		t.Errorf("unsafe: %s", unsafe.raw)
	}
	text := w.get("/me/messages/"+id, "Prefer", `outlook.body-content-type="text"`).is(200)
	if text.text("body", "contentType") != "text" || text.text("body", "content") != "Hello world" {
		t.Errorf("text: %v", text.at("body"))
	}
	w.get("/me/messages/"+id+"?$select=nonsense").refuses(400, "BadRequest")
	raw := w.get("/me/messages/" + id + "/$value").is(200)
	if raw.header.Get("Content-Type") != "text/plain" || !strings.HasPrefix(string(raw.raw), "From: =?utf-8") || strings.Contains(strings.ReplaceAll(string(raw.raw), "\r\n", ""), "\n") {
		t.Errorf("value %q", raw.raw)
	}
	infos, err := w.s.Messages(ada)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw.raw)
	inbox, _ := w.s.FolderByRef(ada, "inbox")
	if diff := cmp.Diff([]cloud.MessageInfo{{ID: id, Mailboxes: []string{inbox}, Keywords: []string{"$flagged", "Blue category"}, Size: int64(len(raw.raw)), SHA256: hex.EncodeToString(sum[:])}}, infos); diff != "" {
		t.Error(diff)
	}
}

func TestIDs(t *testing.T) {
	w := newWorld(t, nil)
	stays := w.deliver(cloud.Delivery{Raw: letter("one", "x")})
	old := w.get("/me/messages/" + stays).is(200).text("id")
	if len(old) != 152 || !strings.HasPrefix(old, "AAMk") || !strings.HasPrefix(stays, "AAkA") {
		t.Errorf("ids %q %q", old, stays)
	}
	moved := w.do("POST", "/me/messages/"+old+"/move", obj{"destinationId": "archive"}).is(201)
	if moved.text("id") == old || !strings.Contains(moved.header.Get("Location"), moved.text("id")) {
		t.Errorf("moved: %s", moved.raw)
	}
	w.get("/me/messages/"+old).refuses(404, "ErrorItemNotFound")
	if got := w.get("/me/messages/"+stays, "Prefer", immutable).is(200).text("id"); got != stays {
		t.Errorf("immutable id became %q", got)
	}
	copied := w.do("POST", "/me/messages/"+stays+"/copy", obj{"destinationId": "inbox"}, "Prefer", immutable).is(201)
	if copied.text("id") == stays {
		t.Error("a copy has the id of the original")
	}
	w.get("/me/mailFolders/inbox/messages/"+stays).refuses(404, "ErrorItemNotFound")

	for i := range len(old) {
		junk := old[:i] + map[bool]string{true: "B", false: "A"}[old[i] == 'A'] + old[i+1:]
		if r := w.s.mailbox(ada); r != nil {
			_, err := r.lookup(junk, w.now)
			if e := asError(err); e.Status != 400 && e.Status != 404 {
				t.Errorf("changed at %d: %v", i, err)
			}
		}
	}
	for _, junk := range []string{"x", old[:100], old + "AAAA", strings.ToLower(old), stays[:60], "AAMkAGI2"} {
		w.get("/me/messages/"+junk).refuses(400, "ErrorInvalidIdMalformed")
	}
	w.user = grace
	w.get("/me/messages/"+stays).refuses(404, "ErrorItemNotFound")
	w.get("/users/"+ada+"/messages/"+stays).refuses(403, "ErrorAccessDenied")
	w.get("/users/nobody@contoso.example/messages").refuses(404, "ErrorInvalidUser")
	w.get("/users/nobody@contoso.example").refuses(404, "Request_ResourceNotFound")
	w.user = ada

	current := moved.text("id")
	for _, form := range idFormats {
		there := w.do("POST", "/me/translateExchangeIds", obj{"inputIds": []string{current}, "sourceIdType": "restId", "targetIdType": form}).is(200).text("value", 0, "targetId")
		back := w.do("POST", "/me/translateExchangeIds", obj{"inputIds": []string{there}, "sourceIdType": form, "targetIdType": "restId"}).is(200).text("value", 0, "targetId")
		if back != current {
			t.Errorf("%s: %q and back %q", form, there, back)
		}
	}
	w.do("POST", "/me/translateExchangeIds", obj{"inputIds": []string{"junk"}, "sourceIdType": "restId", "targetIdType": "ewsId"}).refuses(400, "ErrorInvalidIdMalformed")
}

func TestCreateFromJSON(t *testing.T) {
	w := newWorld(t, nil)
	r := w.do("POST", "/me/messages", obj{"subject": "Hello World", "body": obj{"content": nil}, "toRecipients": to("max@x.example")}).is(201)
	if r.at("isDraft") != true || r.at("isRead") != true || r.at("from") != nil || r.text("internetMessageId") == "" || r.text("body", "contentType") != "text" {
		t.Errorf("draft: %s", r.raw)
	}
	if drafts := w.get("/me/mailFolders/drafts/messages").is(200).list("subject"); !cmp.Equal(drafts, []string{"Hello World"}) {
		t.Errorf("drafts: %v", drafts)
	}
	first := w.get("/me/messages/" + r.text("id") + "/$value").is(200).raw
	if again := w.get("/me/messages/" + r.text("id") + "/$value").raw; string(again) != string(first) || !strings.Contains(string(first), "Subject: Hello World\r\n") || strings.Contains(string(first), "From:") {
		t.Errorf("MIME of a draft: %q", first)
	}
	html := w.do("POST", "/me/mailFolders/archive/messages", obj{
		"subject": "Grüße", "body": obj{"contentType": "HTML", "content": "<p>Hällo <img src=\"cid:c1\"></p>"}, "importance": "high",
		"internetMessageHeaders":        []obj{{"name": "x-app", "value": "yes"}},
		"singleValueExtendedProperties": []obj{{"id": "Integer 0x0E07", "value": "1"}, {"id": "SystemTime 0x0E06", "value": "2020-02-02T02:02:02Z"}, {"id": "String {00020386-0000-0000-C000-000000000046} Name postern-op", "value": "op-1"}},
		"attachments": []obj{
			{"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt", "contentType": "text/plain", "contentBytes": "SGVs"},
			{"@odata.type": "#microsoft.graph.fileAttachment", "name": "p.png", "contentType": "image/png", "isInline": true, "contentId": "c1", "contentBytes": "SGVs"},
		},
	}).is(201)
	if html.at("isDraft") != false || html.text("receivedDateTime") != "2020-02-02T02:02:02Z" || html.at("hasAttachments") != true {
		t.Errorf("not a draft: %s", html.raw)
	}
	c := parseContent(w.get("/me/messages/" + html.text("id") + "/$value").is(200).raw)
	c.load()
	if c.subject != "Grüße" || !c.html || !strings.Contains(c.bodyText(), "Hällo") || len(c.attachments) != 2 || !c.attachments[0].inline || c.headers.Get("X-App") != "yes" {
		t.Errorf("MIME made from JSON does not say the same: %+v", c)
	}
	found := w.get("/me/messages?$filter=singleValueExtendedProperties/Any(ep: ep/id eq 'String {00020386-0000-0000-c000-000000000046} Name postern-op' and ep/value eq 'op-1')&$expand=singleValueExtendedProperties($filter=id eq 'Integer 0x0E07' or id eq 'Integer 0x0E08')").is(200)
	if len(found.values()) != 1 || found.at("value", 0, "singleValueExtendedProperties", 0, "id") != "Integer 0xe07" || found.at("value", 0, "singleValueExtendedProperties", 0, "value") != "17" {
		t.Errorf("by extended property: %s", found.raw)
	}
	for body, code := range map[string]string{
		`{"subject":"x"`: "RequestBodyRead", `{"sbject":"x"}`: "RequestBodyRead", `{"subject":5}`: "RequestBodyRead", `[]`: "RequestBodyRead",
		`{"toRecipients":[{"emailAddress":{"adress":"x"}}]}`:                      "RequestBodyRead",
		`{"internetMessageHeaders":[{"name":"Received","value":"x"}]}`:            "InvalidInternetMessageHeader",
		`{"importance":"urgent"}`:                                                 "RequestBodyRead",
		`{"singleValueExtendedProperties":[{"id":"Integer 0x0E08","value":"1"}]}`: "ErrorItemSavePropertyError",
		`{"singleValueExtendedProperties":[{"id":"Nonsense","value":"1"}]}`:       "BadRequest",
		`{"subject":"a","subject":"b"}`:                                           "RequestBodyRead",
	} {
		w.do("POST", "/me/messages", []byte(body)).refuses(400, code)
	}
	w.do("POST", "/me/messages", []byte("{}"), "Content-Type", "application/xml").refuses(415, "RequestBodyRead")
	w.do("POST", "/me/messages", []byte(`{"subject":"`+strings.Repeat("x", 4<<20)+`"}`)).refuses(413, "BadRequest")
}

func TestCreateFromMIME(t *testing.T) {
	w := newWorld(t, nil)
	raw := letter("by MIME", "body text", "X-Mark: kept\r\n")
	r := w.do("POST", "/me/mailFolders/inbox/messages", b64(raw)).is(201)
	if r.at("isDraft") != true || r.text("subject") != "by MIME" || r.text("internetMessageId") != "<by+MIME@example.org>" {
		t.Errorf("MIME: %s", r.raw)
	}
	if got := w.get("/me/messages/" + r.text("id") + "/$value").raw; string(got) != string(raw) {
		t.Errorf("MIME changed: %q", got)
	}
	w.do("POST", "/me/messages", "%%%").refuses(400, "ErrorMimeContentInvalidBase64String")
}

func TestUpdate(t *testing.T) {
	w := newWorld(t, nil)
	id := w.deliver(cloud.Delivery{Raw: letter("one", "x")})
	before := w.get("/me/messages/" + id).is(200)
	w.advance(time.Minute)
	read := w.do("PATCH", "/me/messages/"+id, obj{"isRead": true}, "If-Match", before.text("@odata.etag")).is(200)
	if read.at("isRead") != true || read.text("lastModifiedDateTime") != before.text("lastModifiedDateTime") || read.text("@odata.etag") == before.text("@odata.etag") {
		t.Errorf("read: %s", read.raw)
	}
	w.do("PATCH", "/me/messages/"+id, obj{"isRead": false}, "If-Match", before.text("@odata.etag")).refuses(412, "ErrorIrresolvableConflict")
	w.do("DELETE", "/me/messages/"+id, nil, "If-Match", `W/"other"`).refuses(412, "ErrorIrresolvableConflict")
	flagged := w.do("PATCH", "/me/messages/"+id, obj{"flag": obj{"flagStatus": "flagged"}, "categories": []string{"Red", "Blue"}, "importance": "low", "inferenceClassification": "other"}).is(200)
	if flagged.text("flag", "flagStatus") != "flagged" || flagged.text("importance") != "low" || flagged.text("lastModifiedDateTime") == before.text("lastModifiedDateTime") {
		t.Errorf("flagged: %s", flagged.raw)
	}
	for _, name := range []string{"subject", "body", "toRecipients", "internetMessageId"} {
		w.do("PATCH", "/me/messages/"+id, obj{name: nil}).refuses(400, "ErrorInvalidPropertySet")
	}
	w.do("PATCH", "/me/messages/"+id, obj{"singleValueExtendedProperties": []obj{{"id": "Integer 0xe07", "value": "1"}}}).refuses(400, "ErrorItemSavePropertyError")
	w.do("PATCH", "/me/messages/"+id, obj{"singleValueExtendedProperties": []obj{{"id": "Integer 0x1081", "value": "102"}}}).is(200)
	infos, _ := w.s.Messages(ada)
	if want := []string{"$seen", "$flagged", "$answered", "Red", "Blue"}; !cmp.Equal(infos[0].Keywords, want) {
		t.Errorf("keywords %v", infos[0].Keywords)
	}
	raw := w.get("/me/messages/" + id + "/$value").raw
	if string(raw) != string(letter("one", "x")) {
		t.Error("flags changed the MIME")
	}

	draft := w.do("POST", "/me/messages", b64(letter("draft", "first"))).is(201).text("id")
	w.do("PATCH", "/me/messages/"+draft, obj{"subject": "second", "body": obj{"contentType": "text", "content": "second"}}).is(200)
	value := string(w.get("/me/messages/" + draft + "/$value").raw)
	if !strings.Contains(value, "Subject: second\r\n") || !strings.Contains(value, "\r\n\r\nsecond") || !strings.Contains(value, grace) {
		t.Errorf("edited draft: %q", value)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t, nil)
	id := w.deliver(cloud.Delivery{Raw: letter("one", "x")})
	w.do("DELETE", "/me/messages/"+id, nil).is(204)
	w.get("/me/mailFolders/deleteditems/messages/" + id).is(200)
	w.do("DELETE", "/me/messages/"+id, nil).is(204)
	if infos, _ := w.s.Messages(ada); len(infos) != 0 {
		t.Errorf("still there: %v", infos)
	}
	w.get("/me/mailFolders/recoverableitemsdeletions/messages/" + id).is(200)
	w.do("DELETE", "/me/messages/"+id, nil).is(204)
	w.get("/me/messages/"+id).refuses(404, "ErrorItemNotFound")
	other := w.deliver(cloud.Delivery{Raw: letter("two", "x")})
	w.do("POST", "/me/messages/"+other+"/permanentDelete", nil).is(204)
	w.get("/me/messages/"+other).refuses(404, "ErrorItemNotFound")
	third := w.deliver(cloud.Delivery{Raw: letter("three", "x")})
	if err := w.s.Delete(ada, third); err != nil {
		t.Error(err)
	}
	if err := w.s.Delete(ada, third); err == nil {
		t.Error("deleted twice")
	}
}

func TestChanges(t *testing.T) {
	w := newWorld(t, nil)
	id := w.deliver(cloud.Delivery{Raw: letter("one", "x"), Notify: true})
	quiet := w.deliver(cloud.Delivery{Raw: letter("two", "x")})
	w.do("PATCH", "/me/messages/"+id, obj{"isRead": true}).is(200)
	w.do("POST", "/me/messages/"+id+"/move", obj{"destinationId": "archive"}).is(201)
	if err := w.s.Delete(ada, quiet); err != nil {
		t.Fatal(err)
	}
	inbox, _ := w.s.FolderByRef(ada, "inbox")
	archive, _ := w.s.FolderByRef(ada, "archive")
	names := map[string]string{inbox: "inbox", archive: "archive", id: "one", quiet: "two"}
	var got []string
	for _, c := range w.changes {
		got = append(got, fmt.Sprint(c.Type, " ", names[c.ImmutableID], " in ", names[c.Folder], map[bool]string{true: " silent"}[c.Silent]))
	}
	want := []string{"created one in inbox", "updated one in inbox", "created two in inbox silent", "updated two in inbox silent",
		"updated one in inbox", "deleted one in inbox", "created one in archive", "deleted two in inbox"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConversations(t *testing.T) {
	w := newWorld(t, nil)
	a := w.deliver(cloud.Delivery{Raw: letter("topic", "x")})
	b := w.deliver(cloud.Delivery{Raw: letter("other words", "x", "References: <topic@example.org>\r\n")})
	c := w.deliver(cloud.Delivery{Raw: letter("RE: Topic", "x")})
	d := w.deliver(cloud.Delivery{Raw: letter("topic", "x")})
	conv := func(id string) string { return w.get("/me/messages/" + id).is(200).text("conversationId") }
	if conv(a) != conv(b) || conv(a) != conv(c) || conv(a) == conv(d) {
		t.Errorf("conversations %q %q %q %q", conv(a), conv(b), conv(c), conv(d))
	}
}
