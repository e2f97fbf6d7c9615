package graph

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// library is a world with mail that queries can tell apart.
func library(t *testing.T) *world {
	w := newWorld(t, nil)
	day := func(d int) time.Time { return time.Date(2026, 1, d, 9, 0, 0, 0, time.UTC) }
	w.deliver(cloud.Delivery{Date: day(1), Raw: letter("alpha report", "the quick brown fox"), Keywords: []string{"$seen"}})
	w.deliver(cloud.Delivery{Date: day(2), Raw: letter("beta report", "lazy dogs", "Importance: high\r\n"), Keywords: []string{"$flagged", "Red"}})
	w.deliver(cloud.Delivery{Date: day(3), Mailbox: "archive", Raw: []byte("From: Max <max@x.example>\nTo: grace@contoso.example, Ada <ada@contoso.example>\nCc: boss@x.example\nSubject: gamma isn't alpha\nDate: Sat, 3 Jan 2026 09:00:00 +0000\nMessage-ID: <gamma@x>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nquarterly numbers\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=\"figures 2026.pdf\"\n\nx\n--b--\n"), Keywords: []string{"$seen", "Red", "Blue"}})
	w.deliver(cloud.Delivery{Date: day(4), Raw: letter("delta", "the quick red fox")})
	return w
}

