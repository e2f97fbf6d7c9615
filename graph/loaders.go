package graph

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// loaders are the reads of one answer.
type loaders struct {
	accounts    *loader[*store.Account]
	mailboxes   *loader[map[string]*store.Mailbox] // an account's, by id
	messages    *loader[*store.Message]
	threads     *loader[*store.Thread]
	submissions *loader[*store.Submission]
	events      *loader[*event.Event]
	attempts    *loader[[]store.Attempt]
	first       *loader[*store.Message] // a thread's oldest message
	contents    *loader[content]
	endpoints   *loader[map[string]*service.Endpoint] // all, under the empty key
}

type loadersKey struct{}

func loadersOf(ctx context.Context) *loaders { return ctx.Value(loadersKey{}).(*loaders) }

func (s *Server) withLoaders(ctx context.Context) context.Context {
	l := &loaders{
		accounts:    newLoader(ctx, readEach(s, store.Tx.Account)),
		mailboxes:   newLoader(ctx, readEach(s, mailboxesByID)),
		messages:    newLoader(ctx, readEach(s, store.Tx.Message)),
		threads:     newLoader(ctx, readEach(s, store.Tx.Thread)),
		submissions: newLoader(ctx, readEach(s, store.Tx.Submission)),
		events:      newLoader(ctx, readEach(s, store.Tx.EventByID)),
		attempts:    newLoader(ctx, readEach(s, store.Tx.AttemptsOf)),
		first:       newLoader(ctx, readEach(s, firstOfThread)),
		contents:    newLoader(ctx, s.readContents),
		endpoints:   newLoader(ctx, s.readEndpoints),
	}
	return context.WithValue(ctx, loadersKey{}, l)
}

func (l *loaders) reset() {
	l.accounts.reset()
	l.mailboxes.reset()
	l.messages.reset()
	l.threads.reset()
	l.submissions.reset()
	l.events.reset()
	l.attempts.reset()
	l.first.reset()
	l.contents.reset()
	l.endpoints.reset()
}

// readEach reads records in one transaction, leaving out those that are not there.
func readEach[V any](s *Server, read func(tx store.Tx, key string) (V, error)) func(context.Context, []string) (map[string]V, error) {
	return func(ctx context.Context, keys []string) (map[string]V, error) {
		found := make(map[string]V, len(keys))
		err := s.store.View(ctx, func(tx store.Tx) error {
			for _, key := range keys {
				v, err := read(tx, key)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					return fmt.Errorf("read %s: %w", key, err)
				}
				found[key] = v
			}
			return nil
		})
		return found, err
	}
}

func mailboxesByID(tx store.Tx, account string) (map[string]*store.Mailbox, error) {
	list, err := tx.MailboxesOf(account)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*store.Mailbox, len(list))
	for _, m := range list {
		byID[m.ID] = m
	}
	return byID, nil
}

func firstOfThread(tx store.Tx, thread string) (*store.Message, error) {
	keys, err := tx.MessagesOfThread(thread, store.DateKey{}, 1)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return tx.Message(keys[0].ID)
}

// maxFetches is how many messages of one answer are brought at once. The provider's
// own limits are kept by its plugin.
const maxFetches = 8

// content is a message's content, or why it cannot be had: one that fails does
// not fail the others.
type content struct {
	*mime.Content
	err error
}

// readContents reads contents side by side: each may come from the provider.
func (s *Server) readContents(ctx context.Context, ids []string) (map[string]content, error) {
	found := make(map[string]content, len(ids))
	var mu sync.Mutex
	var wait sync.WaitGroup
	slots := make(chan struct{}, maxFetches)
	for _, id := range ids {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			c, err := guarded(func() (*mime.Content, error) { return s.services.Reader.Content(ctx, id) })
			mu.Lock()
			defer mu.Unlock()
			found[id] = content{c, err}
		})
	}
	wait.Wait()
	return found, nil
}

// readEndpoints reads all endpoints under the one key there is.
func (s *Server) readEndpoints(ctx context.Context, keys []string) (map[string]map[string]*service.Endpoint, error) {
	list, err := s.services.Endpoints.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*service.Endpoint, len(list))
	for _, e := range list {
		byID[e.ID] = e
	}
	return map[string]map[string]*service.Endpoint{keys[0]: byID}, nil
}
