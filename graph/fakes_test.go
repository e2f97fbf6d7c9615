package graph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// fakes are the services, small but working: what they change is in the store and
// the journal afterwards.
type fakes struct {
	w *world

	mu        sync.Mutex
	contents  map[string]*mime.Content
	endpoints []*service.Endpoint
	// fail makes a method (by name) or a message (by id) fail.
	fail map[string]error
	// panics names a method that panics.
	panics string
	// hold makes Content wait until its context ends.
	hold bool
	// What was handed in last.
	connect   service.ConnectInput
	submitted service.SubmitInput
	sent      []byte // the bytes of its first attachment, or raw
	renamed   struct{ name, parent *string }
	changed   service.EndpointChange
	created   service.EndpointInput
	rotation  service.Rotation
	tested    event.Type
	replay    service.Replay
	revoked   [2]bool
	// passwords are the app passwords by account.
	passwords   map[string][]*store.AppPassword
	newPassword service.AppPasswordInput
	calls       map[string]int
	open        int
}

// called counts a call and gives the failure that was ordered.
func (f *fakes) called(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[name]++
	if f.panics == name {
		panic("ordered by the test")
	}
	return f.fail[name]
}

func (f *fakes) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

func (f *fakes) failing(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[name] = err
}

func (f *fakes) setContent(id string, c *mime.Content) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.contents[id] = c
}

func (f *fakes) Authenticate(_ context.Context, k string) (*service.Principal, error) {
	if err := f.called("Authenticate"); err != nil {
		return nil, err
	}
	if k != key {
		return nil, &mail.Error{Kind: mail.KindUnauthorized, Message: "this key is not known"}
	}
	return &service.Principal{ID: "key_1", Name: "the tests"}, nil
}

func (f *fakes) Providers(context.Context) ([]*service.Provider, error) {
	return []*service.Provider{
		{ID: "outpost", Title: "Outpost Mail", State: service.ProviderReady},
		{ID: "elsewhere", Title: "Elsewhere", State: service.ProviderMisconfigured, Reason: "the client secret is wrong"},
	}, f.called("Providers")
}

func (f *fakes) BeginConnect(_ context.Context, in service.ConnectInput) (service.ConnectLink, error) {
	f.connect = in
	return service.ConnectLink{URL: "http://localhost:8080/connect/abc", ExpiresAt: f.w.clock().Add(10 * time.Minute)}, f.called("BeginConnect")
}

func (f *fakes) UpdateAccount(ctx context.Context, id string, ch service.AccountChange) (a *store.Account, err error) {
	if err := f.called("UpdateAccount"); err != nil {
		return nil, err
	}
	err = f.w.store.Update(ctx, func(tx store.Tx) (err error) {
		if a, err = tx.Account(id); err != nil {
			return err
		}
		if ch.Mirror != nil {
			a.Mirror = *ch.Mirror
		}
		if ch.Paused != nil {
			a.Paused = *ch.Paused
		}
		if ch.ExternalID != nil {
			a.ExternalID = *ch.ExternalID
		}
		return tx.PutAccount(a)
	})
	return a, err
}

func (f *fakes) DisconnectAccount(ctx context.Context, id string, revoke, erase bool) error {
	if err := f.called("DisconnectAccount"); err != nil {
		return err
	}
	f.revoked = [2]bool{revoke, erase}
	return f.w.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		if _, err := b.Add(&event.Event{Type: event.AccountDisconnected, Account: id}); err != nil {
			return err
		}
		return tx.DeleteAccount(id)
	})
}

func (f *fakes) Identities(_ context.Context, a *store.Account) ([]mail.Identity, error) {
	return []mail.Identity{{Email: a.Address, Default: true}, {Email: "sales@example.com", Name: "Sales", ReplyTo: "orders@example.com"}}, f.called("Identities")
}

func (f *fakes) SyncAccount(context.Context, string) error { return f.called("SyncAccount") }

func (f *fakes) CreateMailbox(ctx context.Context, account, parent, name string) (*store.Mailbox, error) {
	if err := f.called("CreateMailbox"); err != nil {
		return nil, err
	}
	m := &store.Mailbox{ID: event.HashID("f", account, name), Account: account, ProviderID: "p-" + name, Name: name, Parent: parent, Kind: mail.KindFolder}
	return m, f.w.store.Update(ctx, func(tx store.Tx) error { return tx.PutMailbox(m) })
}

func (f *fakes) RenameMailbox(ctx context.Context, id string, name, parent *string) (m *store.Mailbox, err error) {
	if err := f.called("RenameMailbox"); err != nil {
		return nil, err
	}
	f.renamed.name, f.renamed.parent = name, parent
	err = f.w.store.Update(ctx, func(tx store.Tx) (err error) {
		if m, err = tx.Mailbox(id); err != nil {
			return err
		}
		if name != nil {
			m.Name = *name
		}
		if parent != nil {
			m.Parent = *parent
		}
		return tx.PutMailbox(m)
	})
	return m, err
}

