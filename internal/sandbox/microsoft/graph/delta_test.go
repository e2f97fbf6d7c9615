package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// round follows next links to the delta link and gives all items.
func (w *world) round(link string, headers ...string) (items []map[string]any, deltaLink string, pages int) {
	w.Helper()
	for {
		r := w.get(link, headers...).is(200)
		items = append(items, r.values()...)
		pages++
		if link = r.text("@odata.nextLink"); link == "" {
			return items, r.text("@odata.deltaLink"), pages
		}
	}
}

func ids(items []map[string]any) map[string]bool {
	set := map[string]bool{}
	for _, it := range items {
		set[it["id"].(string)] = true
	}
	return set
}

func TestDelta(t *testing.T) {
	w := newWorld(t, nil)
	var all []string
	for i := range 7 {
		all = append(all, w.deliver(cloud.Delivery{Raw: letter(fmt.Sprint("m", i), "x")}))
	}
	prefer := immutable + ", odata.maxpagesize=3"
	items, link, pages := w.round("/me/mailFolders('inbox')/messages/delta?$select=subject,isRead", "Prefer", prefer)
	if got := ids(items); len(got) != 7 || pages != 4 || len(items) <= 7 { // an empty page, and replays
		t.Errorf("first round: %d pages, %d items, %d messages", pages, len(items), len(got))
	}
	first := items[0]
	if first["@odata.type"] != "#microsoft.graph.message" || first["@odata.etag"] == nil || first["subject"] != "m0" || first["body"] != nil {
		t.Errorf("item %v", first)
	}
	if !strings.Contains(link, "/me/mailFolders('AAMk") || !strings.Contains(link, "/messages/delta?$deltatoken=") {
		t.Errorf("link %q", link)
	}
	none, link, _ := w.round(link, "Prefer", prefer)
	if len(none) != 0 {
		t.Errorf("nothing happened, yet %v", none)
	}

	w.do("PATCH", "/me/messages/"+all[0], obj{"isRead": true}).is(200)
	w.do("PATCH", "/me/messages/"+all[1], obj{"flag": obj{"flagStatus": "flagged"}}).is(200)
	w.do("PATCH", "/me/messages/"+all[1], obj{"isRead": true}).is(200)
	w.do("POST", "/me/messages/"+all[2]+"/move", obj{"destinationId": "archive"}).is(201)
	w.do("DELETE", "/me/messages/"+all[3], nil).is(204)
	fresh := w.deliver(cloud.Delivery{Raw: letter("new", "x")})
	w.do("PATCH", "/me/messages/"+fresh, obj{"isRead": true}).is(200)
	gone := w.deliver(cloud.Delivery{Raw: letter("gone", "x")})
	if err := w.s.Delete(ada, gone); err != nil {
		t.Fatal(err)
	}
	items, link2, _ := w.round(link, "Prefer", immutable)
	byID := map[string]map[string]any{}
	for _, it := range items {
		byID[it["id"].(string)] = it
	}
	if it := byID[all[0]]; it["isRead"] != true || it["subject"] != nil || len(it) != 4 {
		t.Errorf("a read toggle is no partial object: %v", it)
	}
	if it := byID[all[1]]; it["isRead"] != true || it["subject"] != "m1" {
		t.Errorf("flagged and read: %v", it)
	}
	for _, id := range []string{all[2], all[3], gone} {
		if diff := cmp.Diff(map[string]any{"reason": "deleted"}, byID[id]["@removed"]); diff != "" {
			t.Errorf("%v: %s", byID[id], diff)
		}
	}
	if it := byID[fresh]; it["subject"] != "new" || it["isRead"] != true {
		t.Errorf("new and read: %v", it)
	}
	again, _, _ := w.round(link, "Prefer", immutable)
	if diff := cmp.Diff(ids(items), ids(again)); diff != "" {
		t.Errorf("the same link gives other messages: %s", diff)
	}
	if rest, _, _ := w.round(link2); len(rest) != 0 {
		t.Errorf("after the round: %v", rest)
	}
	archived, archive, _ := w.round("/me/mailFolders/archive/messages/delta", "Prefer", immutable)
	if len(archived) != 1 || archived[0]["id"] != all[2] || archived[0]["body"] == nil {
		t.Errorf("archive: %v", archived)
	}
	w.do("POST", "/me/messages/"+all[4]+"/move", obj{"destinationId": "archive"}).is(201)
	if moved, _, _ := w.round(archive, "Prefer", immutable); len(moved) != 2 || moved[0]["id"] != all[4] || moved[1]["id"] != all[4] {
		t.Errorf("a move is not seen twice: %v", moved)
	}
}

