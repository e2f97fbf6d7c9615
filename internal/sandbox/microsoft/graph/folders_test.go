package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestFolders(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.FolderNames = map[string]string{"inbox": "Posteingang"} })
	inbox := w.get("/me/mailFolders/inbox").is(200)
	if inbox.text("displayName") != "Posteingang" || inbox.at("isHidden") != false || inbox.at("totalItemCount") != 0.0 {
		t.Errorf("inbox: %s", inbox.raw)
	}
	id := inbox.text("id")
	if len(id) != 120 || !strings.HasPrefix(id, "AAMk") {
		t.Errorf("folder id %q", id)
	}
	for _, spelling := range []string{"/me/mailFolders/" + id, "/me/mailFolders('" + id + "')", "/me/mailFolders//" + id, "/me/mailfolders('INBOX')", "/users/" + ada + "/mailFolders/inbox", "/users('" + ada + "')/mailFolders('inbox')"} {
		if got := w.get(spelling).is(200).text("id"); got != id {
			t.Errorf("%s: id %q", spelling, got)
		}
	}
	if got := w.get("/me/mailFolders/inbox?$select=id").is(200).json; len(got) != 2 {
		t.Errorf("selected: %v", got)
	}

	w.deliver(cloud.Delivery{Raw: letter("unread", "x")})
	w.deliver(cloud.Delivery{Raw: letter("read", "x"), Keywords: []string{"$seen"}})
	inbox = w.get("/me/mailFolders/inbox").is(200)
	if inbox.at("totalItemCount") != 2.0 || inbox.at("unreadItemCount") != 1.0 || inbox.at("sizeInBytes").(float64) < 200 {
		t.Errorf("counts: %s", inbox.raw)
	}

	work := w.do("POST", "/me/mailFolders", obj{"displayName": "Work"}).is(201)
	w.do("POST", "/me/mailFolders", obj{"displayName": "work"}).refuses(409, "ErrorFolderExists")
	w.do("POST", "/me/mailFolders", obj{"displayName": ""}).refuses(400, "ErrorInvalidRequest")
	w.do("POST", "/me/mailFolders", obj{"name": "x"}).refuses(400, "RequestBodyRead")
	year := w.do("POST", "/me/mailFolders/"+work.text("id")+"/childFolders", obj{"displayName": "2026/11"}).is(201)
	if year.text("parentFolderId") != work.text("id") || year.header.Get("Location") == "" {
		t.Errorf("child: %s", year.raw)
	}
	w.get("/me/mailFolders/" + work.text("id") + "/childFolders/" + year.text("id")).is(200)
	w.get("/me/mailFolders/inbox/childFolders/"+year.text("id")).refuses(404, "ErrorItemNotFound")
	if got := w.get("/me/mailFolders/" + work.text("id") + "/childFolders").is(200).list("displayName"); len(got) != 1 || got[0] != "2026/11" {
		t.Errorf("children: %v", got)
	}
	w.do("PATCH", "/me/mailFolders/"+work.text("id"), obj{"displayName": "Office"}).is(200)
	w.do("PATCH", "/me/mailFolders/"+work.text("id"), obj{"displayName": "Archive"}).refuses(409, "ErrorFolderExists")
	w.do("POST", "/me/mailFolders/"+work.text("id")+"/move", obj{"destinationId": year.text("id")}).refuses(400, "ErrorInvalidRequest")
	w.deliver(cloud.Delivery{Mailbox: "Office/2026/11", Raw: letter("inside", "x")})

	copied := w.do("POST", "/me/mailFolders/"+work.text("id")+"/copy", obj{"DestinationId": "inbox"}).is(201)
	if got := w.get("/me/mailFolders/" + copied.text("id") + "/childFolders").is(200).values(); len(got) != 1 || got[0]["totalItemCount"] != 1.0 {
		t.Errorf("copied: %v", got)
	}
	w.do("POST", "/me/mailFolders/"+copied.text("id")+"/permanentDelete", nil).is(204)
	w.get("/me/mailFolders/"+copied.text("id")).refuses(404, "ErrorItemNotFound")

	w.do("DELETE", "/me/mailFolders/"+work.text("id"), nil).is(204)
	trash := w.get("/me/mailFolders/deleteditems").is(200).text("id")
	if got := w.get("/me/mailFolders/" + work.text("id")).is(200).text("parentFolderId"); got != trash {
		t.Errorf("a deleted folder lies under %q", got)
	}
	w.do("DELETE", "/me/mailFolders/"+work.text("id"), nil).is(204)
	w.get("/me/mailFolders/"+year.text("id")).refuses(404, "ErrorItemNotFound")

	w.do("DELETE", "/me/mailFolders/inbox", nil).refuses(400, "ErrorDeleteDistinguishedFolder")
	w.get("/me/mailFolders/clutter").refuses(404, "ErrorItemNotFound")
	w.get("/me/mailFolders/nonsense").refuses(400, "ErrorInvalidIdMalformed")
	w.do("POST", "/me/mailFolders", obj{"displayName": "s", "@odata.type": "microsoft.graph.mailSearchFolder"}).refuses(501, RefusedCode)
}

