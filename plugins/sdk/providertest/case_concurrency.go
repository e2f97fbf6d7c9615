package providertest

import (
	"fmt"
	"sync"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// atOnce is how many calls the suite makes at the same time.
const atOnce = 32

func concurrencyCases() []Case {
	return []Case{
		{Name: "concurrency/calls", Doc: "32 calls at once each get their own answer", Read: true, test: concurrentCalls},
		{Name: "concurrency/open-close", Doc: "accounts open and close while others are used", Read: true, test: concurrentOpenClose},
		{Name: "token/coalesced", Doc: "however many calls meet an expired token, one request leaves", test: tokenCoalesced},
	}
}

// together runs calls at the same time and gives their errors.
func together(n int, call func(i int) error) []error {
	var wg sync.WaitGroup
	errs, ready := make([]error, n), make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-ready
			errs[i] = call(i)
		})
	}
	close(ready)
	wg.Wait()
	return errs
}

func concurrentCalls(f *fixture) {
	var ids []string
	letters := map[string]letter{}
	for range 4 {
		l := newLetter(f.w.Address(), attached(20_000))
		id := f.deliver("", l)
		ids, letters[id] = append(ids, id), l
	}
	call, inbox := f.call(), f.role(mail.RoleInbox).ID
	whole := f.bytes(ids...)
	errs := together(atOnce, func(i int) error {
		id := ids[i/4%len(ids)]
		s := &sink{}
		switch i % 4 {
		case 0:
			resp, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: call})
			if err == nil && len(resp.Mailboxes) == 0 {
				err = fmt.Errorf("no mailboxes")
			}
			return err
		case 1:
			err := f.p.Fetch(f.ctx, &provider.FetchRequest{Call: call, IDs: []string{id}}, s)
			if err == nil && s.messages[id].Subject != letters[id].want.Subject {
				err = fmt.Errorf("the subject of %s is %q", id, s.messages[id].Subject)
			}
			return err
		case 2:
			err := f.p.Fetch(f.ctx, &provider.FetchRequest{Call: call, IDs: []string{id}, Mode: provider.FetchRaw}, s)
			if err == nil && string(s.raw[id]) != string(whole[id]) {
				err = fmt.Errorf("the bytes of %s are others", id)
			}
			return err
		default:
			n := 0
			err := f.p.Enumerate(f.ctx, &provider.EnumerateRequest{Call: call, Mailbox: inbox}, func(b *provider.EnumerateBatch) error {
				n += len(b.Messages)
				return nil
			})
			if err == nil && n < len(ids) {
				err = fmt.Errorf("the inbox lists %d messages", n)
			}
			return err
		}
	})
	for i, err := range errs {
		if err != nil {
			f.Errorf("call %d of %d at once: %v", i, atOnce, err)
		}
	}
}

func concurrentOpenClose(f *fixture) {
	call, other := f.call(), f.connect()
	errs := together(atOnce, func(i int) error {
		if i%2 == 0 {
			_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: call})
			return err
		}
		id := fmt.Sprintf("account-concurrent-%d", i)
		if err := f.p.Open(f.ctx, &provider.OpenRequest{Account: id, Subject: other.subject, Address: other.address, Grant: other.grant}); err != nil {
			return err
		}
		return f.p.Close(f.ctx, &provider.CloseRequest{Account: id})
	})
	for i, err := range errs {
		if err != nil {
			f.Errorf("call %d of %d at once: %v", i, atOnce, err)
		}
	}
}

func tokenCoalesced(f *fixture) {
	call := f.call()
	_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: call})
	f.must("mailboxes", err)
	before, err := f.w.TokenRequests(f.ctx)
	f.hook(err)
	f.hook(f.w.ExpireTokens(f.ctx, f.w.Address()))
	for i, err := range together(atOnce, func(int) error {
		_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: call})
		return err
	}) {
		if err != nil {
			f.Errorf("call %d of %d at once: %v", i, atOnce, err)
		}
	}
	after, err := f.w.TokenRequests(f.ctx)
	f.hook(err)
	if after-before != 1 {
		f.Errorf("%d token requests left for %d calls, want 1", after-before, atOnce)
	}
}
