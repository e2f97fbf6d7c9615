package gmail

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestSystemLabels(t *testing.T) {
	w := newWorld(t)
	labels := w.users(alan).Labels
	list, err := labels.List("me").Do()
	must(t, list, err)
	var ids []string
	for _, l := range list.Labels {
		ids = append(ids, l.Id)
		if l.Type != "system" || l.Name != l.Id {
			t.Errorf("%+v", l)
		}
	}
	slices.Sort(ids)
	want := strings.Fields("CATEGORY_FORUMS CATEGORY_PERSONAL CATEGORY_PROMOTIONS CATEGORY_SOCIAL CATEGORY_UPDATES CHAT DRAFT IMPORTANT INBOX SENT SPAM STARRED TRASH UNREAD")
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
	refused(t, labels.Delete("me", "INBOX").Do(), 400, "invalidArgument", "Invalid delete request")
	_, err = labels.Patch("me", "INBOX", &api.Label{Name: "Mine"}).Do()
	refused(t, err, 400, "invalidArgument", "Invalid update request")
	_, err = labels.Update("me", "INBOX", &api.Label{Name: "Mine"}).Do()
	refused(t, err, 400, "invalidArgument", "Invalid update request")
}

func TestLabelsOfTheUser(t *testing.T) {
	w := newWorld(t)
	labels := w.users(alan, scopeLabels).Labels
	a, err := labels.Create("me", &api.Label{Name: "A", LabelListVisibility: "labelHide", Color: &api.LabelColor{TextColor: "#ffffff", BackgroundColor: "#16a766"}}).Do()
	must(t, a, err)
	if a.Id != "Label_1" || a.Type != "user" || a.MessageListVisibility != "show" || a.LabelListVisibility != "labelHide" || a.Color.TextColor != "#ffffff" {
		t.Errorf("%+v", a)
	}
	b, err := labels.Create("me", &api.Label{Name: "None/There/B"}).Do()
	must(t, b, err) // parents need not exist
	list, err := labels.List("me").Do()
	must(t, list, err)
	if n := len(list.Labels); n != 16 || list.Labels[n-1].Id != b.Id || list.Labels[n-2].Name != "A" || list.Labels[n-2].Color != nil {
		t.Errorf("%d labels, the last two are %+v and %+v", n, list.Labels[n-2], list.Labels[n-1])
	}
	for _, name := range []string{"A", "a"} {
		_, err = labels.Create("me", &api.Label{Name: name}).Do()
		refused(t, err, 409, "aborted", "Label name exists or conflicts")
		_, err = labels.Patch("me", b.Id, &api.Label{Name: name}).Do()
		refused(t, err, 409, "aborted", "Label name exists or conflicts")
	}
	for _, name := range []string{"", " ", "Inbox", "TRASH", "CATEGORY_X", "[Gmail]/x", "a//b", strings.Repeat("x", 226)} {
		_, err = labels.Create("me", &api.Label{Name: name}).Do()
		refused(t, err, 400, "invalidArgument", "Invalid label name")
	}
	for _, c := range []struct {
		color   api.LabelColor
		message string
	}{
		{api.LabelColor{TextColor: "#ffffff"}, "Both text and background"},
		{api.LabelColor{TextColor: "#ffffff", BackgroundColor: "#123456"}, "Label color #123456 is not on the allowed color palette"},
	} {
		_, err = labels.Create("me", &api.Label{Name: "C", Color: &c.color}).Do()
		refused(t, err, 400, "invalidArgument", c.message)
	}
	_, err = labels.Create("me", &api.Label{Name: "C", MessageListVisibility: "maybe"}).Do()
	refused(t, err, 400, "badRequest", "Invalid value at 'label.message_list_visibility'")

	patched, err := labels.Patch("me", a.Id, &api.Label{Name: "A2"}).Do()
	if must(t, patched, err); patched.Name != "A2" || patched.LabelListVisibility != "labelHide" || patched.Color == nil {
		t.Errorf("patched: %+v", patched)
	}
	updated, err := labels.Update("me", a.Id, &api.Label{Id: a.Id, Name: "A3"}).Do()
	if must(t, updated, err); updated.Name != "A3" || updated.LabelListVisibility != "labelShow" || updated.Color != nil {
		t.Errorf("updated: %+v", updated)
	}
	same, err := labels.Patch("me", a.Id, &api.Label{Name: "a3"}).Do() // only its case
	if must(t, same, err); same.Name != "a3" {
		t.Errorf("%+v", same)
	}
	_, err = labels.Update("me", a.Id, &api.Label{Id: b.Id, Name: "X"}).Do()
	refused(t, err, 400, "invalidArgument", "Label id in the body")
	_, err = labels.Update("me", a.Id, &api.Label{}).Do()
	refused(t, err, 400, "invalidArgument", "Invalid label name")
	_, err = labels.Get("me", "Label_77").Do()
	refused(t, err, 404, "notFound", "Requested entity was not found.")
	refused(t, labels.Delete("me", "Label_77").Do(), 404, "notFound", "Requested entity was not found.")
	_, err = w.users(alan, scopeReadonly).Labels.Create("me", &api.Label{Name: "R"}).Do()
	refused(t, err, 403, "insufficientPermissions", "Request had insufficient authentication scopes.")
	dropped, err := labels.Patch("me", a.Id, &api.Label{NullFields: []string{"Color"}}).Do()
	if must(t, dropped, err); dropped.Color != nil {
		t.Errorf("%+v", dropped)
	}
}

