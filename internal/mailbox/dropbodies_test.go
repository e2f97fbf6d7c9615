package mailbox

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestDeletedMessageLeavesTheSubmissionItsBytes: a message goes with its bytes,
// but for those that a submission waits to send.
func TestDeletedMessageLeavesTheSubmissionItsBytes(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		saved, other := w.deliver("saved before it was sent", memory.Delivery{}), w.deliver("other", memory.Delivery{})
		w.rounds()
		raw := map[string][]byte{saved: w.raw(saved), other: w.raw(other)}
		digests := map[string]string{saved: w.message(saved).Blob, other: w.message(other).Blob}
		// As a submission keeps what it is to send.
		ref, err := w.store.Blobs().Put(w.ctx, w.account, bytes.NewReader(raw[saved]), true)
		w.must(err)
		if ref.Digest != digests[saved] {
			t.Fatal("these are other bytes")
		}
		w.must(w.cloud.Remove(ann, saved))
		w.must(w.cloud.Remove(ann, other))
		w.rounds()
		w.inStep()
		blob, err := w.store.Blobs().Open(w.ctx, w.account, digests[saved])
		w.must(err)
		if got, err := io.ReadAll(blob); err != nil || !bytes.Equal(got, raw[saved]) {
			t.Errorf("the submission has %d bytes, %v", len(got), err)
		}
		w.must(blob.Close())
		if _, err := w.store.Blobs().Open(w.ctx, w.account, digests[other]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the other message's bytes: %v", err)
		}
	})
}
