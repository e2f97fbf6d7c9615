package gmail

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// library is a mailbox to search in: messages by a word of their subject.
func library(t *testing.T) (*world, map[string]string) {
	w := newWorld(t)
	names := map[string]string{}
	put := func(name string, age time.Duration, mailbox string, keywords []string, raw string) {
		names[w.deliver(raw, func(d *cloud.Delivery) {
			d.Date, d.Mailbox, d.Keywords = w.clock().Add(-age), mailbox, keywords
		})] = name
	}
	day := 24 * time.Hour
	put("dinner", day, "", nil, "From: \"Amy Pond\" <amy@tardis.example>\r\nTo: "+alan+"\r\nCc: rory@leadworth.example\r\nSubject: Dinner and a movie\r\nMessage-ID: <Dinner.1@tardis.example>\r\n\r\nShall we eat first?\r\n")
	put("report", 40*day, "Work/2026", []string{"$seen"}, "From: boss@work.example\r\nTo: team@work.example\r\nBcc: "+alan+"\r\nSubject: Annual report\r\nDelivered-To: alan+work@gmail.example\r\nMessage-ID: <r@work.example>\r\n"+
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the figures of the holiday schedule.\r\n--b\r\nContent-Type: application/pdf; name=\"annual figures.pdf\"\r\nContent-Disposition: attachment\r\n\r\n"+strings.Repeat("x", 5000)+"\r\n--b--\r\n")
	put("list", 400*day, "archive", []string{"$flagged"}, "From: news@list.example\r\nTo: announce@list.example\r\nList-Id: <announce.list.example>\r\nSubject: =?utf-8?q?Neues_=C3=BCber_Gr=C3=B6=C3=9Fe?=\r\nContent-Type: text/html\r\n\r\n<p>The <b>holiday</b> <i>plan</i>\r\n")
	put("sent", 2*day, "sent", nil, "From: "+alan+"\r\nTo: amy@tardis.example\r\nSubject: Re: Dinner and a movie\r\n\r\nYes, dinner.\r\n")
	put("spam", day, "spam", nil, "From: win@spam.example\r\nSubject: Dinner for free\r\n\r\nschedule holiday\r\n")
	put("cjk", 3*day, "", nil, "From: li@else.example\r\nSubject: =?utf-8?b?5Lya6K6u5a6J5o6S?=\r\n\r\n-\r\n")
	return w, names
}

