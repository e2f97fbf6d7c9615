package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// syncRows compare the first sync of an account with the bare transfer of the
// same pages: the same questions, three mailboxes at once, answers thrown away.
func syncRows(ctx context.Context, b *bench) (rows []row, err error) {
	w, _, err := b.mailWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	n := b.count(5000, 50)
	if err := w.fill(ctx, bareUser, n); err != nil {
		return nil, err
	}
	d, err := w.direct(ctx, bareUser)
	if err != nil {
		return nil, err
	}
	ours, ref, err := pair{name: "first sync",
		path: func(ctx context.Context) (figures, error) { return w.firstSync(ctx, n) },
		ref:  func(ctx context.Context) (figures, error) { return d.transfer(ctx, n) },
	}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	return []row{{path: fmt.Sprintf("first sync of %d messages", n), reference: "bare transfer of the same pages",
		ours: ours["rate"], theirs: ref["rate"], unit: "messages/s"}}, nil
}

// firstSync measures from the owner's sign-in to the account being in step.
func (w *world) firstSync(ctx context.Context, n int) (figures, error) {
	w.users++
	return w.firstSyncOf(ctx, fmt.Sprintf("mail%d@%s", w.users, w.at.domain), n)
}

func (w *world) firstSyncOf(ctx context.Context, address string, n int) (figures, error) {
	if err := w.user(ctx, address); err != nil {
		return nil, err
	}
	if err := w.fill(ctx, address, n); err != nil {
		return nil, err
	}
	began := time.Now()
	account, err := w.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := w.inStep(ctx, account); err != nil {
		return nil, err
	}
	took := time.Since(began)
	total, err := w.total(ctx, account)
	if err == nil && total != n {
		err = fmt.Errorf("%d messages are there, and %d in the mirror", n, total)
	}
	return figures{"rate": float64(n) / took.Seconds()}, err
}

// total counts the account's messages in the mirror: where a mailbox holds all
// mail, what the others hold is in it.
func (w *world) total(ctx context.Context, account string) (n int, err error) {
	var got struct {
		Account struct {
			Mailboxes []struct {
				Role  string
				Total int
			}
		}
	}
	err = w.query(ctx, `query($id: ID!) { account(id: $id) { mailboxes { role total } } }`, map[string]any{"id": account}, &got)
	for _, m := range got.Account.Mailboxes {
		if m.Role == "ALL" {
			return m.Total, err
		}
		n += m.Total
	}
	return n, err
}

// page is as much as a transfer reads of an answer.
type page struct {
	Value []struct {
		ID string `json:"id"`
	} `json:"value"`
	Next string `json:"@odata.nextLink"`
}

// transfer reads every page of every mailbox.
func (d *direct) transfer(ctx context.Context, n int) (figures, error) {
	began := time.Now()
	var folders page
	body, err := d.get(ctx, "/me/mailFolders?includeHiddenFolders=true&$top=100")
	if err == nil {
		err = json.Unmarshal(body, &folders)
	}
	if err != nil {
		return nil, err
	}
	query := url.Values{
		"$select": {"id,changeKey,parentFolderId,conversationId,internetMessageId,subject,bodyPreview,importance,hasAttachments," +
			"from,sender,toRecipients,ccRecipients,bccRecipients,replyTo,receivedDateTime,sentDateTime,isRead,isDraft,flag,categories"},
		"$expand":  {"singleValueExtendedProperties($filter=id eq 'Integer 0x1081' or id eq 'Integer 0x0E08')"},
		"$orderby": {"receivedDateTime desc"},
	}.Encode()
	var mu sync.Mutex
	seen := map[string]struct{}{} // an entry may be told twice
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(3)
	for _, f := range folders.Value {
		g.Go(func() error {
			for next := "/me/mailFolders/" + url.PathEscape(f.ID) + "/messages/delta?" + query; next != ""; {
				body, err := d.get(ctx, next)
				if err != nil {
					return err
				}
				var p page
				if err := json.Unmarshal(body, &p); err != nil {
					return err
				}
				mu.Lock()
				for _, m := range p.Value {
					seen[m.ID] = struct{}{}
				}
				mu.Unlock()
				next = p.Next
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if len(seen) != n {
		return nil, fmt.Errorf("%d messages are there, and %d were transferred", n, len(seen))
	}
	return figures{"rate": float64(n) / time.Since(began).Seconds()}, nil
}
