package gmail

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

func TestDeliver(t *testing.T) {
	for _, c := range []struct {
		mailbox   string
		keywords  []string
		labels    string
		mailboxes string
		marks     string
	}{
		{"", nil, "CATEGORY_PERSONAL IMPORTANT INBOX UNREAD", "ALL INBOX", "$important category_personal"},
		{"inbox", []string{"$seen", "$flagged"}, "CATEGORY_PERSONAL IMPORTANT INBOX STARRED", "ALL INBOX", "$seen $flagged $important category_personal"},
		{"INBOX", []string{"$answered"}, "CATEGORY_PERSONAL IMPORTANT INBOX UNREAD", "ALL INBOX", "$important category_personal"},
		{"sentitems", nil, "SENT", "ALL SENT", "$seen"},
		{"drafts", nil, "DRAFT", "ALL DRAFT", "$seen $draft"},
		{"SENT", []string{"$draft"}, "DRAFT SENT", "ALL DRAFT SENT", "$seen $draft"},
		{"trash", nil, "TRASH UNREAD", "TRASH", ""},
		{"trash", []string{"Blue"}, "Label_1 TRASH UNREAD", "TRASH", ""},
		{"junkemail", []string{"$Seen"}, "SPAM", "SPAM", "$seen"},
		{"archive", nil, "UNREAD", "ALL", ""},
		{"Work/2026", nil, "Label_1 UNREAD", "ALL Label_1", ""},
		{"archive", []string{"Blue", "category_social"}, "CATEGORY_SOCIAL Label_1 UNREAD", "ALL Label_1", "category_social"},
	} {
		w := newWorld(t)
		id := w.deliver(letter("One"), func(d *cloud.Delivery) { d.Mailbox, d.Keywords = c.mailbox, c.keywords })
		m := must2(t)(w.users(alan).Messages.Get("me", id).Do())
		if diff := cmp.Diff(strings.Fields(c.labels), m.LabelIds); diff != "" {
			t.Errorf("%q %v: %s", c.mailbox, c.keywords, diff)
		}
		infos, err := w.s.Messages(alan)
		must(t, infos, err)
		sum := sha256.Sum256([]byte(letter("One")))
		want := cloud.MessageInfo{
			ID: id, Mailboxes: strings.Fields(c.mailboxes), Keywords: strings.Fields(c.marks), Size: int64(len(letter("One"))), SHA256: hex.EncodeToString(sum[:]),
		}
		if diff := cmp.Diff([]cloud.MessageInfo{want}, infos); diff != "" {
			t.Errorf("%q %v: %s", c.mailbox, c.keywords, diff)
		}
	}
}

func TestDeliverRefusals(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := w.s.Deliver(ctx, "nobody@gmail.example", cloud.Delivery{}); err == nil {
		t.Error("delivered to nobody")
	}
	if _, err := w.s.Deliver(ctx, alan, cloud.Delivery{Mailbox: "a//b"}); err == nil {
		t.Error("delivered into a label that cannot be")
	}
	cancel()
	if _, err := w.s.Deliver(ctx, alan, cloud.Delivery{}); err == nil {
		t.Error("delivered after the end")
	}
	for _, u := range []cloud.User{{Address: strings.ToUpper(alan)}, {Address: "nonsense"}} {
		if err := w.s.AddUser(u); err == nil {
			t.Errorf("%v was added", u)
		}
	}
	if us := w.s.Users(); len(us) != 2 || us[0].Address != alan || len(us[0].ID) != 21 {
		t.Errorf("%+v", us)
	}
	if _, err := w.s.Messages("nobody@gmail.example"); err == nil {
		t.Error("nobody has messages")
	}
}

