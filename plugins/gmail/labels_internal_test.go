package gmail

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestLabelsAreMailboxes(t *testing.T) {
	user := func(id, name string) *gmailapi.Label { return &gmailapi.Label{Id: id, Name: name, Type: "user"} }
	system := func(id string) *gmailapi.Label { return &gmailapi.Label{Id: id, Name: id, Type: "system"} }
	c := &config{categories: categoriesKeywords}
	list := c.mailboxes([]*gmailapi.Label{
		user("Label_3", "A/B/C"), user("Label_1", "A"), user("Label_4", "X/Y"), user("Label_5", "A/"), user("Label_6", "/z"), user("Label_7", "A/B/C/D"),
		system("UNREAD"), system("STARRED"), system("INBOX"), system("IMPORTANT"), system("CATEGORY_SOCIAL"), system("CHAT"), system("TRASH"), nil,
	})
	type row struct{ ID, Parent, Name string }
	var got []row
	seen := map[string]bool{"": true}
	for _, m := range list {
		got = append(got, row{m.ID, m.ParentID, m.Name})
		if !seen[m.ParentID] {
			t.Errorf("%s comes before its parent %s", m.ID, m.ParentID)
		}
		seen[m.ID] = true
		if m.Kind != mail.KindLabel || m.Hidden != (m.ID == mailboxAll) {
			t.Errorf("%+v", m)
		}
	}
	want := []row{
		{"ALL", "", "All Mail"}, {"INBOX", "", "Inbox"}, {"TRASH", "", "Trash"},
		{"Label_1", "", "A"}, {"Label_6", "", "/z"}, {"Label_5", "", "A/"}, {"Label_4", "", "X/Y"},
		// A/B is no label: its part of the name stays.
		{"Label_3", "Label_1", "B/C"}, {"Label_7", "Label_3", "D"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c = &config{categories: categoriesMailboxes, showAll: true}
	if list := c.mailboxes([]*gmailapi.Label{system("IMPORTANT"), system("CATEGORY_SOCIAL")}); len(list) != 3 || list[0].Hidden || list[1].Name != "Social" {
		t.Errorf("%+v", list)
	}
}

func TestStateOfLabels(t *testing.T) {
	for _, tc := range []struct {
		categories          string
		labels              []string
		mailboxes, keywords []string
	}{
		{categoriesKeywords, nil, []string{"ALL"}, []string{"$seen"}},
		{categoriesKeywords, []string{"UNREAD", "INBOX", "Label_1", "STARRED", "IMPORTANT", "CATEGORY_SOCIAL"}, []string{"ALL", "INBOX", "Label_1"}, []string{"$flagged", "$important", "category_social"}},
		{categoriesMailboxes, []string{"UNREAD", "IMPORTANT", "CATEGORY_SOCIAL"}, []string{"ALL", "CATEGORY_SOCIAL", "IMPORTANT"}, []string{}},
		{categoriesHidden, []string{"UNREAD", "IMPORTANT", "CATEGORY_SOCIAL"}, []string{"ALL"}, []string{}},
		{categoriesKeywords, []string{"DRAFT"}, []string{"ALL", "DRAFT"}, []string{"$draft", "$seen"}},
		{categoriesKeywords, []string{"TRASH", "UNREAD"}, []string{"TRASH"}, []string{}},
		{categoriesKeywords, []string{"SPAM", "INBOX"}, []string{"SPAM"}, []string{"$seen"}},
		{categoriesKeywords, []string{"CHAT", "GREEN_STAR", "STARRED"}, []string{"ALL"}, []string{"$flagged", "$seen"}},
	} {
		c := &config{categories: tc.categories}
		mailboxes, keywords := c.state(tc.labels)
		if diff := cmp.Diff([][]string{tc.mailboxes, tc.keywords}, [][]string{mailboxes, keywords}); diff != "" {
			t.Errorf("%v: %s", tc.labels, diff)
		}
	}
}

// TestKeywordsBySetting: Gmail is said to hold the keywords of categories only where
// a label of it stands for them. The others the core keeps itself.
func TestKeywordsBySetting(t *testing.T) {
	for _, categories := range []string{"", categoriesKeywords, categoriesMailboxes, categoriesHidden} {
		p := New(Options{})
		c := &config{categories: categories}
		if categories != "" { // else it was not configured yet
			p.conf.Store(c)
		}
		info, err := p.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range append(categoryKeywords(), mail.Flagged) {
			_, held := c.keywordLabel(k)
			if categories == "" {
				held = true
			}
			if info.HoldsKeyword(k) != held {
				t.Errorf("categories %q: %s is said to be held: %v, and is: %v", categories, k, !held, held)
			}
		}
	}
}

func TestEnvelopeOfUglyHeaders(t *testing.T) {
	h := func(kv ...string) (out []*gmailapi.MessagePartHeader) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, &gmailapi.MessagePartHeader{Name: kv[i], Value: kv[i+1]})
		}
		return out
	}
	c := &config{categories: categoriesKeywords}
	got := c.message(&gmailapi.Message{
		Id: "1", ThreadId: "2", HistoryId: 7, InternalDate: 1700000000999, Snippet: "Tom &amp; Jerry &#39;s  ",
		Payload: &gmailapi.MessagePart{MimeType: "multipart/mixed", Headers: h(
			"FROM", "=?utf-8?q?J=C3=BCrgen?= <j@x>", "to", "a@x, broken <<, \"B, C\" <b@x>", "To", "d@x", "Subject", "=?utf-8?b?w6Q=?= b", "subject", "second",
			"Message-ID", " <m@x> ", "In-Reply-To", "<p@x>", "References", "<o@x>\r\n <p@x>", "Date", "Fri, 20 Nov 2026 10:00:00 +0100", "X-Priority", "1 (Highest)"),
			Parts: []*gmailapi.MessagePart{
				{MimeType: "image/png", Filename: "p.png", Headers: h("Content-Disposition", "inline; filename=p.png")},
				{MimeType: "multipart/mixed", Parts: []*gmailapi.MessagePart{{MimeType: "application/pdf", Filename: "a.pdf"}}},
			}},
	})
	want := mail.Message{
		ProviderID: "1", ProviderThreadID: "2", Version: 7, Mailboxes: []string{"ALL"}, Keywords: []string{"$seen"},
		Subject: "ä b", From: []mail.Address{{Name: "Jürgen", Email: "j@x"}},
		To:        []mail.Address{{Email: "a@x"}, {Email: "d@x"}},
		MessageID: "m@x", InReplyTo: []string{"p@x"}, References: []string{"o@x", "p@x"},
		SentAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), ReceivedAt: time.Unix(1700000000, 0).UTC(),
		Preview: "Tom & Jerry 's", Importance: mail.ImportanceHigh, HasAttachments: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRawInEitherAlphabet(t *testing.T) {
	raw := []byte("\xfb\xff\xfe to the byte\r\n")
	for _, enc := range []*base64.Encoding{base64.URLEncoding, base64.RawURLEncoding, base64.StdEncoding, base64.RawStdEncoding} {
		if got, ok := decodeRaw(enc.EncodeToString(raw)); !ok || string(got) != string(raw) {
			t.Errorf("%q", got)
		}
	}
	for _, junk := range []string{"not base64!", "A"} {
		if _, ok := decodeRaw(junk); ok {
			t.Errorf("%q was decoded", junk)
		}
	}
}

func TestQuery(t *testing.T) {
	for want, req := range map[string]*provider.SearchRequest{
		"":                     {},
		`"in:trash" "OR" "-x"`: {Text: "in:trash OR -x"},
		`from:"ann lee" to:"b@x" subject:"the plan" has:attachment`: {From: "ann  lee", To: "b@x", Subject: "the \"plan\"", HasAttachment: true},
		"after:1699999999 before:1700000100":                        {After: time.Unix(1700000000, 0), Before: time.Unix(1700000100, 0)},
	} {
		if got := query(req); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
