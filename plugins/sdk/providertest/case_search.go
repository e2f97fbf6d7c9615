package providertest

import (
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func searchCases() []Case {
	return []Case{
		{Name: "search/finds", Doc: "a message is found by its text, subject and author", Needs: needs(provider.CapSearch), test: searchFinds},
		{Name: "search/restricts", Doc: "mailbox, dates and attachments restrict what is found", Needs: needs(provider.CapSearch), test: searchRestricts},
		{Name: "search/pages", Doc: "pages give everything once", Needs: needs(provider.CapSearch), test: searchPages},
	}
}

func (f *fixture) search(req provider.SearchRequest) *provider.SearchResponse {
	f.Helper()
	req.Call = f.call()
	resp, err := f.p.Search(f.ctx, &req)
	f.must("search", err)
	return resp
}

// finds waits until a search gives exactly these ids, in any order.
func (f *fixture) finds(what string, req provider.SearchRequest, want ...string) {
	f.Helper()
	slices.Sort(want)
	var got []string
	f.eventually("search by "+what, func() bool {
		got = slices.Sorted(slices.Values(f.search(req).IDs))
		return slices.Equal(got, want)
	})
	if !slices.Equal(got, want) {
		f.Errorf("search by %s finds %v, want %v", what, got, want)
	}
}

func searchFinds(f *fixture) {
	l := newLetter(f.w.Address())
	id := f.deliver("", l)
	f.deliver("", newLetter(f.w.Address()))
	f.finds("text", provider.SearchRequest{Text: l.token}, id)
	f.finds("subject", provider.SearchRequest{Subject: l.token}, id)
	f.finds("author and text", provider.SearchRequest{From: l.want.From[0].Email, Text: l.token}, id)
	f.finds("recipient and text", provider.SearchRequest{To: f.w.Address(), Text: l.token}, id)
	f.finds("another author", provider.SearchRequest{From: "nobody@providertest.example", Text: l.token})
	f.finds("a word that is nowhere", provider.SearchRequest{Text: token()})
}

func searchRestricts(f *fixture) {
	inbox, other, word := f.role(mail.RoleInbox).ID, f.elsewhere(), token()
	plain := f.deliver("", newLetter(f.w.Address(), saying(word)))
	loaded := f.deliver(other, newLetter(f.w.Address(), saying(word), attached(2000)))
	now := time.Now()
	f.finds("text", provider.SearchRequest{Text: word}, plain, loaded)
	f.finds("mailbox", provider.SearchRequest{Text: word, Mailbox: inbox}, plain)
	f.finds("attachment", provider.SearchRequest{Text: word, HasAttachment: true}, loaded)
	f.finds("after yesterday", provider.SearchRequest{Text: word, After: now.Add(-48 * time.Hour)}, plain, loaded)
	f.finds("before yesterday", provider.SearchRequest{Text: word, Before: now.Add(-48 * time.Hour)})
}

func searchPages(f *fixture) {
	word := token()
	var want []string
	for range 3 {
		want = append(want, f.deliver("", newLetter(f.w.Address(), saying(word))))
	}
	slices.Sort(want)
	f.finds("text", provider.SearchRequest{Text: word}, want...)
	var got []string
	page := ""
	for range 10 {
		resp := f.search(provider.SearchRequest{Text: word, Limit: 1, PageToken: page})
		if len(resp.IDs) > 1 {
			f.Errorf("a page of one has %d ids", len(resp.IDs))
		}
		got = append(got, resp.IDs...)
		if page = resp.NextPageToken; page == "" {
			break
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		f.Errorf("the pages give %v, want %v", got, want)
	}
}
