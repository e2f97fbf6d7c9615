package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// idles measures how long a client that idles waits for news: from the journal
// entry at the gateway, from the other client's OK at Dovecot.
func (m *imapMailbox) idles(ctx context.Context) ([]row, error) {
	ours, err := m.idleOurs(ctx, min(m.b.count(50, 3), m.expected.n))
	if err != nil {
		return nil, fmt.Errorf("idle: %w", err)
	}
	p50, p99 := quantiles(ours)
	var theirs float64
	if m.dovecot != nil {
		all, err := m.idleDovecot(ctx, min(m.b.count(10, 2), m.expected.n))
		if err != nil {
			return nil, fmt.Errorf("idle, Dovecot: %w", err)
		}
		theirs, _ = quantiles(all)
	}
	first := row{path: "IMAP, IDLE: from the journal entry to the client, p50", ours: p50, unit: "ms", goal: "10 ms", met: p50 <= 10}
	if m.dovecot != nil {
		first.reference, first.theirs = "Dovecot, from the OK to who made the change", theirs
	}
	return []row{first, {path: "IMAP, IDLE: from the journal entry to the client, p99", ours: p99, unit: "ms"}}, nil
}

// idleOurs flags messages by GraphQL, one after the other, while a client idles.
func (m *imapMailbox) idleOurs(ctx context.Context, n int) (waits []time.Duration, err error) {
	var got struct {
		Account struct {
			Messages struct {
				Edges []struct{ Node struct{ ID string } }
			}
		}
	}
	err = m.w.query(ctx, `query($id: ID!, $n: Int!) { account(id: $id) { messages(first: $n) { edges { node { id } } } } }`, map[string]any{"id": m.account, "n": n}, &got)
	if err != nil {
		return nil, err
	}
	before, err := m.updates(ctx)
	if err != nil {
		return nil, err
	}
	c, err := m.ours.login(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	tag, err := c.idle()
	if err != nil {
		return nil, err
	}
	var told []time.Time
	for _, e := range got.Account.Messages.Edges {
		flagged := make(chan error, 1)
		go func() {
			flagged <- m.w.query(ctx, `mutation($id: ID!) { updateMessages(ids: [$id], addKeywords: ["$flagged"]) { __typename } }`, map[string]any{"id": e.Node.ID}, nil)
		}()
		at, err := c.told("FETCH")
		if err := errors.Join(err, <-flagged); err != nil {
			return nil, err
		}
		told = append(told, at)
	}
	if err := c.done(tag); err != nil {
		return nil, err
	}
	after, err := m.updates(ctx)
	if err != nil {
		return nil, err
	}
	if after = after[len(before):]; len(after) != len(told) {
		return nil, fmt.Errorf("%d entries were journalled, and %d told", len(after), len(told))
	}
	for i := range told {
		waits = append(waits, told[i].Sub(after[i]))
	}
	return waits, nil
}

// updates are the times of the account's entries of changed messages.
func (m *imapMailbox) updates(ctx context.Context) (times []time.Time, err error) {
	for after := (*string)(nil); ; {
		var got struct {
			Events struct {
				Edges    []struct{ Node struct{ Time time.Time } }
				PageInfo struct {
					HasNextPage bool
					EndCursor   *string
				}
			}
		}
		err := m.w.query(ctx, `query($id: ID!, $after: String) { events(accounts: [$id], types: [MESSAGE_UPDATED], after: $after, first: 500) { edges { node { time } } pageInfo { hasNextPage endCursor } } }`,
			map[string]any{"id": m.account, "after": after}, &got)
		if err != nil {
			return nil, err
		}
		for _, e := range got.Events.Edges {
			times = append(times, e.Node.Time)
		}
		if after = got.Events.PageInfo.EndCursor; !got.Events.PageInfo.HasNextPage || after == nil {
			return times, nil
		}
	}
}

// idleDovecot has a second client change flags.
func (m *imapMailbox) idleDovecot(ctx context.Context, n int) (waits []time.Duration, err error) {
	idler, err := m.dovecot.server.login(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, idler.close()) }()
	other, err := m.dovecot.server.login(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, other.close()) }()
	tag, err := idler.idle()
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := other.do(fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Flagged)`, m.expected.n-i), nil); err != nil {
			return nil, err
		}
		done := time.Now()
		at, err := idler.told("FETCH")
		if err != nil {
			return nil, err
		}
		waits = append(waits, max(at.Sub(done), 0))
	}
	return waits, idler.done(tag)
}
