package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

const ann = "ann@example.com"

var flavours = map[string]memory.Options{
	"folders": {PageSize: 3},
	"labels":  {PageSize: 3, Kind: mail.KindLabel},
}

func raw(n int) []byte {
	return fmt.Appendf(nil, "From: Bob <bob@example.org>\r\nTo: %s\r\nSubject: number %d\r\nMessage-ID: <n%d@example.org>\r\n\r\nText %d\r\n", ann, n, n, n)
}

func open(t *testing.T, opts memory.Options) *memory.Provider {
	t.Helper()
	p := memory.New(opts)
	p.Cloud().AddAccount(ann, "Ann")
	if _, err := p.OpenAccount("a1", ann); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFeedConverges makes random changes and follows the feeds from random
// batches on: what a reader folds together must be what the cloud holds.
func TestFeedConverges(t *testing.T) {
	for name, opts := range flavours {
		t.Run(name, func(t *testing.T) {
			p := open(t, opts)
			rnd := rand.New(rand.NewPCG(1, 2))
			r := reader{p: p, cursors: map[string]mail.Cursor{}, have: map[string]map[string]bool{}, keys: map[string][]string{}}
			r.read(t, nil)
			boxes := []string{"inbox", "archive", "trash"}
			var ids []string
			for round := range 60 {
				for range rnd.IntN(8) {
					if len(ids) == 0 || rnd.IntN(3) == 0 {
						id, err := p.Cloud().Deliver(ann, memory.Delivery{Raw: raw(len(ids)), Mailbox: boxes[rnd.IntN(3)]})
						if err != nil {
							t.Fatal(err)
						}
						ids = append(ids, id)
						continue
					}
					i := rnd.IntN(len(ids))
					var err error
					switch rnd.IntN(4) {
					case 0:
						err = p.Cloud().Move(ann, ids[i], boxes[rnd.IntN(3)])
					case 1:
						err = p.Cloud().SetKeywords(ann, ids[i], []string{mail.Seen, mail.Flagged, "work"}[:rnd.IntN(4)]...)
					case 2:
						err = p.Cloud().Remove(ann, ids[i])
						ids = slices.Delete(ids, i, i+1)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				r.read(t, rnd)
				if diff := cmp.Diff(truth(t, p), r.state()); diff != "" {
					t.Fatalf("round %d: the reader differs (-cloud +reader):\n%s", round, diff)
				}
			}
		})
	}
}

func truth(t *testing.T, p *memory.Provider) map[string]string {
	t.Helper()
	list, err := p.Cloud().Messages(ann)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range list {
		out[m.ProviderID] = fmt.Sprint(m.Mailboxes, m.Keywords)
	}
	return out
}

// reader follows every feed of the account.
type reader struct {
	p       *memory.Provider
	cursors map[string]mail.Cursor
	have    map[string]map[string]bool
	keys    map[string][]string
}

func (r *reader) state() map[string]string {
	out := map[string]string{}
	for id, boxes := range r.have {
		var list []string
		for b, in := range boxes {
			if in {
				list = append(list, b)
			}
		}
		if slices.Sort(list); len(list) > 0 {
			keys := r.keys[id]
			if keys == nil {
				keys = []string{}
			}
			out[id] = fmt.Sprint(list, keys)
		}
	}
	return out
}

var errCut = fmt.Errorf("cut here")

// read follows the feeds to their ends; with rnd it is interrupted now and
// then, and goes on from the last batch it kept.
func (r *reader) read(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	scopes := []string{""}
	if info, err := r.p.Describe(t.Context()); err != nil {
		t.Fatal(err)
	} else if info.Scope == mail.ScopeMailbox {
		scopes = []string{"inbox", "archive", "trash"}
	}
	for _, scope := range scopes {
		for {
			err := r.p.Changes(t.Context(), &provider.ChangesRequest{
				Call: provider.Call{Account: "a1"}, Mailbox: scope, Cursor: r.cursors[scope],
			}, func(b *mail.Batch) error {
				if rnd != nil && rnd.IntN(4) == 0 {
					return errCut
				}
				for _, item := range b.Items {
					r.apply(item)
				}
				r.cursors[scope] = b.Next
				return nil
			})
			if err == nil {
				break
			}
			if err != errCut {
				t.Fatal(err)
			}
		}
	}
}

func (r *reader) apply(item mail.Item) {
	id := item.Message.ProviderID
	if r.have[id] == nil {
		r.have[id] = map[string]bool{}
	}
	switch item.Kind {
	case mail.ItemPresent:
		clear(r.have[id])
		for _, b := range item.Message.Mailboxes {
			r.have[id][b] = true
		}
		r.keys[id] = item.Message.Keywords
	case mail.ItemAbsent:
		delete(r.have[id], item.Mailbox)
	case mail.ItemGone:
		delete(r.have, id)
	}
}

// TestRestart: another plugin on the same cloud goes on with the same ids and
// cursors.
func TestRestart(t *testing.T) {
	p := open(t, memory.Options{})
	id, err := p.Cloud().Deliver(ann, memory.Delivery{Raw: raw(1)})
	if err != nil {
		t.Fatal(err)
	}
	var cursor mail.Cursor
	req := &provider.ChangesRequest{Call: provider.Call{Account: "a1"}, Mailbox: "inbox"}
	each := func(b *mail.Batch) error { cursor = b.Next; return nil }
	if err := p.Changes(t.Context(), req, each); err != nil {
		t.Fatal(err)
	}
	again := p.Cloud().Provider()
	if err := again.Changes(t.Context(), req, each); err != provider.ErrNotOpen {
		t.Fatalf("before open: %v, want ErrNotOpen", err)
	}
	if _, err := again.OpenAccount("a1", ann); err != nil {
		t.Fatal(err)
	}
	if err := p.Cloud().SetKeywords(ann, id, mail.Seen); err != nil {
		t.Fatal(err)
	}
	var got []string
	req.Cursor = cursor
	err = again.Changes(t.Context(), req, func(b *mail.Batch) error {
		for _, item := range b.Items {
			got = append(got, item.Message.ProviderID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{id}) {
		t.Fatalf("changes told %v, want %v", got, id)
	}
}

// TestFaults: each ordered failure comes out with its kind, once.
func TestFaults(t *testing.T) {
	p := open(t, memory.Options{})
	list := func(ctx context.Context) error {
		_, err := p.Mailboxes(ctx, &provider.MailboxesRequest{Call: provider.Call{Account: "a1"}})
		return err
	}
	for _, kind := range []mail.Kind{mail.KindThrottled, mail.KindUnavailable, mail.KindOutcomeUnknown, mail.KindOverQuota} {
		p.Cloud().FailNext("mailboxes", kind)
		if got := mail.KindOf(list(t.Context())); got != kind {
			t.Errorf("kind %s, want %s", got, kind)
		}
		if err := list(t.Context()); err != nil {
			t.Errorf("after %s: %v", kind, err)
		}
	}
	if err := p.Cloud().ExpireTokens(ann); err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if got := mail.KindOf(list(impatient)); got != mail.KindUnavailable {
		t.Errorf("without a session: kind %s, want unavailable", got)
	}
	go func() {
		if err := p.Session(t.Context(), savesAll{}); err != nil {
			t.Error(err)
		}
	}()
	if err := list(t.Context()); err != nil {
		t.Errorf("once there is a session: %v", err)
	}
}

// savesAll is a host that stores every grant.
type savesAll struct{ provider.Host }

func (savesAll) SaveGrant(context.Context, string, []byte) error { return nil }

// TestHints: a watched account's changes reach listener and notification URL,
// with the key that Watch gave.
func TestHints(t *testing.T) {
	p := open(t, memory.Options{})
	if _, err := p.Configure(t.Context(), &provider.ConfigureRequest{NotifyKey: []byte("key")}); err != nil {
		t.Fatal(err)
	}
	var noted []provider.Hint
	p.Cloud().OnNotify(func(req *provider.NotifyRequest) *provider.NotifyResponse {
		resp, err := p.Notify(t.Context(), req)
		if err != nil {
			t.Error(err)
			return &provider.NotifyResponse{Status: 500}
		}
		noted = append(noted, resp.Hints...)
		return resp
	})
	w, err := p.Watch(t.Context(), &provider.WatchRequest{Call: provider.Call{Account: "a1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Cloud().Deliver(ann, memory.Delivery{Raw: raw(1)}); err != nil {
		t.Fatal(err)
	}
	want := []provider.Hint{{Kind: provider.HintChanged, LookupKey: w.LookupKeys[0], Mailbox: "inbox"}}
	if diff := cmp.Diff(want, noted); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
	if _, err := p.Cloud().Deliver(ann, memory.Delivery{Raw: raw(2), Quiet: true}); err != nil {
		t.Fatal(err)
	}
	if len(noted) != 1 {
		t.Errorf("a quiet delivery was notified")
	}
}
