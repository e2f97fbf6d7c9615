package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// edits gives raw messages with a line in front once other is set.
type edits struct {
	provider.Provider
	other   bool
	fetches int
}

func (e *edits) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	if req.Mode == provider.FetchRaw {
		e.fetches++
		if e.other {
			sink = editSink{sink}
		}
	}
	return e.Provider.Fetch(ctx, req, sink)
}

type editSink struct{ provider.FetchSink }

func (s editSink) Raw(id, tag string, r io.Reader) error {
	return s.FetchSink.Raw(id, tag, io.MultiReader(bytes.NewReader([]byte("X-Edited: yes\r\n")), r))
}

func (w *world) raw(pid string) []byte {
	w.t.Helper()
	blob, _, err := w.svc.Raw(w.ctx, MessageID(w.account, pid))
	w.must(err)
	b, err := io.ReadAll(blob)
	w.must(errors.Join(err, blob.Close()))
	return b
}

func (w *world) uidOf(pid string) uint32 {
	w.t.Helper()
	m := w.message(pid)
	return m.UIDs[ID(w.account, m.Mailboxes[0])]
}

// Bytes that were trimmed come again when they are asked for. They are the
// same under the same UID, and under a new one where the provider has others.
func TestTrimmedBodiesComeAgain(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	front := &edits{}
	w.front = func(p provider.Provider) provider.Provider {
		front.Provider = p
		return front
	}
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	want, uid, size := w.raw(id), w.uidOf(id), w.message(id).Size
	trim := func() {
		t.Helper()
		dropped, err := w.store.Blobs().Trim(w.ctx, 0)
		w.must(err)
		if dropped == 0 {
			t.Fatal("nothing was trimmed")
		}
	}

	trim()
	if m := w.message(id); m.Size != size || m.Blob == "" {
		t.Errorf("after trimming: size %d, blob %q", m.Size, m.Blob)
	}
	if got := w.raw(id); !bytes.Equal(got, want) || front.fetches != 2 {
		t.Errorf("after trimming: %d bytes, %d fetches", len(got), front.fetches)
	}
	if got := w.uidOf(id); got != uid {
		t.Errorf("UID %d, was %d, for the same bytes", got, uid)
	}

	trim()
	front.other = true
	if got := w.raw(id); bytes.Equal(got, want) {
		t.Error("the provider's other bytes are not served")
	}
	if got := w.uidOf(id); got <= uid {
		t.Errorf("UID %d, was %d, for other bytes", got, uid)
	}
}