func (f *fakes) DeleteMailbox(ctx context.Context, id string) error {
	if err := f.called("DeleteMailbox"); err != nil {
		return err
	}
	return f.w.store.Update(ctx, func(tx store.Tx) error { return tx.DeleteMailbox(id) })
}

// each changes messages one by one, journals them, and leaves out nothing.
func (f *fakes) each(ctx context.Context, name string, ids []string, change func(tx store.Tx, m *store.Message) error) ([]service.MessageResult, error) {
	if err := f.called(name); err != nil {
		return nil, err
	}
	var results []service.MessageResult
	for _, id := range ids {
		r := service.MessageResult{ID: id}
		if r.Err = f.fail[id]; r.Err == nil {
			r.Err = f.w.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) (err error) {
				if r.Message, err = tx.Message(id); err != nil {
					return err
				}
				if _, err := b.Add(&event.Event{Type: event.MessageUpdated, Account: r.Message.Account, Message: id}); err != nil {
					return err
				}
				return change(tx, r.Message)
			})
		}
		results = append(results, r)
	}
	slices.Reverse(results) // in any order
	return results, nil
}

func (f *fakes) UpdateMessages(ctx context.Context, ids []string, u service.MessageUpdate) ([]service.MessageResult, error) {
	return f.each(ctx, "UpdateMessages", ids, func(tx store.Tx, m *store.Message) error {
		m.Keywords = change(m.Keywords, u.AddKeywords, u.RemoveKeywords)
		m.In = change(m.In, u.AddMailboxes, u.RemoveMailboxes)
		return tx.PutMessage(m)
	})
}

func (f *fakes) MoveMessages(ctx context.Context, ids []string, to string) ([]service.MessageResult, error) {
	return f.each(ctx, "MoveMessages", ids, func(tx store.Tx, m *store.Message) error {
		m.In = []string{to}
		return tx.PutMessage(m)
	})
}

func (f *fakes) CopyMessages(ctx context.Context, ids []string, to string) ([]service.MessageResult, error) {
	return f.each(ctx, "CopyMessages", ids, func(tx store.Tx, m *store.Message) error {
		m.ProviderID += "-copy"
		m.ID, m.In = event.HashID("m", m.Account, m.ProviderID), []string{to}
		return tx.PutMessage(m)
	})
}

func (f *fakes) DeleteMessages(ctx context.Context, ids []string, permanently bool) ([]service.MessageResult, error) {
	results, err := f.each(ctx, "DeleteMessages", ids, func(tx store.Tx, m *store.Message) error {
		if !permanently {
			return nil
		}
		return tx.DeleteMessage(m.ID, m.ModSeq+1)
	})
	if permanently {
		for i := range results {
			results[i].Message = nil
		}
	}
	return results, err
}

