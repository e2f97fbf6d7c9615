package mailbox

import (
	"context"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Search finds an account's messages. Where the provider can search, it does,
// over everything it has; elsewhere subject, senders, recipients and previews
// of the mirror are looked through, newest first. It gives ids of messages in
// the mirror and the token of the next page, empty at the end.
func (s *Service) Search(ctx context.Context, account, query string, first int, after string) ([]string, string, error) {
	query = strings.TrimSpace(query)
	if query == "" {
		return nil, "", mail.Errorf(mail.KindInvalid, "search", "the query is empty")
	}
	acct, err := s.account(ctx, account)
	if err != nil {
		return nil, "", err
	}
	p, info, err := s.plug(acct)
	if err != nil {
		return nil, "", err
	}
	if !info.Has(provider.CapSearch) {
		return s.searchMirror(ctx, acct, query, first, after)
	}
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
			} else if err != store.ErrNotFound {
				return err
			}
		}
		return nil
	})
	return ids, resp.NextPageToken, err
}

// searchMirror looks through the mirror's own metadata in short transactions.
func (s *Service) searchMirror(ctx context.Context, acct *store.Account, query string, first int, after string) ([]string, string, error) {
	from, err := parseDateKey(after)
	if err != nil {
		return nil, "", err
	}
	query = strings.ToLower(query)
	var ids []string
	for {
		n := 0
		err := s.store.View(ctx, func(tx store.Tx) error {
			keys, err := tx.MessagesOf(acct.ID, from, 200)
			if err != nil {
				return err
			}
			for _, k := range keys {
				m, err := tx.Message(k.ID)
				if err != nil {
					return err
				}
				n++
				from = k
				if mentions(m, query) {
					if ids = append(ids, m.ID); len(ids) == first {
						return nil
					}
				}
			}
			return nil
		})
		if err != nil || n == 0 {
			return ids, "", err
		}
		if len(ids) == first {
			return ids, formatDateKey(from), nil
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
	}
}

func mentions(m *store.Message, query string) bool {
	if strings.Contains(strings.ToLower(m.Subject), query) || strings.Contains(strings.ToLower(m.Preview), query) {
		return true
	}
	for _, list := range [][]mail.Address{m.From, m.To, m.Cc} {
		for _, a := range list {
			if strings.Contains(strings.ToLower(a.Name+" "+a.Email), query) {
				return true
			}
		}
	}
	return false
}
