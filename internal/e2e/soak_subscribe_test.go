package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// soakTypes are all types of event, as GraphQL has them.
var soakTypes = []string{"MESSAGE_CREATED", "MESSAGE_UPDATED", "MESSAGE_DELETED", "MAILBOX_CREATED", "MAILBOX_UPDATED", "MAILBOX_DELETED",
	"ACCOUNT_CONNECTED", "ACCOUNT_SYNCED", "ACCOUNT_GRANT_EXPIRED", "ACCOUNT_RECOVERED", "SUBMISSION_SENT", "SUBMISSION_FAILED"}

// toldEvent is an event as GraphQL tells it.
type toldEvent struct {
	ID, Cursor, Type, AccountID, MessageID, SubmissionID string

	Sequence                                                           int64
	AddedKeywords, RemovedKeywords, AddedMailboxIDs, RemovedMailboxIDs []string
	Snapshot                                                           *struct {
		ProviderID, Subject  string
		MailboxIDs, Keywords []string
	}
}

const toldEventFields = `id cursor type accountId messageId submissionId sequence addedKeywords removedKeywords addedMailboxIds removedMailboxIds
	snapshot { providerId subject mailboxIds keywords }`

// subscriber follows the journal from its last cursor on, over a connection
// that is cut again and again.
type subscriber struct {
	name   string
	s      *soak
	via    *cutter
	client *http.Client
	follow func(context.Context, *subscriber) error

	mu     sync.Mutex
	rng    *rand.Rand
	cursor string
	at     map[string]int64 // sequence by account
	ids    []string
	cutAt  int // the number of events with which the next cut comes
	wrong  []string
}

// subscribe starts the three, before anything has happened.
func (s *soak) subscribe() {
	s.t.Helper()
	var got struct {
		Events struct{ PageInfo struct{ EndCursor string } }
	}
	s.query(`{ events(first: 1) { pageInfo { endCursor } } }`, nil, &got)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	s.t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	for i, follow := range []func(context.Context, *subscriber) error{followSocket, followStream, followPages} {
		u := &subscriber{name: []string{"graphql-transport-ws", "SSE", "events(after:)"}[i], s: s, follow: follow,
			via: newCutter(s.t, strings.TrimPrefix(s.base, "http://")), client: &http.Client{Transport: &http.Transport{}},
			rng: rand.New(rand.NewPCG(s.plan.seed, 50+uint64(i))), cursor: got.Events.PageInfo.EndCursor, at: map[string]int64{}}
		u.cutAt = 5
		s.subs = append(s.subs, u)
		group.Go(func() { u.run(ctx) })
	}
}

func (u *subscriber) url() string { return "http://" + u.via.l.Addr().String() + "/graphql" }

// run follows until ctx ends; whatever breaks is begun again.
func (u *subscriber) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := u.follow(ctx, u); errors.Is(err, errRefused) {
			u.mu.Lock()
			u.wrong = append(u.wrong, err.Error())
			u.mu.Unlock()
			return
		}
		u.client.CloseIdleConnections()
		time.Sleep(5 * time.Millisecond) // the gateway may be down
	}
}

// errRefused is an answer that no restart explains.
var errRefused = errors.New("refused")

func refused(errs []gqlError) error {
	for _, e := range errs {
		switch e.Extensions.Code {
		case "UNAVAILABLE", "THROTTLED":
			return errors.New("the gateway is stopping")
		}
	}
	return fmt.Errorf("%w: %v", errRefused, errs)
}

func (u *subscriber) after() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cursor
}

func (u *subscriber) seen() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.ids)
}

func (u *subscriber) complaints() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.wrong)
}

