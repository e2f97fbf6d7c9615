package mailbox

import (
	"context"
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
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
	undone(t, func(w *world, id string, p provider.Provider) provider.Provider {
		return slowAnswer{p, func() {
			w.must(w.cloud.SetKeywords(ann, id, mail.Flagged))
			w.rounds()
		}}
	})
}

// TestWriteUndoneBeforeItsAnswer: somebody undoes our change before the provider
// looks at the message to answer, and its answer says so. What we added is nowhere
// then: not at the provider, and not with us alone, where nobody could take it off.
func TestWriteUndoneBeforeItsAnswer(t *testing.T) {
	undone(t, func(w *world, id string, p provider.Provider) provider.Provider {
		return answers{p, func(r *provider.Result) {
			w.must(w.cloud.SetKeywords(ann, id, mail.Flagged))
			r.Fields |= mail.FieldKeywords
			r.Message.Keywords = []string{mail.Flagged}
		}}
	})
}

// undone marks a flagged message as seen, by a provider that front makes, at which
// somebody takes that off again.
func undone(t *testing.T, front func(w *world, id string, p provider.Provider) provider.Provider) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		opts.Keywords = []string{mail.Seen, mail.Flagged}
		w := newWorld(t, opts)
		id := w.deliver("a", memory.Delivery{})
		w.must(w.cloud.SetKeywords(ann, id, mail.Flagged))
		w.rounds()
		w.front = func(p provider.Provider) provider.Provider { return front(w, id, p) }
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

// answers changes what the provider answers to a change.
type answers struct {
	provider.Provider
	edit func(*provider.Result)
}

func (p answers) Modify(ctx context.Context, req *provider.ModifyRequest) (*provider.ModifyResponse, error) {
	resp, err := p.Provider.Modify(ctx, req)
	if err == nil {
		for i := range resp.Results {
			p.edit(&resp.Results[i])
		}
	}
	return resp, err
}

// TestKeepDisplaced: of $answered and $forwarded the one that gives way to the other
// stays with us; nothing else does.
func TestKeepDisplaced(t *testing.T) {
	const answered, forwarded = mail.Answered, mail.Forwarded
	for name, c := range map[string]struct{ had, add, remove, answer, want []string }{
		"forwarded after answered":      {[]string{answered}, []string{forwarded}, nil, []string{forwarded}, []string{answered}},
		"answered after forwarded":      {[]string{forwarded}, []string{answered}, nil, []string{answered}, []string{forwarded}},
		"both at once":                  {nil, []string{answered, forwarded}, nil, []string{forwarded}, []string{answered}},
		"one that is not taken":         {[]string{forwarded}, []string{answered}, nil, []string{forwarded}, []string{answered}},
		"one for the other":             {[]string{answered}, []string{forwarded}, []string{answered}, []string{forwarded}, nil},
		"both are held":                 {[]string{answered}, []string{forwarded}, nil, []string{answered, forwarded}, nil},
		"undone before the answer":      {nil, []string{answered}, nil, nil, nil},
		"seen, undone":                  {nil, []string{mail.Seen}, nil, nil, nil},
		"seen beside one that was lost": {[]string{answered}, []string{mail.Seen}, nil, []string{mail.Seen}, nil},
	} {
		asked, next := &store.Message{}, &store.Message{}
		asked.Keywords, next.Keywords = c.had, c.answer
		keepDisplaced(asked, next, Change{AddKeywords: c.add, RemoveKeywords: c.remove})
		if !slices.Equal(next.Local, c.want) {
			t.Errorf("%s: %v stay with us, want %v", name, next.Local, c.want)
		}
	}
}
