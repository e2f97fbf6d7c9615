package mailbox

import (
	"context"
	"fmt"
	"testing"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// poison is a store in which one message's bytes make whoever reads them panic.
type poison struct {
	store.Store
	size int64
}

func (p poison) Blobs() store.Blobs { return poisonBlobs{p.Store.Blobs(), p.size} }

type poisonBlobs struct {
	store.Blobs
	size int64
}

func (p poisonBlobs) Open(ctx context.Context, account, digest string) (store.Blob, error) {
	b, err := p.Blobs.Open(ctx, account, digest)
	if err == nil && b.Size() == p.size {
		return poisonBlob{b}, nil
	}
	return b, err
}

type poisonBlob struct{ store.Blob }

func (poisonBlob) ReadAt([]byte, int64) (int, error) { panic("of poison") }

// A message that the derivation panics over fails by itself: the others of its
// batch come, whether somebody waits for them or they are brought ahead, and it
// is tried again later.
func TestPanicOverAMessage(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		raw := []byte("Subject: poison\r\n\r\nof no other message's length\r\n")
		bad := w.deliver("poison", memory.Delivery{Raw: raw})
		var ids []string
		for i := range 5 {
			ids = append(ids, MessageID(w.account, w.deliver(fmt.Sprint("good ", i), memory.Delivery{})))
		}
		w.rounds()
		w.svc.store = poison{w.store, int64(len(raw))}
		for _, p := range []provider.Priority{provider.Interactive, provider.Backfill} {
			for i, err := range w.svc.landAll(w.ctx, w.account, append([]string{MessageID(w.account, bad)}, ids...), p) {
				if guard.Is(err) != (i == 0) || err != nil && mail.KindOf(err) != mail.KindInternal {
					t.Errorf("priority %v: message %d ended with %v", p, i, err)
				}
			}
		}
		w.svc.opts.WantBodies = func(context.Context, string) bool { return true }
		x := &filling{account: w.account}
		w.svc.fillSome(w.ctx, x)
		if after, more := w.svc.fillSome(w.ctx, x); !more || after < fillAgain/2 || len(x.failed) != 1 {
			t.Errorf("brought ahead: %v, %v, %+v", after, more, x)
		}
		w.svc.store = w.store
		w.must(w.svc.Hydrate(w.ctx, []string{MessageID(w.account, bad)}))
		if w.message(bad).Blob == "" {
			t.Error("without the poison it does not come")
		}
	})
}

// What panics while messages are kept together is found, and the others are
// kept without it.
func TestPanicWhileKeeping(t *testing.T) {
	w := newWorld(t, memory.Options{})
	bad := MessageID(w.account, w.deliver("bad", memory.Delivery{}))
	ids := []string{bad}
	for i := range 3 {
		ids = append(ids, MessageID(w.account, w.deliver(fmt.Sprint("good ", i), memory.Delivery{})))
	}
	w.rounds()
	w.svc.opts.PutExtract = func(tx store.Tx, account, message string, extract []byte) error {
		if message == bad {
			panic("of all things")
		}
		return tx.PutDerived(account, store.DerivedText, message, extract)
	}
	for _, p := range []provider.Priority{provider.Backfill, provider.Interactive} {
		for i, err := range w.svc.landAll(w.ctx, w.account, ids, p) {
			if guard.Is(err) != (i == 0) {
				t.Errorf("priority %v: message %d ended with %v", p, i, err)
			}
		}
	}
}

// panicking is a provider whose calls for bytes and for changes panic.
type panicking struct{ provider.Provider }

func (panicking) Fetch(context.Context, *provider.FetchRequest, provider.FetchSink) error {
	panic("in the provider")
}

func (panicking) Changes(context.Context, *provider.ChangesRequest, func(*mail.Batch) error) error {
	panic("in the provider")
}

// A panic in the provider's own code ends a round, or a fetch, and not the
// service, which goes on when that is over.
func TestPanicInTheProvider(t *testing.T) {
	w := newWorld(t, memory.Options{})
	pid := w.deliver("letter", memory.Delivery{})
	w.rounds()
	w.front = func(p provider.Provider) provider.Provider { return panicking{p} }
	if err := w.svc.Hydrate(w.ctx, []string{MessageID(w.account, pid)}); !guard.Is(err) {
		t.Errorf("a fetch ended with %v", err)
	}
	if err := w.svc.Round(w.ctx, w.account); !guard.Is(err) {
		t.Errorf("a round ended with %v", err)
	}
	w.front = nil
	w.must(w.svc.Hydrate(w.ctx, []string{MessageID(w.account, pid)}))
	w.rounds()
	w.inStep()
}