// saw takes one event.
func (u *subscriber) saw(e *toldEvent) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if want := u.at[e.AccountID] + 1; e.Sequence != want {
		u.wrong = append(u.wrong, fmt.Sprintf("event %d: account %q: sequence %d, want %d (%s)", len(u.ids), e.AccountID, e.Sequence, want, e.Type))
	}
	if slices.Contains(u.ids, e.ID) {
		u.wrong = append(u.wrong, fmt.Sprintf("event %d came again: %+v", len(u.ids), e))
	}
	u.at[e.AccountID], u.cursor = e.Sequence, e.Cursor
	u.ids = append(u.ids, e.ID)
	if len(u.ids) < u.cutAt || u.via.count() >= u.s.plan.cuts {
		return
	}
	// As many cuts as wanted before a third of what will be told: the rest may
	// come in few large pieces.
	p := u.s.plan
	apart := max(2, (p.deliveries+3*p.submissions)/3/p.cuts)
	u.cutAt = len(u.ids) + 1 + u.rng.IntN(2*apart-1)
	u.via.arm(u.rng.IntN(1500))
}

const soakSubscription = `subscription($after: String) { events(after: $after, backfill: true) { ` + toldEventFields + ` } }`

// result is one answer of a stream.
type result struct {
	Data   *struct{ Events toldEvent }
	Errors []gqlError
}

func (u *subscriber) take(payload []byte) error {
	var r result
	if err := json.Unmarshal(payload, &r); err != nil {
		return fmt.Errorf("%w: %w in %q", errRefused, err, payload)
	}
	if len(r.Errors) > 0 || r.Data == nil {
		return refused(r.Errors)
	}
	u.saw(&r.Data.Events)
	return nil
}

// followSocket follows over graphql-transport-ws.
func followSocket(ctx context.Context, u *subscriber) error {
	conn, _, err := websocket.Dial(ctx, strings.Replace(u.url(), "http", "ws", 1), &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"},
		HTTPClient: u.client, HTTPHeader: http.Header{"Authorization": {"Bearer " + u.s.info.APIKey}}})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	begin, _ := json.Marshal(map[string]any{"id": "1", "type": "subscribe",
		"payload": map[string]any{"query": soakSubscription, "variables": map[string]any{"after": u.after()}}}) // strings only
	write := func(text string) error { return conn.Write(ctx, websocket.MessageText, []byte(text)) }
	if err := write(`{"type":"connection_init"}`); err != nil {
		return err
	}
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var f struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(data, &f); err != nil {
			return fmt.Errorf("%w: %w in %q", errRefused, err, data)
		}
		switch f.Type {
		case "connection_ack":
			err = write(string(begin))
		case "ping":
			err = write(`{"type":"pong"}`)
		case "next":
			err = u.take(f.Payload)
		case "error":
			var errs []gqlError
			_ = json.Unmarshal(f.Payload, &errs)
			err = refused(errs)
		case "complete":
			err = errors.New("complete")
		}
		if err != nil {
			return err
		}
	}
}

// post asks through the cutter.
func (u *subscriber) post(ctx context.Context, accept, query string) (*http.Response, error) {
	body, _ := json.Marshal(map[string]any{"query": query, "variables": map[string]any{"after": u.after()}}) // strings only
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+u.s.info.APIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", accept)
	return u.client.Do(req)
}

// followStream follows over server-sent events.
func followStream(ctx context.Context, u *subscriber) error {
	resp, err := u.post(ctx, "text/event-stream", soakSubscription)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err // the last line is torn
		}
		if data, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "data: "); ok && data != "" {
			if err := u.take([]byte(data)); err != nil {
				return err
			}
		}
	}
}

// followPages asks for page after page.
func followPages(ctx context.Context, u *subscriber) error {
	for {
		resp, err := u.post(ctx, "application/json", `query($after: String) { events(after: $after, first: 20) {
			edges { node { `+toldEventFields+` } } pageInfo { endCursor hasNextPage } } }`)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		var page eventPage
		if err := json.Unmarshal(b, &page); err != nil {
			return fmt.Errorf("%w: %w in %q", errRefused, err, b)
		}
		if len(page.Errors) > 0 {
			return refused(page.Errors)
		}
		for i := range page.Data.Events.Edges {
			u.saw(&page.Data.Events.Edges[i].Node)
		}
		if page.Data.Events.PageInfo.HasNextPage {
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// eventPage is an answer to events(after:).
type eventPage struct {
	Data   struct{ Events eventList }
	Errors []gqlError
}

type eventList struct {
	Edges    []struct{ Node toldEvent }
	PageInfo struct {
		EndCursor   string
		HasNextPage bool
	}
}