func TestCategories(t *testing.T) {
	w := newWorld(t)
	for header, want := range map[string]string{
		"List-Id: <x>\r\n":                 "CATEGORY_FORUMS",
		"List-Unsubscribe: <mailto:x>\r\n": "CATEGORY_PROMOTIONS",
		"Auto-Submitted: auto\r\n":         "CATEGORY_UPDATES",
	} {
		m := must2(t)(w.users(alan).Messages.Get("me", w.deliver(letter("One", header))).Do())
		if !slices.Contains(m.LabelIds, want) || slices.Contains(m.LabelIds, "IMPORTANT") {
			t.Errorf("%q: %v", header, m.LabelIds)
		}
	}
	w = newWorld(t, func(s *Settings, _ *Options) { s.NoCategories = true })
	if m := must2(t)(w.users(alan).Messages.Get("me", w.deliver(letter("One"))).Do()); !slices.Equal(m.LabelIds, []string{"INBOX", "UNREAD"}) {
		t.Errorf("%v", m.LabelIds)
	}
}

func TestWhatArrivesKeepsItsBytes(t *testing.T) {
	w := newWorld(t)
	for _, from := range []string{"carl@else.example", "", "a<b>\r\nX-Evil: 1@x"} {
		raw := "Return-Path: <" + from + ">\r\nReceived: from x by y; date\r\n" + letter("One")
		id := w.deliver(raw, func(d *cloud.Delivery) { d.Transit = true })
		got := decode(t, must2(t)(w.users(alan).Messages.Get("me", id).Format("raw").Do()).Raw)
		front, found := strings.CutSuffix(got, raw)
		if !found || front == "" {
			t.Fatalf("%s", got)
		}
		m := must2(t)(w.users(alan).Messages.Get("me", id).Format("metadata").Do())
		var names []string
		for _, h := range m.Payload.Headers[:9] {
			names = append(names, h.Name)
		}
		want := []string{"Delivered-To", "Received", "X-Google-Smtp-Source", "X-Received", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "Received", "Received-SPF"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Error(diff)
		}
		if h := m.Payload.Headers; h[0].Value != alan || !strings.HasPrefix(h[1].Value, "by 2002:") || h[9].Name != "Authentication-Results" || h[10].Name != "Return-Path" {
			t.Errorf("%+v", h[:11])
		}
	}
	id := w.deliver(letter("Plain"), func(d *cloud.Delivery) { d.Transit = true })
	got := decode(t, must2(t)(w.users(alan).Messages.Get("me", id).Format("raw").Do()).Raw)
	if !strings.Contains(got, "\r\nReturn-Path: <>\r\n") {
		t.Errorf("%s", got)
	}
}

