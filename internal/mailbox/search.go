package mailbox

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// TextSearcher finds messages by their text, *textindex.Index say.
type TextSearcher interface {
	// Search looks through messages of an account, and gives a result for each.
	Search(ctx context.Context, account string, q textindex.Query, messages []string) ([]textindex.Result, error)
	// Touch has an account looked at soon, of which many texts have come.
	Touch(account string)
}

const (
	// maxWords is how many different words a query may have.
	maxWords = 64
	// stretch is how many messages, newest first, are looked at together. Each
	// stretch is four times the one before, up to maxStretch: what many have is
	// found at once, and what is rare costs few questions to the index.
	stretch    = 512
	maxStretch = 32 << 10
	// maxLooked is about how many messages one page looks at.
	maxLooked = 128 << 10
	// mark of a page token that is a place in the mirror, and not the provider's.
	ownPlace = "\x00"
)

// Search finds an account's messages that hold all words of a query. It gives
// ids of messages in the mirror and the token of the next page, empty at the
// end; a page may be short of first, and not the last.
//
// Where the text of all of the account's messages is here, the mirror is looked
// through, newest first, and the provider need not be there at all. Elsewhere
// the provider is asked, over everything it has, and the mirror only where it
// cannot search. A search stays where it began.
func (s *Service) Search(ctx context.Context, account, query string, first int, after string) ([]string, string, error) {
	words, err := queryWords(query)
	if err != nil {
		return nil, "", err
	}
	acct, err := s.account(ctx, account)
	if err != nil {
		return nil, "", err
	}
	place, here := strings.CutPrefix(after, ownPlace)
	if here || after == "" && s.isWhole(ctx, acct) {
		return s.searchMirror(ctx, account, words, first, place)
	}
	p, info, err := s.plug(acct)
	if err != nil {
		return nil, "", err
	}
	if !info.Has(provider.CapSearch) {
		return s.searchMirror(ctx, account, words, first, place)
	}
	return s.searchProvider(ctx, p, account, strings.TrimSpace(query), first, after)
}

// isWhole reports whether the text of all of an account's messages is here, but
// for a few that came of late.
func (s *Service) isWhole(ctx context.Context, acct *store.Account) bool {
	return s.opts.Text != nil && s.wantsAll(ctx, acct) && s.fill.isWhole(acct.ID)
}

// queryWords are the words of a query, folded, each once, the longest first: it
// tells most. What is part of another word is found with that.
func queryWords(query string) ([]string, error) {
	var words []string
	all := strings.Fields(mime.Fold(query))
	slices.SortStableFunc(all, func(a, b string) int {
		return cmp.Compare(utf8.RuneCountInString(b), utf8.RuneCountInString(a))
	})
	for _, w := range all {
		if slices.ContainsFunc(words, func(longer string) bool { return strings.Contains(longer, w) }) {
			continue
		}
		if words = append(words, w); len(words) > maxWords {
			return nil, mail.Errorf(mail.KindInvalid, "search", "the query has more than %d words", maxWords)
		}
	}
	if len(words) == 0 {
		return nil, mail.Errorf(mail.KindInvalid, "search", "the query is empty")
	}
	return words, nil
}

// searchProvider asks the provider, and gives what the mirror has of its answer.
func (s *Service) searchProvider(ctx context.Context, p provider.Provider, account, query string, first int, after string) ([]string, string, error) {
	resp, err := p.Search(ctx, &provider.SearchRequest{
		Call: provider.Call{Account: account, Priority: provider.Interactive},
		Text: query, Limit: first, PageToken: after,
	})
	if err != nil {
		return nil, "", err
	}
	var ids []string
	err = s.store.View(ctx, func(tx store.Tx) error {
		ids = ids[:0]
		for _, pid := range resp.IDs {
			id := MessageID(account, pid)
			if _, err := tx.Message(id); err == nil {
				ids = append(ids, id)
			} else if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	return ids, resp.NextPageToken, err
}

// searchMirror looks through the mirror, newest first.
func (s *Service) searchMirror(ctx context.Context, account string, words []string, first int, after string) (ids []string, next string, err error) {
	from, err := parseDateKey(after)
	if err != nil {
		return nil, "", err
	}
	var last store.DateKey
	for looked, size := 0, stretch; ; size = min(4*size, maxStretch) {
		var keys []store.DateKey
		err := s.store.View(ctx, func(tx store.Tx) (err error) {
			keys, err = tx.MessagesOf(account, from, size)
			return err
		})
		if err != nil {
			return nil, "", err
		}
		end := len(keys) < size
		if !end {
			from = keys[size-1]
		}
		found, err := s.holding(ctx, account, words, keys)
		if err != nil {
			return nil, "", err
		}
		for _, k := range found {
			if len(ids) == first {
				return ids, ownPlace + formatDateKey(last), nil
			}
			ids, last = append(ids, k.ID), k
		}
		if end {
			return ids, "", nil
		}
		if looked += size; looked >= s.looked {
			return ids, ownPlace + formatDateKey(from), nil
		}
	}
}

// holding gives those of an account's messages that hold all words. The memory of
// keys is used up.
func (s *Service) holding(ctx context.Context, account string, words []string, keys []store.DateKey) ([]store.DateKey, error) {
	for _, word := range words {
		if len(keys) == 0 {
			return nil, nil
		}
		ids := make([]string, len(keys))
		for i, k := range keys {
			ids[i] = k.ID
		}
		q := textindex.Query{Text: word}
		results := make([]textindex.Result, len(ids))
		if s.opts.Text == nil {
			for i := range results {
				results[i] = textindex.Unknown
			}
		} else {
			var err error
			if results, err = s.opts.Text.Search(ctx, account, q, ids); err != nil {
				return nil, err
			}
		}
		if err := s.lookInMetadata(ctx, q, ids, results); err != nil {
			return nil, err
		}
		some := keys[:0]
		for i, k := range keys {
			if results[i] == textindex.Yes {
				some = append(some, k)
			}
		}
		keys = some
	}
	return keys, nil
}

// lookInMetadata decides of messages whose text is not here by what the provider
// told of them, in short transactions.
func (s *Service) lookInMetadata(ctx context.Context, q textindex.Query, ids []string, results []textindex.Result) error {
	var which []int
	for i, r := range results {
		if r == textindex.Unknown {
			which = append(which, i)
		}
	}
	for some := range slices.Chunk(which, 200) {
		err := s.store.View(ctx, func(tx store.Tx) error {
			for _, i := range some {
				m, err := tx.Message(ids[i])
				if errors.Is(err, store.ErrNotFound) {
					continue // it is gone
				}
				if err != nil {
					return err
				}
				if textindex.InMetadata(m, q) || strings.Contains(mime.Fold(m.Preview), q.Text) {
					results[i] = textindex.Yes
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