func TestDeltaOptions(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.DeltaFilterLimit = 2 })
	old := w.deliver(cloud.Delivery{Date: w.now.AddDate(-1, 0, 0), Raw: letter("old", "x")})
	w.deliver(cloud.Delivery{Raw: letter("a", "x")})
	w.deliver(cloud.Delivery{Date: w.now.Add(time.Second), Raw: letter("b", "x")})
	unread, link, _ := w.round("/me/mailFolders/inbox/messages/delta?$select=subject")
	if len(unread) != 3 {
		t.Errorf("first round %v", unread)
	}
	w.do("PATCH", "/me/messages/"+old, obj{"isRead": true}).is(200)
	if got, _, _ := w.round(link); len(got) != 0 {
		t.Errorf("isRead was not selected, yet %v", got)
	}
	since := "$filter=receivedDateTime ge " + w.now.AddDate(0, -1, 0).Format("2006-01-02T15:04:05Z")
	got, link, _ := w.round("/me/mailFolders/inbox/messages/delta?$orderby=receivedDateTime desc&" + since)
	if len(got) != 2 || got[0]["subject"] != "b" {
		t.Errorf("newest first since: %v", got)
	}
	w.deliver(cloud.Delivery{Date: w.now.AddDate(-2, 0, 0), Raw: letter("older", "x")})
	if got, _, _ := w.round(link); len(got) != 0 {
		t.Errorf("the filter was forgotten: %v", got)
	}
	_, link, _ = w.round("/me/mailFolders/inbox/messages/delta?changeType=deleted")
	w.deliver(cloud.Delivery{Raw: letter("c", "x")})
	w.do("DELETE", "/me/messages/"+old, nil).is(204)
	if got, _, _ := w.round(link); len(got) != 1 || got[0]["@removed"] == nil {
		t.Errorf("only deletions were asked for: %v", got)
	}
	for _, bad := range []string{"$filter=isRead eq true", "$filter=receivedDateTime lt 2020-01-01", "$orderby=subject", "$search=\"x\"", "$skip=1", "$deltatoken=latest"} {
		if r := w.get("/me/mailFolders/inbox/messages/delta?" + strings.ReplaceAll(bad, `"`, "%22")); r.status != 400 {
			t.Errorf("%s: %d", bad, r.status)
		}
	}
	w.get("/me/messages/delta").refuses(400, "BadRequest")
}

func TestDeltaTokens(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 5 {
		w.deliver(cloud.Delivery{Raw: letter(fmt.Sprint(i), "x")})
	}
	_, link, _ := w.round("/me/mailFolders/inbox/messages/delta")
	middle := w.get("/me/mailFolders/inbox/messages/delta?$top=2").is(200).text("@odata.nextLink")
	w.get(strings.Replace(link, "mailFolders('", "mailFolders('archive')/messages/delta?$deltatoken="+link[strings.Index(link, "=")+1:]+"#", 1)).refuses(400, "SyncStateInvalid")
	if err := w.s.ForgetCursors(ada); err != nil {
		t.Fatal(err)
	}
	w.get(link).refuses(410, "SyncStateNotFound")
	w.get(middle).refuses(410, "SyncStateNotFound")
	_, link, _ = w.round("/me/mailFolders/inbox/messages/delta")
	w.advance(DefaultSettings().DeltaTokenLifetime + time.Hour)
	w.get(link).refuses(410, "SyncStateNotFound")

	f := w.do("POST", "/me/mailFolders", obj{"displayName": "F"}).is(201).text("id")
	_, link, _ = w.round("/me/mailFolders/" + f + "/messages/delta")
	w.do("POST", "/me/mailFolders/"+f+"/permanentDelete", nil).is(204)
	w.get(link).refuses(404, "ErrorItemNotFound")
}

func TestDeltaLag(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.DeltaLag = time.Minute })
	id := w.deliver(cloud.Delivery{Raw: letter("slow", "x")})
	got, link, _ := w.round("/me/mailFolders/inbox/messages/delta?$select=isRead", "Prefer", immutable)
	if len(got) != 0 {
		t.Errorf("seen too early: %v", got)
	}
	w.advance(50 * time.Second)
	w.do("PATCH", "/me/messages/"+id, obj{"isRead": true}).is(200)
	w.advance(20 * time.Second)
	got, link, _ = w.round(link, "Prefer", immutable)
	if len(got) != 1 || got[0]["isRead"] != false {
		t.Errorf("the state of a minute ago is unread: %v", got)
	}
	if now := w.get("/me/messages/" + id).is(200).at("isRead"); now != true {
		t.Error("a get is not stale")
	}
	w.s.SetDeltaLag(0)
	if got, _, _ = w.round(link, "Prefer", immutable); len(got) != 1 || got[0]["isRead"] != true {
		t.Errorf("without lag: %v", got)
	}
}

// A round goes on from where it began, whatever happens between its pages.
func TestDeltaRoundIsStable(t *testing.T) {
	w := newWorld(t, nil)
	want := map[string]bool{}
	for i := range 30 {
		want[w.deliver(cloud.Delivery{Raw: letter(fmt.Sprint(i), "x")})] = true
	}
	link := "/me/mailFolders/inbox/messages/delta?$select=subject"
	have := map[string]bool{}
	for n := 0; ; n++ {
		r := w.get(link, "Prefer", immutable+",odata.maxpagesize=4").is(200)
		for _, it := range r.values() {
			if it["@removed"] != nil {
				delete(have, it["id"].(string))
			} else {
				have[it["id"].(string)] = true
			}
		}
		if n < 8 { // delete one that was told, and deliver one more
			for id := range have {
				if err := w.s.Delete(ada, id); err != nil {
					continue
				}
				delete(want, id)
				break
			}
			want[w.deliver(cloud.Delivery{Raw: letter(fmt.Sprint("more", n), "x")})] = true
		}
		if link = r.text("@odata.nextLink"); link == "" {
			if link = r.text("@odata.deltaLink"); n >= 12 && len(r.values()) == 0 {
				break
			}
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}