func TestEdit(t *testing.T) {
	w := newWorld(t)
	id := w.deliver(letter("One"))
	for _, c := range []struct {
		edit      cloud.Edit
		mailboxes string
		marks     string
	}{
		{cloud.Edit{AddKeywords: []string{"$seen", "$flagged"}, RemoveKeywords: []string{"$important", "category_personal"}}, "ALL INBOX", "$seen $flagged"},
		{cloud.Edit{RemoveKeywords: []string{"$Flagged", "$unknown", "nothing"}}, "ALL INBOX", "$seen"},
		{cloud.Edit{Mailbox: "Work/2026"}, "ALL Label_1", "$seen"},
		{cloud.Edit{AddKeywords: []string{"Blue"}}, "ALL Label_1 Label_2", "$seen"},
		{cloud.Edit{RemoveKeywords: []string{"blue", "$seen"}}, "ALL Label_1", ""},
		{cloud.Edit{Mailbox: "trash"}, "TRASH", ""},
		{cloud.Edit{Mailbox: "Label_1"}, "ALL Label_1", ""},
		{cloud.Edit{Mailbox: "archive"}, "ALL", ""},
	} {
		if err := w.s.Edit(alan, id, c.edit); err != nil {
			t.Fatal(err)
		}
		infos, err := w.s.Messages(alan)
		must(t, infos, err)
		if !slices.Equal(infos[0].Mailboxes, strings.Fields(c.mailboxes)) || !slices.Equal(infos[0].Keywords, strings.Fields(c.marks)) {
			t.Errorf("%+v: in %v with %v", c.edit, infos[0].Mailboxes, infos[0].Keywords)
		}
	}
	for _, bad := range []error{
		w.s.Edit("nobody@gmail.example", id, cloud.Edit{}), w.s.Edit(alan, "0123456789abcdef", cloud.Edit{}),
		w.s.Edit(alan, id, cloud.Edit{Mailbox: "a//b"}), w.s.Delete(alan, "x"),
	} {
		if bad == nil {
			t.Error("no refusal")
		}
	}
	if err := w.s.Delete(alan, id); err != nil {
		t.Fatal(err)
	}
	if infos, err := w.s.Messages(alan); err != nil || len(infos) != 0 {
		t.Errorf("%v %v", infos, err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	w := newWorld(t)
	start := must2p(t)(w.users(alan).GetProfile("me").Do()).HistoryId
	one := w.deliver("\x00\xff" + letter("One"))
	w.deliver("References: <one@else.example>\r\n" + letter("Re: One"))
	w.deliver(letter("Three"), func(d *cloud.Delivery) { d.Mailbox, d.Keywords = "Work/2026", []string{"$flagged"} })
	dir := t.TempDir()
	if err := w.s.Save(dir); err != nil {
		t.Fatal(err)
	}
	before := snapshotOf(t, w, start)
	old := w.s
	w.s = New(Settings{}, w.opts)
	w.http.Config.Handler = w.s
	if err := w.s.Load(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, snapshotOf(t, w, start)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(old.Users(), w.s.Users()); diff != "" {
		t.Error(diff)
	}
	// It goes on where it was: ids and labels are new ones, threads are found.
	next := w.deliver("In-Reply-To: <re:-one@else.example>\r\n" + letter("Re: One again"))
	if next <= one {
		t.Errorf("id %s after %s", next, one)
	}
	reply := must2(t)(w.users(alan).Messages.Get("me", w.deliver("In-Reply-To: <re:-one@else.example>\r\n"+letter("AW: One"))).Do())
	if reply.ThreadId == reply.Id {
		t.Error("a reply did not find its thread")
	}
	l, err := w.users(alan).Labels.Create("me", &api.Label{Name: "New"}).Do()
	if must(t, l, err); l.Id != "Label_2" {
		t.Errorf("%+v", l)
	}
	if err := w.s.Load(dir); err == nil {
		t.Error("loaded twice")
	}
	if err := w.s.Load(dir + "/none"); err != nil {
		t.Error(err)
	}
	if err := w.s.Save(dir + "/none"); err == nil {
		t.Error("saved into nothing")
	}
}

// snapshotOf is what a mailbox shows of itself.
func snapshotOf(t *testing.T, w *world, start uint64) []string {
	t.Helper()
	infos, err := w.s.Messages(alan)
	must(t, infos, err)
	words, cursor, _ := told(t, w, start)
	out := []string{fmt.Sprint(infos), fmt.Sprint(words, cursor)}
	threads, err := w.users(alan).Threads.List("me").Do()
	must(t, threads, err)
	for _, th := range threads.Threads {
		out = append(out, fmt.Sprint(th.Id, th.HistoryId, th.Snippet))
	}
	labels, err := w.users(alan).Labels.List("me").Do()
	must(t, labels, err)
	for _, l := range labels.Labels {
		out = append(out, l.Id+l.Name)
	}
	return out
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				raw := []byte(letter(fmt.Sprint("Message ", i, j)))
				id, err := w.s.Deliver(t.Context(), alan, cloud.Delivery{Raw: raw})
				if err != nil {
					t.Error(err)
					return
				}
				clear(raw) // what was handed over belongs to the caller still
				m, err := w.users(alan).Messages.Modify("me", id, &api.ModifyMessageRequest{AddLabelIds: []string{"STARRED"}}).Do()
				if err != nil || !slices.Contains(m.LabelIds, "STARRED") {
					t.Error(m, err)
				}
				if _, err := w.users(alan).Messages.List("me").Q("message").MaxResults(5).Do(); err != nil {
					t.Error(err)
				}
				if j%2 == 0 {
					if err := w.s.Delete(alan, id); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	infos, err := w.s.Messages(alan)
	if must(t, infos, err); len(infos) != 80 {
		t.Errorf("%d messages", len(infos))
	}
	for _, m := range infos {
		if empty := sha256.Sum256(make([]byte, m.Size)); m.SHA256 == hex.EncodeToString(empty[:]) {
			t.Error("the caller's bytes were kept")
		}
	}
}