func (f *fakes) Content(ctx context.Context, id string) (*mime.Content, error) {
	if err := f.called("Content"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	c, err, hold := f.contents[id], f.fail[id], f.hold
	f.mu.Unlock()
	if hold {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err == nil && c == nil {
		err = store.ErrNotFound
	}
	return c, err
}

// Search finds by subject, in pages whose token is the number of what came before.
func (f *fakes) Search(ctx context.Context, account, query string, first int, after string) (ids []string, next string, err error) {
	if err := f.called("Search"); err != nil {
		return nil, "", err
	}
	skip := 0
	if after != "" {
		if _, err := fmt.Sscanf(after, "page-%d", &skip); err != nil {
			return nil, "", err
		}
	}
	err = f.w.store.View(ctx, func(tx store.Tx) error {
		keys, err := tx.MessagesOf(account, store.DateKey{}, 1000)
		if err != nil {
			return err
		}
		for _, k := range keys {
			m, err := tx.Message(k.ID)
			if err != nil {
				return err
			}
			if strings.Contains(m.Subject, query) {
				ids = append(ids, m.ID)
			}
		}
		return nil
	})
	ids = ids[min(skip, len(ids)):]
	if len(ids) > first {
		ids, next = ids[:first], fmt.Sprintf("page-%d", skip+first)
	}
	return ids, next, err
}

type openBytes struct {
	*bytes.Reader
	f *fakes
}

func (o openBytes) Close() error {
	o.f.mu.Lock()
	defer o.f.mu.Unlock()
	o.f.open--
	return nil
}

func (f *fakes) opened(s string) io.ReadSeekCloser {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	return openBytes{bytes.NewReader([]byte(s)), f}
}

func (f *fakes) Raw(_ context.Context, id string) (io.ReadSeekCloser, time.Time, error) {
	if err := f.called("Raw"); err != nil {
		return nil, time.Time{}, err
	}
	if f.contents[id] == nil {
		return nil, time.Time{}, store.ErrNotFound
	}
	return f.opened("Subject: x\r\n\r\nraw of " + id), epoch0, nil
}

func (f *fakes) Attachment(_ context.Context, id, part string) (io.ReadSeekCloser, string, string, error) {
	if err := f.called("Attachment"); err != nil {
		return nil, "", "", err
	}
	if c := f.contents[id]; c != nil {
		for _, a := range c.Attachments {
			if a.ID == part {
				return f.opened("bytes of part " + part), a.Name, a.Type, nil
			}
		}
	}
	return nil, "", "", &mail.Error{Kind: mail.KindNotFound, Message: "there is no such part"}
}

func (f *fakes) read(out service.Outgoing) (err error) {
	f.sent = nil
	switch {
	case out.Raw != nil:
		f.sent, err = io.ReadAll(out.Raw)
	case len(out.Attachments) > 0:
		f.sent, err = io.ReadAll(out.Attachments[0].Content)
	}
	return err
}

func (f *fakes) SaveDraft(ctx context.Context, account, replaces string, out service.Outgoing) (*store.Message, error) {
	if err := errors.Join(f.called("SaveDraft"), f.read(out)); err != nil {
		return nil, err
	}
	f.submitted = service.SubmitInput{Account: account, Message: out, IdempotencyKey: replaces}
	m := &store.Message{ID: event.HashID("m", account, "draft"), Account: account, Thread: event.HashID("t", account, "draft"),
		Message: mail.Message{ProviderID: "draft", Subject: out.Subject, Keywords: []string{mail.Draft}, ReceivedAt: epoch0}}
	err := f.w.store.Update(ctx, func(tx store.Tx) error {
		boxes, err := tx.MailboxesOf(account)
		if err != nil {
			return err
		}
		m.In = []string{boxes[0].ID}
		return tx.PutMessage(m)
	})
	return m, err
}

func (f *fakes) DeleteDraft(ctx context.Context, id string) error {
	if err := f.called("DeleteDraft"); err != nil {
		return err
	}
	return f.w.store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Message(id); err != nil {
			return err
		}
		return tx.DeleteMessage(id, 1)
	})
}

func (f *fakes) Submit(ctx context.Context, in service.SubmitInput) (*store.Submission, error) {
	if err := errors.Join(f.called("Submit"), f.read(in.Message)); err != nil {
		return nil, err
	}
	f.submitted = in
	s := &store.Submission{ID: "sub-1", Account: in.Account, State: store.SubmissionScheduled, Subject: in.Message.Subject,
		IdempotencyKey: in.IdempotencyKey, SendAt: in.SendAt, CreatedAt: epoch0, NextAt: epoch0}
	for _, a := range in.Message.To {
		s.Recipients = append(s.Recipients, a.Email)
	}
	return s, f.w.store.Update(ctx, func(tx store.Tx) error { return tx.PutSubmission(s) })
}

func (f *fakes) Cancel(ctx context.Context, id string) (s *store.Submission, err error) {
	if err := f.called("Cancel"); err != nil {
		return nil, err
	}
	err = f.w.store.Update(ctx, func(tx store.Tx) (err error) {
		if s, err = tx.Submission(id); err != nil {
			return err
		}
		s.State, s.DoneAt = store.SubmissionCancelled, epoch0
		return tx.PutSubmission(s)
	})
	return s, err
}

func (f *fakes) SendTest(ctx context.Context, id string, t event.Type) (d *store.Delivery, err error) {
	f.tested = t
	if _, err := f.find(id); err != nil {
		return nil, err
	}
	err = f.w.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		e := &event.Event{Type: event.Ping, Endpoint: id}
		if _, err := b.Add(e); err != nil {
			return err
		}
		d = f.delivery(id, e)
		return tx.Enqueue(d)
	})
	return d, err
}

func (f *fakes) delivery(endpoint string, e *event.Event) *store.Delivery {
	return &store.Delivery{ID: event.HashID("d", endpoint, e.ID), Endpoint: endpoint, Lane: "lane-" + e.Account, Account: e.Account, Event: e.ID,
		Type: string(e.Type), Position: e.Position, Sequence: e.Sequence, Rendition: "thin", State: store.DeliveryPending,
		CreatedAt: f.w.clock(), NextAt: f.w.clock()}
}

func change(have, add, remove []string) []string {
	out := slices.DeleteFunc(slices.Clone(have), func(s string) bool { return slices.Contains(remove, s) })
	return sorted(append(out, add...))
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}
