package mailbox

import (
	"context"
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// slowAnswer gives the answer to a change only when meanwhile has been done.
type slowAnswer struct {
	provider.Provider
	meanwhile func()
}

func (p slowAnswer) Modify(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	resp, err := p.Provider.Modify(ctx, req)
	p.meanwhile()
	return resp, err
}

// TestAnswerThatWasOvertaken: while the answer to our change was on its way,
// somebody else has changed the message again, and a feed has told of it. The
// answer does not undo that, and the caller is given what is true.
func TestAnswerThatWasOvertaken(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		opts.Keywords = []string{mail.Seen, mail.Flagged}
		w := newWorld(t, opts)
		id := w.deliver("a", memory.Delivery{})
		w.rounds()
		before := w.last()
		w.front = func(p provider.Provider) provider.Provider {
			return slowAnswer{p, func() {
				w.must(w.cloud.SetKeywords(ann, id, mail.Seen, mail.Flagged))
				w.rounds()
			}}
		}
		rs, err := w.svc.Update(w.ctx, []string{MessageID(w.account, id)}, Change{AddKeywords: []string{mail.Seen, "project"}})
		w.front = nil
		w.must(err)
		w.must(rs[0].Err)
		want := []string{mail.Flagged, mail.Seen, "project"}
		if got := rs[0].Message.AllKeywords(); !slices.Equal(got, want) {
			t.Errorf("the caller was given %v, want %v", got, want)
		}
		w.rounds()
		if got := w.message(id).AllKeywords(); !slices.Equal(got, want) {
			t.Errorf("the mirror has %v, want %v", got, want)
		}
		for _, e := range w.eventsAfter(before) {
			if e.Type != event.MessageUpdated || len(e.RemovedKeywords) > 0 {
				t.Errorf("told: %+v", e)
			}
		}
	})
}

// TestWriteThatWasUndone: while the answer to our change is on its way, somebody
// undoes it at the provider, and a feed tells that nothing has changed. The answer
// does not bring back what nobody has.
func TestWriteThatWasUndone(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		opts.Keywords = []string{mail.Seen, mail.Flagged}
		w := newWorld(t, opts)
		id := w.deliver("a", memory.Delivery{})
		w.must(w.cloud.SetKeywords(ann, id, mail.Flagged))
		w.rounds()
		w.front = func(p provider.Provider) provider.Provider {
			return slowAnswer{p, func() {
				w.must(w.cloud.SetKeywords(ann, id, mail.Flagged))
				w.rounds()
			}}
		}
		rs, err := w.svc.Update(w.ctx, []string{MessageID(w.account, id)}, Change{AddKeywords: []string{mail.Seen, "project"}})
		w.front = nil
		w.must(err)
		w.must(rs[0].Err)
		want := []string{mail.Flagged, "project"}
		if got := rs[0].Message.AllKeywords(); !slices.Equal(got, want) {
			t.Errorf("the caller was given %v, want %v", got, want)
		}
		w.rounds()
		if got := w.message(id).AllKeywords(); !slices.Equal(got, want) {
			t.Errorf("the mirror has %v, want %v", got, want)
		}
		if n := len(w.svc.underway.of); n != 0 {
			t.Errorf("%d writes are still under way", n)
		}
	})
}
