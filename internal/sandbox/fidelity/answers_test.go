package fidelity

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// A question is a request, the path of the description that it falls under, and
// what the service answers.
type question struct {
	method, template, path string
	body                   any
	status                 int
	code                   string // of an error
	prefer                 string
}

// TestFidelityAnswers asks what mail clients ask, rightly and wrongly, and validates
// every answer.
func TestFidelityAnswers(t *testing.T) {
	w := newWorld(t)
	one := w.deliver("inbox")
	two := w.deliver("inbox")
	meeting := w.call("POST", w.sb.ControlURL()+"/control/users/"+ada+"/messages", "From: boss@contoso.example\r\nTo: "+ada+"\r\nSubject: Meet\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nCome\r\n--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n--b--\r\n").is(201).text("id")
	forwarded := w.call("POST", w.sb.ControlURL()+"/control/users/"+ada+"/messages", "From: a@b.example\r\nTo: "+ada+"\r\nSubject: Fwd\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: in@side\r\nSubject: inner\r\n\r\ninner\r\n--b--\r\n").is(201).text("id")
	draft := w.draft("")
	folder := w.folder("")
	old := w.call("GET", "/me/messages/"+two, nil).is(200).text("id")
	w.call("POST", "/me/messages/"+two+"/move", obj{"destinationId": folder}).is(201)
	const im = `IdType="ImmutableId"`
	const messages, message, attachments = "/me/messages", "/me/messages/{message-id}", "/me/messages/{message-id}/attachments"
	junk := "/me/messages/junk"

	questions := []question{
		{"GET", messages, "/me/messages?$top=2&$count=true&$select=subject,from,internetMessageHeaders", nil, 200, "", im},
		{"GET", messages, "/me/messages?$filter=isRead eq false and receivedDateTime ge 2000-01-01T00:00:00Z", nil, 200, "", ""},
		{"GET", messages, "/me/messages?$orderby=subject desc&$skip=1", nil, 200, "", ""},
		{"GET", messages, "/me/messages?$search=%22Hello%22", nil, 200, "", ""},
		{"GET", messages, "/me/messages?$expand=attachments,singleValueExtendedProperties($filter=id eq 'Integer 0x0E08')", nil, 200, "", `outlook.body-content-type="text"`},
		{"GET", messages, "/me/messages?$filter=isRead eq false&$orderby=subject", nil, 400, "InefficientFilter", ""},
		{"GET", messages, "/me/messages?$search=%22a%22&$orderby=subject", nil, 400, "SearchWithOrderBy", ""},
		{"GET", messages, "/me/messages?$search=%22a%22&$filter=isRead eq true", nil, 400, "SearchWithFilter", ""},
		{"GET", messages, "/me/messages?$filter=contains(body/content,'x')", nil, 400, "ErrorInvalidUrlQueryFilter", ""},
		{"GET", "/users/{user-id}/messages", "/users/" + ada + "/messages", nil, 200, "", ""},
		{"GET", "/users/{user-id}/messages", "/users/nobody@contoso.example/messages", nil, 404, "ErrorInvalidUser", ""},
		{"GET", "/users/{user-id}/messages", "/users/grace@contoso.example/messages", nil, 403, "ErrorAccessDenied", ""},
		{"GET", message, "/me/messages('" + one + "')?$select=uniqueBody,body,internetMessageHeaders,flag", nil, 200, "", im},
		{"GET", message, "/me/messages/" + meeting, nil, 200, "", ""},
		{"GET", message, "/me/messages/" + draft, nil, 200, "", im},
		{"GET", message, junk, nil, 400, "ErrorInvalidIdMalformed", ""},
		{"GET", message, "/me/messages/" + old, nil, 404, "ErrorItemNotFound", ""},
		{"PATCH", message, "/me/messages/" + one, obj{"isRead": true}, 200, "", im},
		{"PATCH", message, "/me/messages/" + one, obj{"flag": obj{"flagStatus": "flagged", "startDateTime": obj{"dateTime": "2026-01-01T00:00:00", "timeZone": "UTC"}, "dueDateTime": obj{"dateTime": "2026-01-02T00:00:00", "timeZone": "UTC"}}, "categories": []string{"Red"}}, 200, "", ""},
		{"PATCH", message, "/me/messages/" + one, obj{"subject": "no draft"}, 400, "ErrorInvalidPropertySet", ""},
		{"PATCH", message, "/me/messages/" + one, obj{"sbject": "x"}, 400, "RequestBodyRead", ""},
		{"POST", messages, "/me/messages", "RnJvbTogYUBiDQpTdWJqZWN0OiBNSU1FDQoNCnRleHQ=", 201, "", ""},
		{"POST", messages, "/me/messages", "%%%", 400, "ErrorMimeContentInvalidBase64String", ""},
		{"POST", messages, "/me/messages", obj{"internetMessageHeaders": []obj{{"name": "Received", "value": "x"}}}, 400, "InvalidInternetMessageHeader", ""},
		{"POST", "/me/sendMail", "/me/sendMail", obj{"message": obj{"subject": "nobody"}}, 400, "ErrorInvalidRecipients", ""},
		{"GET", attachments, "/me/messages/" + forwarded + "/attachments", nil, 200, "", ""},
		{"GET", attachments, "/me/messages/" + forwarded + "/attachments?$expand=microsoft.graph.itemattachment/item", nil, 200, "", im},
		{"GET", "/me/messages/{message-id}/attachments/{attachment-id}/$value", "/me/messages/" + one + "/attachments/" + w.attachment(one) + "/$value", nil, 200, "", ""},
		{"GET", "/me/messages/{message-id}/attachments/{attachment-id}", "/me/messages/" + one + "/attachments/" + w.attachment(draft), nil, 404, "ErrorItemNotFound", ""},
		{"POST", "/me/messages/{message-id}/attachments/createUploadSession", "/me/messages/" + draft + "/attachments/createUploadSession", obj{"AttachmentItem": obj{"attachmentType": "file", "name": "small", "size": 5}}, 400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize", ""},
		{"GET", "/me/mailFolders", "/me/mailFolders?includeHiddenFolders=true&$top=50&$expand=childFolders", nil, 200, "", ""},
		{"GET", "/me/mailFolders/{mailFolder-id}", "/me/mailFolders/syncissues", nil, 404, "ErrorItemNotFound", ""},
		{"DELETE", "/me/mailFolders/{mailFolder-id}", "/me/mailFolders/inbox", nil, 400, "ErrorDeleteDistinguishedFolder", ""},
		{"POST", "/me/mailFolders", "/me/mailFolders", obj{"displayName": "inbox"}, 409, "ErrorFolderExists", ""},
		{"GET", "/me/mailFolders/{mailFolder-id}/messages/delta()", "/me/mailFolders/inbox/messages/delta()?$select=subject", nil, 200, "", im},
		{"GET", "/me/mailFolders/{mailFolder-id}/messages/delta()", "/me/mailFolders/inbox/messages/microsoft.graph.delta()?$deltatoken=junk", nil, 400, "SyncStateInvalid", ""},
		{"GET", "/subscriptions/{subscription-id}", "/subscriptions/7a6b0a2c-0000-4000-8000-000000000000", nil, 404, "ResourceNotFound", ""},
	}
	for _, q := range questions {
		t.Run(fmt.Sprint(q.method, " ", strings.Split(q.path, "?")[0], " ", q.code), func(t *testing.T) {
			var headers []string
			if q.prefer != "" {
				headers = []string{"Prefer", q.prefer}
			}
			r := w.call(q.method, q.path, q.body, headers...)
			if r.status != q.status || r.text("error", "code") != q.code {
				t.Errorf("%d %q, want %d %q: %.300s", r.status, r.text("error", "code"), q.status, q.code, r.body)
			}
			if q.prefer == im && r.header.Get("Preference-Applied") != "IdType=ImmutableId" {
				t.Errorf("Preference-Applied %q", r.header.Get("Preference-Applied"))
			}
			w.spec.check(t, q.template, r)
		})
	}
}

// TestFidelityRounds follows delta through everything that can happen to a message.
func TestFidelityRounds(t *testing.T) {
	w := newWorld(t)
	const template = "/me/mailFolders/{mailFolder-id}/messages/delta()"
	read, moved, purged := w.deliver("inbox"), w.deliver("inbox"), w.deliver("inbox")
	follow := func(link string) (items []any, last string) {
		for {
			r := w.call("GET", link, nil, "Prefer", `IdType="ImmutableId", odata.maxpagesize=2`).is(200)
			w.spec.check(t, template, r)
			page, _ := r.at("value").([]any)
			items = append(items, page...)
			if link = r.text("@odata.nextLink"); link == "" {
				return items, r.text("@odata.deltaLink")
			}
		}
	}
	first, link := follow("/me/mailFolders/inbox/messages/delta")
	if len(first) < 3 {
		t.Errorf("%d items", len(first))
	}
	w.call("PATCH", "/me/messages/"+read, obj{"isRead": true}).is(200)
	w.call("POST", "/me/messages/"+moved+"/move", obj{"destinationId": "archive"}).is(201)
	w.call("POST", "/me/messages/"+purged+"/permanentDelete", nil).is(204)
	fresh := w.deliver("inbox")
	items, _ := follow(link)
	kinds := map[string]string{}
	for _, it := range items {
		m, _ := it.(map[string]any)
		kind := "full"
		if m["@removed"] != nil {
			kind = "removed"
		} else if m["subject"] == nil {
			kind = "partial"
		}
		kinds[fmt.Sprint(m["id"])] = kind
	}
	for id, want := range map[string]string{read: "partial", moved: "removed", purged: "removed", fresh: "full"} {
		if kinds[id] != want {
			t.Errorf("%q, want %s in %v", kinds[id], want, kinds)
		}
	}
	w.call("POST", w.sb.ControlURL()+"/control/users/"+url.PathEscape(ada)+"/forget-cursors", nil)
	gone := w.call("GET", link, nil)
	w.spec.check(t, template, gone)
	if gone.status != 410 || gone.text("error", "code") != "SyncStateNotFound" {
		t.Errorf("a forgotten cursor: %d %s", gone.status, gone.body)
	}
}