func TestFilter(t *testing.T) {
	w := library(t)
	alpha, beta, gamma, delta := "alpha report", "beta report", "gamma isn't alpha", "delta"
	for filter, want := range map[string][]string{
		"isRead eq false":       {delta, beta},
		"not isRead":            {delta, beta},
		"not (isRead eq false)": {gamma, alpha},
		"isRead eq true and hasAttachments eq true":                                             {gamma},
		"receivedDateTime ge 2026-01-03T09:00:00Z":                                              {delta, gamma},
		"receivedDateTime gt 2026-01-03T09:00:00.5Z":                                            {delta},
		"receivedDateTime lt 2026-01-02":                                                        {alpha},
		"subject eq 'gamma isn''t alpha'":                                                       {gamma},
		"startswith(subject, 'BETA') or endswith(subject,'lta')":                                {delta, beta},
		"contains(tolower(subject), 'report')":                                                  {beta, alpha},
		"internetMessageId eq '<gamma@x>'":                                                      {gamma},
		"importance eq 'high'":                                                                  {beta},
		"importance ne 'normal'":                                                                {beta},
		"flag/flagStatus eq 'flagged'":                                                          {beta},
		"from/emailAddress/address eq 'max@x.example'":                                          {gamma},
		"categories/any(c:c eq 'red')":                                                          {gamma, beta},
		"categories/any(c: c eq 'Red') and categories/any(c: c eq 'Blue')":                      {gamma},
		"categories/all(c: c eq 'Red') and categories/any()":                                    {beta},
		"toRecipients/any(r:r/emailAddress/address eq 'grace@contoso.example')":                 {gamma},
		"ccRecipients/any(r: contains(r/emailAddress/address,'boss'))":                          {gamma},
		"(isRead eq true or importance eq 'high') and receivedDateTime le 2026-01-02Z":          nil,
		"isDraft eq true":                                                                       {},
		"internetMessageId eq null":                                                             {},
		"sentDateTime eq 2026-01-03T09:00:00Z":                                                  {gamma},
		"singleValueExtendedProperties/Any(ep: ep/id eq 'String 0x37' and ep/value eq 'delta')": {delta},
	} {
		r := w.get("/me/messages?$select=subject&$filter=" + url.QueryEscape(filter))
		if want == nil {
			r.refuses(400, "BadRequest")
			continue
		}
		if got := r.is(200).list("subject"); !cmp.Equal(got, want) {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
		var n int
		_, err := fmt.Sscan(string(w.get("/me/messages/$count?$filter="+url.QueryEscape(filter)).is(200).raw), &n)
		if err != nil || n != len(want) {
			t.Errorf("%s: count %d, want %d", filter, n, len(want))
		}
	}
	for _, bad := range []string{"nonsense eq 1", "isRead eq", "isRead eq 'x'", "subject eq 'open", "(isRead eq true", "subject", "foo(subject)", "isRead eq true extra", "categories eq 'x'", "subject/any(x:x eq 'y')", "isRead gt"} {
		w.get("/me/messages?$filter="+url.QueryEscape(bad)).refuses(400, "BadRequest")
	}
	w.get("/me/messages?$filter="+url.QueryEscape("contains(body/content,'fox')")).refuses(400, "ErrorInvalidUrlQueryFilter")
	w.get("/me/messages?$filter="+url.QueryEscape(strings.Repeat("(", 200)+"isRead eq true"+strings.Repeat(")", 200))).refuses(400, "InefficientFilter")
	w.get("/me/messages?$filter="+url.QueryEscape("isRead eq true"+strings.Repeat(" or isRead eq true", 60))).refuses(400, "InefficientFilter")
}

func TestOrderAndPages(t *testing.T) {
	w := library(t)
	order := func(query string) []string {
		t.Helper()
		return w.get("/me/messages?$select=subject&" + query).is(200).list("subject")
	}
	if got := order("$orderby=subject"); !cmp.Equal(got, []string{"alpha report", "beta report", "delta", "gamma isn't alpha"}) {
		t.Error(got)
	}
	if got := order("$orderby=receivedDateTime"); got[0] != "alpha report" {
		t.Error(got)
	}
	if got := order("$orderby=from/emailAddress/name desc,subject desc&$top=2"); !cmp.Equal(got, []string{"gamma isn't alpha", "delta"}) {
		t.Error(got)
	}
	if got := order("$filter=receivedDateTime ge 2026-01-02 and isRead eq false&$orderby=receivedDateTime desc"); !cmp.Equal(got, []string{"delta", "beta report"}) {
		t.Error(got)
	}
	w.get("/me/messages?$filter=isRead eq false&$orderby=receivedDateTime desc").refuses(400, "InefficientFilter")
	w.get("/me/messages?$filter=isRead eq false and receivedDateTime ge 2026-01-01&$orderby=receivedDateTime desc").refuses(400, "InefficientFilter")
	w.get("/me/messages?$orderby=nonsense").refuses(400, "BadRequest")
	for _, bad := range []string{"$top=-1", "$top=x", "$top=1001", "$skip=x", "$count=maybe", "$nonsense=1", "$expand=nonsense", "$orderby=a b c"} {
		w.get("/me/messages?"+bad).refuses(400, "BadRequest")
	}
	for i := range 23 {
		w.deliver(cloud.Delivery{Mailbox: "Many", Date: w.now.Add(time.Duration(i) * time.Second), Raw: letter(fmt.Sprintf("n%02d", i), "x")})
	}
	id := w.get("/me/mailFolders?$filter=displayName eq 'Many'").is(200).text("value", 0, "id")
	var got []string
	next, pages := "/me/mailFolders/"+id+"/messages?$select=subject&$count=true", 0
	for ; next != ""; pages++ {
		r := w.get(next).is(200)
		if r.at("@odata.count") != 23.0 {
			t.Errorf("count %v", r.at("@odata.count"))
		}
		got = append(got, r.list("subject")...)
		next = r.text("@odata.nextLink")
	}
	if pages != 3 || len(got) != 23 || got[0] != "n22" || got[22] != "n00" {
		t.Errorf("%d pages: %v", pages, got)
	}
	filtered := w.get("/me/mailFolders/" + id + "/messages?$select=subject&$top=5&$filter=startswith(subject,'n0')").is(200)
	rest := w.get(filtered.text("@odata.nextLink")).is(200)
	if all := append(filtered.list("subject"), rest.list("subject")...); len(all) != 10 || all[9] != "n00" || rest.text("@odata.nextLink") != "" {
		t.Errorf("filtered pages: %v", all)
	}
}

func TestSearch(t *testing.T) {
	w := library(t)
	alpha, beta, gamma, delta := "alpha report", "beta report", "gamma isn't alpha", "delta"
	for query, want := range map[string][]string{
		`fox`:                                   {alpha, delta},
		`"quick brown"`:                         {alpha},
		`qui fo`:                                {alpha, delta},
		`subject:alpha`:                         {gamma, alpha},
		`subject:alpha AND from:max`:            {gamma},
		`subject:alpha OR subject:delta`:        {gamma, alpha, delta},
		`fox NOT red`:                           {alpha},
		`(dogs OR numbers) hasAttachments:true`: {gamma},
		`attachment:figures`:                    {gamma},
		`to:grace`:                              {gamma},
		`participants:boss`:                     {gamma},
		`importance:high`:                       {beta},
		`received>=2026-01-03`:                  {gamma, delta},
		`received:2026-01-01..2026-01-02`:       {alpha, beta},
		`body:numbers`:                          {gamma},
		`uick`:                                  {},
		`size>100000`:                           {},
	} {
		quoted := `"` + strings.ReplaceAll(query, `"`, `\"`) + `"`
		got := w.get("/me/messages?$select=subject&$search=" + url.QueryEscape(quoted)).is(200).list("subject")
		slices.Sort(got)
		slices.Sort(want)
		if !cmp.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	hello := url.QueryEscape(`"fox"`)
	w.get("/me/messages?$search="+hello+"&$orderby=subject").refuses(400, "SearchWithOrderBy")
	w.get("/me/messages?$search="+hello+"&$filter=isRead eq true").refuses(400, "SearchWithFilter")
	w.get("/me/messages?$search="+hello+"&$skip=1").refuses(400, "SearchWithSkip")
	w.get("/me/messages?$search="+hello+"&$count=true").refuses(400, "SearchWithCount")
	w.get("/me/messages?$search=fox").refuses(400, "BadRequest")
	first := w.get("/me/messages?$top=1&$search=" + hello).is(200)
	second := w.get(first.text("@odata.nextLink")).is(200)
	if len(second.values()) != 1 || second.text("@odata.nextLink") != "" || second.at("value", 0, "id") == first.at("value", 0, "id") {
		t.Errorf("second page: %s", second.raw)
	}
}
