package providertest

import (
	"context"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func cancelCases() []Case {
	return []Case{
		{Name: "cancel/before", Doc: "a call whose caller has given up does nothing", Read: true, test: cancelBefore},
		{Name: "cancel/deadline", Doc: "a call past its deadline does nothing", Read: true, test: cancelDeadline},
		{Name: "cancel/fetch", Doc: "Fetch ends when its caller gives up", Read: true, test: cancelFetch},
		{Name: "cancel/enumerate", Doc: "Enumerate ends when its caller gives up", Read: true, test: cancelEnumerate},
		{Name: "cancel/changes", Doc: "Changes ends when its caller gives up, and its cursors still work", Read: true, test: cancelChanges},
		{Name: "cancel/listen", Doc: "Listen ends when its caller gives up", Needs: needs(provider.CapListen), test: cancelListen},
	}
}

// refused calls every verb with a context that is over.
func (f *fixture) refused(ctx context.Context) {
	f.Helper()
	id := f.deliver("", newLetter(f.w.Address()))
	account, inbox := f.acct().id, f.role(mail.RoleInbox).ID
	for _, v := range f.verbs(account, id, inbox) {
		err, ended := f.within(v.name, func() error { return v.call(ctx) })
		if !ended {
			continue
		}
		if err == nil {
			f.Errorf("%s: success, though the caller had given up", v.name)
		} else if !f.gaveUp(err) && v.name != "send" && v.name != "probe" { // these two may look at their draft first
			f.Errorf("%s: %v, want the context's error or unavailable", v.name, err)
		}
	}
	if got := f.metadata(id)[id]; got.ProviderID != id {
		f.Errorf("the message is gone")
	}
}

func cancelBefore(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	f.refused(ctx)
}

func cancelDeadline(f *fixture) {
	ctx, cancel := context.WithDeadline(f.ctx, time.Now().Add(-time.Second))
	defer cancel()
	f.refused(ctx)
}

// streams runs a streaming verb whose caller gives up at the first call back.
// The verb must end without calling back again, and must not say that it told
// everything when it did not.
func (f *fixture) streams(what string, all func() int, stream func(ctx context.Context, each func(items int)) error) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	calls, items := 0, 0
	err, ended := f.within(what, func() error {
		return stream(ctx, func(n int) { calls++; items += n; cancel() })
	})
	if !ended {
		return
	}
	switch {
	case err != nil && !f.gaveUp(err):
		f.Errorf("%s: %v, want the context's error or unavailable", what, err)
	case err == nil && calls > 1:
		f.Errorf("%s: went on with %d calls after its caller had given up", what, calls-1)
	case err == nil && items < all():
		f.Errorf("%s: ended without an error after %d of %d", what, items, all())
	}
}

func cancelFetch(f *fixture) {
	var ids []string
	for range 5 {
		ids = append(ids, f.deliver("", newLetter(f.w.Address(), attached(400_000))))
	}
	call := f.call()
	f.streams("fetch raw", func() int { return len(ids) }, func(ctx context.Context, each func(int)) error {
		s := &sink{stop: func(string) error { each(1); return nil }}
		return f.p.Fetch(ctx, &provider.FetchRequest{Call: call, IDs: ids, Mode: provider.FetchRaw}, s)
	})
	// Metadata of a few messages is one answer of the provider, which may be
	// told to its end.
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	s := &sink{stop: func(string) error { cancel(); return nil }}
	err, ended := f.within("fetch metadata", func() error {
		return f.p.Fetch(ctx, &provider.FetchRequest{Call: call, IDs: ids}, s)
	})
	switch {
	case !ended:
	case err != nil && !f.gaveUp(err):
		f.Errorf("fetch metadata: %v, want the context's error or unavailable", err)
	case err == nil && len(s.order) < len(ids):
		f.Errorf("fetch metadata: ended without an error after %d of %d", len(s.order), len(ids))
	}
}

func cancelEnumerate(f *fixture) {
	for range 5 {
		f.deliver("", newLetter(f.w.Address()))
	}
	call, inbox := f.call(), f.role(mail.RoleInbox).ID
	all := len(f.listed(inbox))
	f.streams("enumerate", func() int { return all }, func(ctx context.Context, each func(int)) error {
		return f.p.Enumerate(ctx, &provider.EnumerateRequest{Call: call, Mailbox: inbox}, func(b *provider.EnumerateBatch) error {
			each(len(b.Messages))
			return nil
		})
	})
}

func cancelChanges(f *fixture) {
	r := f.follow()
	scope := ""
	if f.info.Scope == mail.ScopeMailbox {
		scope = f.role(mail.RoleInbox).ID
	}
	cursor := r.cursors[scope]
	for range 8 {
		f.deliver("", newLetter(f.w.Address()))
	}
	r.until("the messages are told", func() bool { r.read(); return r.differs(f.own()) == "" })
	call, done := f.call(), false
	f.streams("changes", func() int {
		if done {
			return 0
		}
		return 8
	}, func(ctx context.Context, each func(int)) error {
		return f.p.Changes(ctx, &provider.ChangesRequest{Call: call, Mailbox: scope, Cursor: cursor}, func(b *mail.Batch) error {
			done = b.Done
			each(len(b.Items))
			return nil
		})
	})
	f.changes(scope, cursor)
}

func cancelListen(f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.p.Listen(ctx, &provider.ListenRequest{}, func(*provider.Hint) error { return nil }) }()
	cancel()
	err, ok := f.within("listen", func() error { return <-ended })
	if ok && err != nil && !f.gaveUp(err) {
		f.Errorf("listen: %v, want nil or the context's error", err)
	}
}
