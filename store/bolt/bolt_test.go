package bolt

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func testKeyring(t testing.TB) *seal.Keyring {
	t.Helper()
	k, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(k)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	opts := Options{Path: t.TempDir(), Keyring: testKeyring(t)}
	s := open(t, opts)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	err := s.Update(ctx, func(tx store.Tx) error {
		if err := tx.PutAccount(&store.Account{ID: "a1", Provider: "p", Address: "ada@example.org"}); err != nil {
			return err
		}
		if err := tx.PutMailbox(&store.Mailbox{ID: "f1", Account: "a1", Name: "Inbox"}); err != nil {
			return err
		}
		e := &event.Event{Type: event.MessageCreated, Account: "a1", Time: at, Snapshot: &event.Snapshot{Subject: "hello"}}
		if err := tx.AppendEvent(e); err != nil {
			return err
		}
		m := &store.Message{ID: "m1", Account: "a1", Thread: "t1", In: []string{"f1"}, ModSeq: e.Sequence}
		m.ReceivedAt, m.Subject = at, "hello"
		m.Keywords = []string{mail.Seen}
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		if err := tx.PutEndpoint(&store.Endpoint{ID: "ep", Ordered: true}); err != nil {
			return err
		}
		if err := tx.PutBody(e.ID, "thin", "a1", []byte("body")); err != nil {
			return err
		}
		return tx.Enqueue(&store.Delivery{ID: "d1", Endpoint: "ep", Lane: "a1", Account: "a1", Event: e.ID, Sequence: e.Sequence, Rendition: "thin", NextAt: at, CreatedAt: at})
	})
	if err != nil {
		t.Fatal(err)
	}
	small, err := s.Blobs().Put(ctx, "a1", bytes.NewReader([]byte("small")), true)
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789"), 30_000)
	large, err := s.Blobs().Put(ctx, "a1", bytes.NewReader(big), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, opts)
	err = s.View(ctx, func(tx store.Tx) error {
		m, err := tx.Message("m1")
		if err != nil {
			return err
		}
		if m.Subject != "hello" {
			t.Errorf("subject %q", m.Subject)
		}
		lanes, err := tx.DueLanes(at, 10)
		if err != nil {
			return err
		}
		if len(lanes) != 1 {
			t.Errorf("lanes %v", lanes)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for digest, want := range map[string][]byte{small.Digest: []byte("small"), large.Digest: big} {
		b, err := s.Blobs().Open(ctx, "a1", digest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob of %d bytes: %d, %v", len(want), len(got), err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