func TestSearch(t *testing.T) {
	w, names := library(t)
	for q, want := range map[string]string{
		"":                                      "cjk dinner list report sent",
		"dinner":                                "dinner sent",
		"DINNER movie":                          "dinner sent",
		"dinn":                                  "",
		`"holiday schedule"`:                    "report",
		"holiday plan":                          "list",
		`"plan holiday"`:                        "",
		"from:amy":                              "dinner",
		"from:amy@tardis.example":               "dinner",
		`from:"Amy Pond"`:                       "dinner",
		"from:me":                               "sent",
		"to:me":                                 "dinner report",
		"to:rory":                               "dinner",
		"cc:rory@leadworth.example":             "dinner",
		"bcc:alan":                              "report",
		"subject:(dinner movie)":                "dinner sent",
		"subject:{dinner report}":               "dinner report sent",
		"subject:größe":                         "list",
		"subject:安排":                            "cjk",
		"from:(amy OR boss)":                    "dinner report",
		"from:(-amy -boss -me)":                 "cjk list",
		"from:amy OR from:boss":                 "dinner report",
		"from:amy | from:boss":                  "dinner report",
		"{from:amy from:boss}":                  "dinner report",
		"dinner from:amy OR from:boss":          "dinner",
		"dinner (from:amy OR from:boss)":        "dinner",
		"from:boss OR dinner from:amy":          "dinner",
		"dinner AND first":                      "dinner",
		"-dinner":                               "cjk list report",
		"-from:amy dinner":                      "sent",
		"-(from:amy OR from:boss)":              "cjk list sent",
		"-{from:amy from:boss}":                 "cjk list sent",
		"has:attachment":                        "report",
		"-has:attachment holiday":               "list",
		"filename:pdf":                          "report",
		"filename:figures.pdf":                  "report",
		`filename:"annual figures"`:             "report",
		"filename:doc":                          "",
		"figures.pdf":                           "report",
		"label:work-2026":                       "report",
		"label:Work/2026":                       "report",
		`label:"work 2026"`:                     "report",
		"in:work-2026":                          "report",
		"label:nonsense":                        "",
		"has:userlabels":                        "report",
		"has:nouserlabels dinner":               "dinner sent",
		"in:inbox":                              "cjk dinner",
		"in:sent":                               "sent",
		"in:spam":                               "spam",
		"in:anywhere holiday":                   "list report spam",
		"label:spam OR from:amy":                "dinner spam",
		"in:archive":                            "list report",
		"is:unread in:inbox":                    "cjk dinner",
		"is:read":                               "report sent",
		"is:starred":                            "list",
		"label:starred":                         "list",
		"is:important":                          "dinner",
		"is:sent":                               "sent",
		"is:nonsense":                           "",
		"category:primary":                      "cjk dinner",
		"category:forums":                       "",
		"list:announce.list.example":            "list",
		"deliveredto:alan+work@gmail.example":   "report",
		"rfc822msgid:<Dinner.1@tardis.example>": "dinner",
		"rfc822msgid:Dinner.1@tardis.example":   "dinner",
		"rfc822msgid:Dinner.2@tardis.example":   "",
		"rfc822msgid:":                          "cjk dinner list report sent",
		"larger:4K":                             "report",
		"larger:4000":                           "report",
		"size:1m":                               "",
		"smaller:4k dinner":                     "dinner sent",
		"older_than:1m":                         "list report",
		"older_than:1y":                         "list",
		"newer_than:2d":                         "dinner",
		"newer_than:10x":                        "",
		"after:2026/02/28":                      "dinner sent",
		"after:2026-03-01":                      "dinner",
		"before:2026/1/30":                      "list report",
		"after:1772400000":                      "",
		fmt.Sprint("before:", w.clock().Add(-24*time.Hour).Unix()): "cjk list report sent",
		"after:yesterday":     "",
		"dinner:movie":        "",
		"http://else.example": "",
		"+dinner":             "dinner sent",
		"(dinner":             "dinner sent",
		"dinner)":             "dinner sent",
		`"dinner and`:         "dinner sent",
		"OR dinner OR":        "dinner sent",
		"()":                  "cjk dinner list report sent",
		"- dinner":            "dinner sent",
		"dinner }{ movie":     "dinner sent",
		"...":                 "cjk dinner list report sent",
	} {
		list, err := w.users(alan).Messages.List("me").Q(q).Do()
		must(t, list, err)
		got := []string{}
		for _, m := range list.Messages {
			got = append(got, names[m.Id])
		}
		slices.Sort(got)
		if diff := cmp.Diff(strings.Fields(want), got); diff != "" {
			t.Errorf("%q: %s", q, diff)
		}
	}
}

func TestQueriesCombineWithTheRest(t *testing.T) {
	w, names := library(t)
	list, err := w.users(alan).Messages.List("me").Q("dinner").LabelIds("SENT").Do()
	if must(t, list, err); len(list.Messages) != 1 || names[list.Messages[0].Id] != "sent" {
		t.Errorf("%+v", list.Messages)
	}
	list, err = w.users(alan).Messages.List("me").Q("dinner").IncludeSpamTrash(true).Do()
	if must(t, list, err); len(list.Messages) != 3 {
		t.Errorf("%+v", list.Messages)
	}
	threads, err := w.users(alan).Threads.List("me").Q("from:boss").Do()
	if must(t, threads, err); len(threads.Threads) != 1 || names[threads.Threads[0].Id] != "report" {
		t.Errorf("%+v", threads.Threads)
	}
}

// FuzzQuery holds the parser to two promises: it ends, and what it makes can be
// asked.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{
		`from:(a OR "b c") -{x y} after:2026/1/1`, strings.Repeat("(", 500), strings.Repeat("-(", 500), strings.Repeat("from:(", 500),
		strings.Repeat("{a", 200) + strings.Repeat("}", 300), "OR OR - -- :: from: from:: \"", "subject:\"", "larger:99999999999999999999", "older_than:d", "\xff:\xfe(", "-", "from:)", "a:\"b\"(c)",
	} {
		f.Add(q)
	}
	s := New(Settings{}, Options{Now: func() time.Time { return time.Unix(1e9, 0) }})
	if err := s.AddUser(cloud.User{Address: alan}); err != nil {
		f.Fatal(err)
	}
	if _, err := s.Deliver(f.Context(), alan, cloud.Delivery{Raw: []byte(letter("One"))}); err != nil {
		f.Fatal(err)
	}
	mb := s.mailbox(alan)
	f.Fuzz(func(t *testing.T, q string) {
		mb.mu.Lock()
		defer mb.mu.Unlock()
		look, m := &looker{mb: mb, now: time.Unix(1e9, 0)}, mb.order[0]
		first := parseQuery(q).matches(look, m)
		if again := parseQuery(q).matches(look, m); again != first {
			t.Errorf("%q is true one time and not the other", q)
		}
	})
}