func TestFolderPages(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 14 {
		w.do("POST", "/me/mailFolders", obj{"displayName": fmt.Sprintf("f%02d", i)}).is(201)
	}
	w.do("POST", "/me/mailFolders", obj{"displayName": "hidden", "isHidden": true}).is(201)
	var names []string
	pages := 0
	for next := "/me/mailFolders"; next != ""; pages++ {
		r := w.get(next).is(200)
		names = append(names, r.list("displayName")...)
		next = r.text("@odata.nextLink")
	}
	if pages != 3 || len(names) != 22 {
		t.Errorf("%d pages, %d folders: %v", pages, len(names), names)
	}
	if got := w.get("/me/mailFolders/$count").is(200); string(got.raw) != "22" {
		t.Errorf("count %s", got.raw)
	}
	if got := w.get("/me/mailFolders?includeHiddenFolders=true&$top=50&$count=true").is(200); got.at("@odata.count") != 23.0 {
		t.Errorf("with hidden: %s", got.raw)
	}
	if got := w.get("/me/mailFolders?$filter=displayName eq 'f03'").is(200).list("displayName"); !cmp.Equal(got, []string{"f03"}) {
		t.Errorf("filtered: %v", got)
	}
	if got := w.get("/me/mailFolders?$orderby=displayName desc&$top=1").is(200).list("displayName"); !cmp.Equal(got, []string{"Sent Items"}) {
		t.Errorf("sorted: %v", got)
	}
	history := w.get("/me/mailFolders/conversationhistory?includeHiddenFolders=true&$expand=childFolders").is(200)
	if history.at("childFolders", 0, "displayName") != "Team Chat" || history.at("childFolderCount") != 1.0 {
		t.Errorf("conversation history: %s", history.raw)
	}
}

func TestFolderDelta(t *testing.T) {
	w := newWorld(t, nil)
	first := w.get("/me/mailFolders/delta", "Prefer", "odata.maxpagesize=3").is(200)
	names := first.list("displayName")
	pages := 1
	for first.text("@odata.nextLink") != "" {
		first = w.get(first.text("@odata.nextLink"), "Prefer", "odata.maxpagesize=3").is(200)
		names = append(names, first.list("displayName")...)
		pages++
	}
	if len(names) != 8 || pages != 3 {
		t.Errorf("%d pages: %v", pages, names)
	}
	link := first.text("@odata.deltaLink")
	if got := w.get(link).is(200).values(); len(got) != 0 {
		t.Errorf("nothing happened, yet %v", got)
	}
	f := w.do("POST", "/me/mailFolders", obj{"displayName": "New"}).is(201).text("id")
	w.deliver(cloud.Delivery{Raw: letter("counted", "x")})
	r := w.get(link).is(200)
	if got := r.list("displayName"); !cmp.Equal(got, []string{"New", "Inbox"}) {
		t.Errorf("changed: %v", got)
	}
	w.do("POST", "/me/mailFolders/"+f+"/permanentDelete", nil).is(204)
	r = w.get(r.text("@odata.deltaLink")).is(200)
	if r.at("value", 0, "@removed", "reason") != "deleted" || r.at("value", 0, "id") != f {
		t.Errorf("removed: %s", r.raw)
	}
	if err := w.s.ForgetCursors(ada); err != nil {
		t.Fatal(err)
	}
	w.get(link).refuses(410, "SyncStateNotFound")
	w.get("/me/mailFolders/delta?$deltatoken=rubbish").refuses(400, "SyncStateInvalid")
}
