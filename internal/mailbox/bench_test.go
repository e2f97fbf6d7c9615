package mailbox

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// BenchmarkFirstSync measures the first sync of 2,000 messages, and beside it
// the reference: the same feed read and thrown away.
func BenchmarkFirstSync(b *testing.B) {
	const messages = 2000
	setup := func(b *testing.B) *world {
		w := newWorld(b, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder, PageSize: 200})
		for i := range messages {
			w.deliver(fmt.Sprint("message ", i), memory.Delivery{Quiet: true, Date: time.Now().Add(-time.Duration(i) * time.Minute)})
		}
		return w
	}
	b.Run("reference", func(b *testing.B) {
		w := setup(b)
		for b.Loop() {
			for _, scope := range []string{"inbox", "drafts", "sent", "trash", "junk", "archive"} {
				req := &provider.ChangesRequest{Call: provider.Call{Account: w.account}, Mailbox: scope}
				w.must(w.plugin.Changes(w.ctx, req, func(*mail.Batch) error { return nil }))
			}
		}
		b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("mirror", func(b *testing.B) {
		w := setup(b)
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			w.account = fmt.Sprint("account-", i+2)
			w.connect()
			b.StartTimer()
			w.round()
		}
		b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkQuietRound measures a round in which nothing has changed, against
// the bare calls that it makes.
func BenchmarkQuietRound(b *testing.B) {
	w := newWorld(b, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.deliver("one", memory.Delivery{Quiet: true})
	w.rounds()
	b.Run("reference", func(b *testing.B) {
		var scopes []*store.Scope
		w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
			scopes, err = tx.Scopes(w.account)
			return err
		}))
		for b.Loop() {
			_, err := w.plugin.Mailboxes(w.ctx, &provider.MailboxesRequest{Call: provider.Call{Account: w.account}})
			w.must(err)
			for _, s := range scopes {
				req := &provider.ChangesRequest{Call: provider.Call{Account: w.account}, Mailbox: s.Name, Cursor: s.Cursor}
				w.must(w.plugin.Changes(w.ctx, req, func(*mail.Batch) error { return nil }))
			}
		}
	})
	b.Run("mirror", func(b *testing.B) {
		for b.Loop() {
			w.round()
		}
	})
}

// BenchmarkFill brings the bodies of 500 messages of 15 kB ahead, beside it the
// same bytes read from the provider and thrown away.
func BenchmarkFill(b *testing.B) {
	const messages = 500
	text := strings.Repeat("A line of a letter, as long as lines are in letters.\r\n", 280)
	setup := func(b *testing.B) (*world, []string) {
		w := newWorld(b, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder, PageSize: 200})
		var pids []string
		for i := range messages {
			raw := fmt.Appendf(nil, "Subject: letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\nThe number is %d.\r\n%s", i, i, i, text)
			pids = append(pids, w.deliver("letter", memory.Delivery{Quiet: true, Raw: raw}))
		}
		w.rounds()
		w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
		return w, pids
	}
	b.Run("reference", func(b *testing.B) {
		w, pids := setup(b)
		for b.Loop() {
			req := &provider.FetchRequest{Call: provider.Call{Account: w.account}, Mode: provider.FetchRaw, IDs: pids}
			w.must(w.plugin.Fetch(w.ctx, req, discarding{}))
		}
		b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("mirror", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w, pids := setup(b)
			b.StartTimer()
			x := &filling{account: w.account}
			for more := true; more; _, more = w.svc.fillSome(w.ctx, x) {
			}
			b.StopTimer()
			if w.message(pids[0]).Blob == "" {
				b.Fatal("the bodies are not here")
			}
			b.StartTimer()
		}
		b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// discarding throws away what is fetched.
type discarding struct{ provider.FetchSink }

func (discarding) Raw(_, _ string, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