func TestCountsOfLabels(t *testing.T) {
	w := newWorld(t)
	w.deliver(letter("One"))
	w.deliver("References: <one@else.example>\r\n" + letter("Re: One"))
	w.deliver(letter("Two"), func(d *cloud.Delivery) { d.Keywords = []string{"$seen"} })
	w.deliver(letter("Three"), func(d *cloud.Delivery) { d.Mailbox = "archive" })
	l, err := w.users(alan).Labels.Get("me", "INBOX").Do()
	must(t, l, err)
	if l.MessagesTotal != 3 || l.MessagesUnread != 2 || l.ThreadsTotal != 2 || l.ThreadsUnread != 1 {
		t.Errorf("%+v", l)
	}
}

func TestADeletedLabelLeavesItsMessages(t *testing.T) {
	w := newWorld(t)
	one := w.deliver(letter("One"), func(d *cloud.Delivery) { d.Mailbox = "Work/2026" })
	start := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	if err := w.users(alan).Labels.Delete("me", "Label_1").Do(); err != nil {
		t.Fatal(err)
	}
	m, err := w.users(alan).Messages.Get("me", one).Do()
	if must(t, m, err); slices.Contains(m.LabelIds, "Label_1") {
		t.Errorf("still labelled: %v", m.LabelIds)
	}
	h, err := w.users(alan).History.List("me").StartHistoryId(start).Do()
	must(t, h, err)
	if len(h.History) != 1 || len(h.History[0].LabelsRemoved) != 1 || h.History[0].LabelsRemoved[0].LabelIds[0] != "Label_1" {
		t.Errorf("%+v", h.History)
	}
	_, err = w.users(alan).History.List("me").StartHistoryId(start).LabelId("Label_1").Do()
	refused(t, err, 400, "invalidArgument", "Invalid label: Label_1")
	again, err := w.users(alan).Labels.Create("me", &api.Label{Name: "Work/2026"}).Do()
	if must(t, again, err); again.Id == "Label_1" {
		t.Error("the id of a deleted label came again")
	}
}

func must2p(t *testing.T) func(*api.Profile, error) *api.Profile {
	return func(p *api.Profile, err error) *api.Profile {
		t.Helper()
		return must(t, p, err)
	}
}

func TestThereIsAnEndToLabels(t *testing.T) {
	w := newWorld(t, func(s *Settings, _ *Options) { s.MaxLabels = 2 })
	labels := w.users(alan).Labels
	for i := range 3 {
		_, err := labels.Create("me", &api.Label{Name: fmt.Sprint("L", i)}).Do()
		if i < 2 && err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			refused(t, err, 400, "invalidArgument", "Too many labels")
		}
	}
}

// TestAgainstTheDiscoveryDocument holds the route table and the palette against
// Google's description of the API.
func TestAgainstTheDiscoveryDocument(t *testing.T) {
	b, err := os.ReadFile("../../../../../shared/contracts/gmail-discovery.json")
	if err != nil {
		t.Skip("no discovery document: ../shared is absent")
	}
	type resource struct {
		Methods map[string]struct {
			ID, HTTPMethod, Path string
			Scopes               []string
			SupportsMediaUpload  bool
			Parameters           map[string]struct {
				Location, Type, Format string
				Repeated               bool
			}
		}
		Resources map[string]json.RawMessage
	}
	known := map[string]method{}
	for _, m := range methods() {
		known[m.id] = m
	}
	seen := 0
	var walk func(json.RawMessage)
	walk = func(raw json.RawMessage) {
		var r resource
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		for _, want := range r.Methods {
			if strings.Contains(want.ID, ".cse.") || strings.Contains(want.ID, ".smimeInfo.") {
				continue // encryption on the client's side is not played
			}
			seen++
			m := known[want.ID]
			slices.Sort(want.Scopes)
			got := slices.Sorted(slices.Values(m.scopes))
			if m.verb != want.HTTPMethod || m.path != "/"+want.Path || m.upload != want.SupportsMediaUpload || !slices.Equal(got, want.Scopes) {
				t.Errorf("%s: have %+v, want %+v", want.ID, m, want)
			}
			for name, p := range want.Parameters {
				i := slices.IndexFunc(m.query, func(q param) bool { return q.name == name })
				if (p.Location == "query") != (i >= 0) || i >= 0 && m.query[i].repeated != p.Repeated {
					t.Errorf("%s: parameter %s", want.ID, name)
				}
			}
		}
		for _, sub := range r.Resources {
			walk(sub)
		}
	}
	walk(b)
	if seen != len(known) {
		t.Errorf("%d methods in the document, %d in the table", seen, len(known))
	}
	var doc struct {
		Schemas struct {
			LabelColor struct {
				Properties struct{ TextColor struct{ Description string } }
			}
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	colors := regexp.MustCompile(`#[0-9a-f]{6}`).FindAllString(doc.Schemas.LabelColor.Properties.TextColor.Description, -1)
	if diff := cmp.Diff(slices.Sorted(slices.Values(colors)), slices.Sorted(slices.Values(palette()))); diff != "" {
		t.Error(diff)
	}
}
