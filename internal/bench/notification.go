package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// bareUser is the references'; the gateway does not know it.
const bareUser = "bare@contoso.example"

// mailWorld is a world with an endpoint at the sink.
func (b *bench) mailWorld(ctx context.Context) (*world, string, error) {
	return b.mailWorldAt(ctx, usual(), bareUser)
}

func (b *bench) mailWorldAt(ctx context.Context, at cloud, bare string) (w *world, secret string, err error) {
	if w, err = b.worldAt(ctx, at); err != nil {
		return nil, "", err
	}
	if err = w.user(ctx, bare); err == nil {
		_, secret, err = w.endpoint(ctx, b.sink.url+"/hook")
	}
	if err != nil {
		return nil, "", errors.Join(err, w.close())
	}
	return w, secret, nil
}

// mailbox makes a user with some mail and connects the account, which is in step and pushed to
// when this returns. A provider grants each mailbox so many requests in some
// minutes, so that each run has one of its own.
func (w *world) mailbox(ctx context.Context, messages int) (address string, err error) {
	w.users++
	address = fmt.Sprintf("mail%d@%s", w.users, w.at.domain)
	if err := w.user(ctx, address); err != nil {
		return "", err
	}
	if err := w.fill(ctx, address, messages); err != nil {
		return "", err
	}
	account, err := w.connect(ctx, address)
	if err != nil {
		return "", err
	}
	if err := w.inStep(ctx, account); err != nil {
		return "", err
	}
	return address, w.gateway.until(ctx, "wait for push", func() (bool, error) {
		var got struct {
			Account struct{ Watch struct{ State string } }
		}
		err := w.query(ctx, `query($id: ID!) { account(id: $id) { watch { state } } }`, map[string]any{"id": account}, &got)
		return got.Account.Watch.State == "PUSH", err
	})
}

// notificationRows measure from a notification to webhook and subscriber. The
// floor is what nobody can do without: taking the notification, one request to
// the provider, one fsync, one signed request to the receiver.
func notificationRows(ctx context.Context, b *bench) (rows []row, err error) {
	w, secret, err := b.mailWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	body, err := b.sampleBody(ctx)
	if err != nil {
		return nil, err
	}
	d, err := w.direct(ctx, bareUser)
	if err != nil {
		return nil, err
	}
	n := b.count(300, 5)
	ours, ref, err := pair{name: "notification",
		path: func(ctx context.Context) (figures, error) { return b.notified(ctx, w, secret, n) },
		ref:  func(ctx context.Context) (figures, error) { return b.notifiedBare(ctx, w, d, body, n) },
	}.run(ctx, b)
	if err != nil {
		return nil, err
	}
	const floor = "POST + get at the provider + fsync + signed POST"
	for _, to := range []string{"webhook", "subscriber"} {
		for _, p := range []string{"p50", "p99"} {
			rows = append(rows, row{path: "notification to " + to + ", " + p, reference: floor, ours: ours[to+" "+p], theirs: ref[p], unit: "ms"})
		}
	}
	return rows, nil
}

func (b *bench) notified(ctx context.Context, w *world, secret string, n int) (got figures, err error) {
	if err := b.sink.order(ctx, orders{Secret: secret, Arrivals: true}); err != nil {
		return nil, err
	}
	address, err := w.mailbox(ctx, 0)
	if err != nil {
		return nil, err
	}
	sub, err := w.subscribe(ctx)
	if err != nil {
		return nil, err
	}
	defer sub.close()
	var hooks, subs []time.Duration
	for i := range n {
		w.relay.reset()
		id, err := w.deliver(ctx, address, i, "")
		if err != nil {
			return nil, err
		}
		at, err := b.sink.arrival(ctx, id)
		if err != nil {
			return nil, err
		}
		told, err := sub.wait(ctx, id)
		if err != nil {
			return nil, err
		}
		if began, ok := w.relay.since(); ok {
			hooks, subs = append(hooks, at.Sub(began)), append(subs, told.Sub(began))
		}
	}
	if len(hooks) < n/2 {
		return nil, fmt.Errorf("of %d messages %d were told by a notification", n, len(hooks))
	}
	return toBoth(hooks, subs), b.sink.check(ctx, n)
}

// toBoth are how long it took to webhook and subscriber.
func toBoth(hooks, subs []time.Duration) figures {
	slices.Sort(hooks)
	slices.Sort(subs)
	return figures{
		"webhook p50": milliseconds(percentile(hooks, 50)), "webhook p99": milliseconds(percentile(hooks, 99)),
		"subscriber p50": milliseconds(percentile(subs, 50)), "subscriber p99": milliseconds(percentile(subs, 99)),
	}
}

func (b *bench) notifiedBare(ctx context.Context, w *world, d *direct, body []byte, n int) (figures, error) {
	if err := b.sink.order(ctx, orders{Secret: bareSecret}); err != nil {
		return nil, err
	}
	p := b.poster(1)
	defer p.transport.CloseIdleConnections()
	hint := bytes.Repeat([]byte("n"), 500)
	id, err := w.deliver(ctx, bareUser, 1, "?notify=false")
	if err != nil {
		return nil, err
	}
	got, err := produce(1, n, func(_, i int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.sink.url+"/nothing", bytes.NewReader(hint))
		if err != nil {
			return err
		}
		if err := call(req, nil); err != nil {
			return err
		}
		if _, err := d.get(ctx, "/me/messages/"+url.PathEscape(id)); err != nil {
			return err
		}
		if _, err := b.fsyncs(1); err != nil {
			return err
		}
		return p.post(ctx, fmt.Sprintf("evt_%032d", i), body)
	})
	if err != nil {
		return nil, err
	}
	return got, b.sink.check(ctx, n)
}

// arrival waits until a message has come to the sink.
func (s *sink) arrival(ctx context.Context, providerID string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/arrivals/"+url.PathEscape(providerID), nil)
	if err != nil {
		return time.Time{}, err
	}
	var at int64
	err = call(req, &at)
	return time.Unix(0, at), err
}

// subscriber reads new messages by server-sent events.
type subscriber struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	told map[string]time.Time
	more chan struct{}
	err  error
}

func (w *world) subscribe(ctx context.Context) (*subscriber, error) {
	ctx, cancel := context.WithCancel(ctx)
	body, err := json.Marshal(map[string]any{"query": `subscription { events(types: [MESSAGE_CREATED]) { snapshot { providerId } } }`})
	if err != nil {
		cancel()
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+"/graphql", bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &subscriber{cancel: cancel, done: make(chan struct{}), told: map[string]time.Time{}, more: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if line, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
				s.note(field([]byte(line), `"providerId":"`), nil)
			}
		}
		s.note("", errors.Join(errors.New("the subscription ended"), lines.Err()))
	}()
	return s, nil
}

func (s *subscriber) note(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[id], s.err = time.Now(), err
	close(s.more)
	s.more = make(chan struct{})
}

// wait gives when a message was told.
func (s *subscriber) wait(ctx context.Context, id string) (time.Time, error) {
	for {
		s.mu.Lock()
		at, ok, more, err := s.told[id], !s.told[id].IsZero(), s.more, s.err
		s.mu.Unlock()
		if ok || err != nil {
			return at, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return at, ctx.Err()
		}
	}
}

func (s *subscriber) close() {
	s.cancel()
	<-s.done
}
