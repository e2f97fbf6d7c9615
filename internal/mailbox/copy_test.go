package mailbox

import (
	"context"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// terse answers a copy with ids, keywords and mailboxes alone, as providers do
// whose answer lacks a part of the envelope.
type terse struct{ *memory.Provider }

func (p terse) Copy(ctx context.Context, req *provider.CopyRequest) (*provider.ModifyResponse, error) {
	resp, err := p.Provider.Copy(ctx, req)
	if err == nil {
		for i := range resp.Results {
			m := &resp.Results[i].Message
			*m = mail.Message{ProviderID: m.ProviderID, Mailboxes: m.Mailboxes, Keywords: m.Keywords}
			resp.Results[i].Fields &^= mail.FieldEnvelope
		}
	}
	return resp, err
}

type terseWorld struct{ *world }

func (w terseWorld) Provider(string) (provider.Provider, error) { return terse{w.plugin}, nil }

// TestCopyIsWhole: whoever copies gets the copy, however little the provider
// tells of it.
func TestCopyIsWhole(t *testing.T) {
	w := newWorld(t, memory.Options{})
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	svc := New(w.store, journal.New(w.store, &event.Bus{}, time.Now), terseWorld{w}, w, Options{})
	rs, err := svc.Copy(w.ctx, []string{MessageID(w.account, id)}, ID(w.account, "archive"))
	w.must(err)
	w.must(rs[0].Err)
	m := rs[0].Message
	if m == nil || m.Subject != "a" || m.ProviderID == id {
		t.Errorf("the copy is %+v", m)
	}
	before := w.last()
	w.rounds()
	if w.last() != before {
		t.Errorf("the copy was told again: %v", types(w.eventsAfter(before)))
	}
}

// terseFront puts terse in front of a plugin.
func terseFront(p provider.Provider) provider.Provider { return terse{p.(*memory.Provider)} }
