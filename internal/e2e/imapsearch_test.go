package e2e

import (
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/postern-mail/postern/internal/plainmail"
	"github.com/postern-mail/postern/internal/sandbox"
)

// TestSearchEqualsScan: with all bytes here, SEARCH TEXT and BODY of the go-imap
// project's client give what a scan of the served bytes gives, as another
// decoder reads them: 300 words of mail in thirteen charsets, at both clouds.
//
// `make test` takes some hundred messages; SOAK=1 takes 10,000.
func TestSearchEqualsScan(t *testing.T) {
	t.Parallel()
	messages := map[string]int{ada: 320, alanAtGmail: 60} // more than wait for the index, and fewer
	if os.Getenv("SOAK") != "" {
		messages[ada] = 10_000
	}
	s := newScene(t, func(o *sandbox.Options, _ settings) {
		o.Settings.Throttle.Requests = 100_000 // in ten minutes; it would be ten more
	})
	for _, address := range []string{ada, alanAtGmail} {
		t.Run(address, func(t *testing.T) { s.searchEqualsScan(t, address, messages[address]) })
	}
}

func (s *scene) searchEqualsScan(t *testing.T, address string, messages int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range messages {
		raw, err := plainmail.Compose(r, i)
		if err != nil {
			t.Fatal(err)
		}
		s.control("POST", "/control/users/"+address+"/messages?notify=false", string(raw), nil)
	}
	account := s.join(address)
	c, err := imapclient.DialInsecure(s.imapDoor(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(address, s.appPassword(account)).Wait(); err != nil {
		t.Fatal(err)
	}
	selected, err := c.Select("INBOX", nil).Wait()
	if err != nil || int(selected.NumMessages) != messages {
		t.Fatalf("INBOX: %+v, %v", selected, err)
	}
	texts := s.servedTexts(t, c)
	s.graphSearchEqualsScan(t, account, texts, plainmail.Words(r, texts, 40))
	hits := 0
	for n, word := range plainmail.Words(r, texts, 300) {
		got, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{word}}, &imap.SearchOptions{ReturnAll: n%2 == 0}).Wait()
		if err != nil {
			t.Fatalf("TEXT %q: %v", word, err)
		}
		found := got.AllUIDs()
		var want []imap.UID
		for uid, text := range texts {
			if strings.Contains(text, plainmail.Fold(word)) {
				want = append(want, uid)
			}
		}
		slices.Sort(want)
		if !slices.Equal(found, want) {
			t.Errorf("TEXT %q: %v, but a scan finds %v", word, found, want)
		}
		hits += len(found)
	}
	if hits < 300 {
		t.Errorf("300 words had %d hits only", hits)
	}
}

// servedTexts fetches all messages, which brings their bytes, and decodes them.
func (s *scene) servedTexts(t *testing.T, c *imapclient.Client) map[imap.UID]string {
	t.Helper()
	whole := &imap.FetchItemBodySection{Peek: true}
	texts := map[imap.UID]string{}
	all := imap.UIDSet{imap.UIDRange{Start: 1}}
	fetched := c.Fetch(all, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{whole}})
	for m := fetched.Next(); m != nil; m = fetched.Next() {
		b, err := m.Collect()
		if err != nil {
			t.Fatal(err)
		}
		text, err := plainmail.Text(b.FindBodySection(whole))
		if err != nil {
			t.Fatalf("UID %d: %v", b.UID, err)
		}
		texts[b.UID] = plainmail.Fold(text)
	}
	if err := fetched.Close(); err != nil {
		t.Fatal(err)
	}
	return texts
}

// graphSearchEqualsScan holds GraphQL's search against the same texts, once the
// gateway has seen that they are all here.
func (s *scene) graphSearchEqualsScan(t *testing.T, account string, texts map[imap.UID]string, words []string) {
	t.Helper()
	search := func(word string) []string {
		found := []string{}
		for after := any(nil); ; {
			var data struct {
				Account struct {
					Search struct {
						Edges    []struct{ Node struct{ MessageID string } }
						PageInfo struct {
							HasNextPage bool
							EndCursor   string
						}
					}
				}
			}
			s.query(`query($id: ID!, $q: String!, $after: String) { account(id: $id) { search(query: $q, first: 150, after: $after) {
				edges { node { messageId } } pageInfo { hasNextPage endCursor } } } }`, map[string]any{"id": account, "q": word, "after": after}, &data)
			page := data.Account.Search
			for _, e := range page.Edges {
				found = append(found, plainmail.Fold("<"+e.Node.MessageID+">"))
			}
			if after = page.PageInfo.EndCursor; !page.PageInfo.HasNextPage {
				slices.Sort(found)
				return found
			}
		}
	}
	scan := func(word string) []string {
		want := []string{}
		for _, text := range texts {
			if _, id, ok := strings.Cut(text, plainmail.Fold("Message-Id: ")); ok && strings.Contains(text, plainmail.Fold(word)) {
				id, _, _ = strings.Cut(id, "\n")
				want = append(want, id)
			}
		}
		slices.Sort(want)
		return want
	}
	// A piece of a word of each message's header, which no provider would find.
	s.eventually("all bodies are here", func() bool { return len(search("xample.or")) == len(texts) })
	for _, word := range append(words, "xample.or") {
		if got, want := search(word), scan(word); !slices.Equal(got, want) {
			t.Errorf("search %q: %v, but a scan finds %v", word, got, want)
		}
	}
}
