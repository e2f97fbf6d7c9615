package fidelity

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
)

// mustServe are the parts of the description in which nothing may be missing.
var mustServe = []string{"mailFolder", "message", "attachment", "subscription"}

// TestFidelityOperations calls every operation of the description on targets made for
// it, and says what became of each.
func TestFidelityOperations(t *testing.T) {
	w := newWorld(t)
	if w.spec == nil {
		t.Skip("../shared is not present")
	}
	served, refused, missing := 0, 0, 0
	reasons := map[string]int{}
	for _, template := range slices.Sorted(maps.Keys(w.spec.doc.Paths.Map())) {
		for method := range w.spec.doc.Paths.Value(template).Operations() {
			r := w.perform(method, template)
			name := fmt.Sprintf("%-6s %s", method, template)
			switch why := refusalOf(r); {
			case r.status < 300:
				served++
				t.Logf("served   %s (%d)", name, r.status)
			case why != "":
				refused++
				reasons[why]++
				t.Logf("refused  %s", name)
			default:
				missing++
				t.Logf("MISSING  %s: %d %.200s", name, r.status, r.body)
				if slices.ContainsFunc(mustServe, func(s string) bool { return strings.Contains(template, s) }) {
					t.Errorf("%s is missing: %d %.300s", name, r.status, r.body)
				}
			}
			w.spec.check(t, template, r)
		}
	}
	t.Logf("%d operations: %d served, %d refused on purpose, %d missing", served+refused+missing, served, refused, missing)
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		t.Logf("%3d refused: %s", reasons[why], why)
	}
	if total := served + refused + missing; total != 307 {
		t.Errorf("%d operations in the description, 307 expected", total)
	}
}

// refusalOf is the reason for which an operation is not served, if it was told.
func refusalOf(r *reply) string {
	if code := r.text("error", "code"); code == graph.RefusedCode {
		return r.text("error", "message")
	}
	if r.status == http.StatusBadRequest && strings.HasPrefix(r.text("error", "message"), "Change tracking is not supported") {
		return "the service has message delta per folder only: " + r.text("error", "message")
	}
	return ""
}

// perform makes targets for one operation and calls it.
func (w *world) perform(method, template string) *reply {
	w.Helper()
	path, message := template, ""
	set := func(name, value string) { path = strings.ReplaceAll(path, "{"+name+"}", value) }
	set("user-id", w.user)
	set("TimeZoneStandard", "Iana")
	inner := ""
	if strings.Contains(path, "{mailFolder-id}") {
		inner = w.folder("")
		set("mailFolder-id", inner)
	}
	if strings.Contains(path, "{mailFolder-id1}") {
		inner = w.folder(inner)
		set("mailFolder-id1", inner)
	}
	last := strings.TrimSuffix(template[strings.LastIndexByte(template, '/')+1:], "()")
	if strings.Contains(path, "{message-id}") {
		if last == "reply" || last == "replyAll" || last == "forward" || strings.HasPrefix(last, "createReply") || last == "createForward" {
			where := inner
			if where == "" {
				where = "inbox"
			}
			message = w.deliver(where)
		} else {
			message = w.draft(inner)
		}
		set("message-id", message)
	}
	if strings.Contains(path, "{attachment-id}") {
		set("attachment-id", w.attachment(message))
	}
	if strings.Contains(path, "{outlookCategory-id}") {
		set("outlookCategory-id", w.call("POST", "/me/outlook/masterCategories", obj{"displayName": w.unique("category")}).is(201).text("id"))
	}
	if strings.Contains(path, "{subscription-id}") {
		r := w.call("POST", "/subscriptions", w.subscription("created", "me/mailFolders('"+w.folder("")+"')/messages")).is(201)
		set("subscription-id", r.text("id"))
	}
	set("messageRule-id", "AQAAAJ5dZqA=")
	set("extension-id", "Com.Contoso.Referral")
	return w.call(method, path, w.bodyFor(method, last, template))
}

func (w *world) subscription(kinds, resource string) obj {
	return obj{"changeType": kinds, "resource": resource, "notificationUrl": w.hook + "/n", "clientState": "x",
		"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}
}

// bodyFor is a body that the operation accepts.
func (w *world) bodyFor(method, last, template string) any {
	recipients := []obj{{"emailAddress": obj{"address": ada}}}
	if method == http.MethodPost {
		switch last {
		case "mailFolders", "childFolders":
			return obj{"displayName": w.unique("made")}
		case "messages":
			return obj{"subject": w.unique("made")}
		case "move", "copy":
			return obj{"destinationId": "archive"}
		case "attachments":
			return obj{"@odata.type": "#microsoft.graph.fileAttachment", "name": "b.txt", "contentBytes": "eA=="}
		case "createUploadSession":
			return obj{"AttachmentItem": obj{"attachmentType": "file", "name": "big", "size": 4 << 20}}
		case "sendMail":
			return obj{"message": obj{"subject": "sent", "toRecipients": recipients}}
		case "reply", "replyAll", "createReply", "createReplyAll":
			return obj{"comment": "thanks"}
		case "forward", "createForward":
			return obj{"comment": "see below", "toRecipients": recipients}
		case "translateExchangeIds":
			return obj{"inputIds": []string{w.draft("")}, "sourceIdType": "restImmutableEntryId", "targetIdType": "restId"}
		case "masterCategories":
			return obj{"displayName": w.unique("category"), "color": "preset1"}
		case "subscriptions":
			return w.subscription("updated", "me/messages")
		case "$batch":
			return obj{"requests": []obj{{"id": "1", "method": "GET", "url": "/me"}, {"id": "2", "method": "GET", "url": "/me/messages/junk"}}}
		case "messageRules":
			return obj{"displayName": "rule", "sequence": 1, "isEnabled": true}
		case "extensions":
			return obj{"@odata.type": "microsoft.graph.openTypeExtension", "extensionName": "x"}
		}
		return nil
	}
	if method == http.MethodPut {
		return "eA=="
	}
	if method != http.MethodPatch {
		return nil
	}
	switch {
	case strings.HasSuffix(template, "{message-id}"):
		return obj{"isRead": false, "subject": "changed"}
	case strings.Contains(last, "mailFolder-id"):
		return obj{"displayName": w.unique("renamed")}
	case last == "mailboxSettings":
		return obj{"timeZone": "UTC"}
	case last == "{outlookCategory-id}":
		return obj{"color": "preset2"}
	case last == "{subscription-id}":
		return obj{"expirationDateTime": time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)}
	}
	return obj{}
}
