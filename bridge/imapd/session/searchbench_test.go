package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// BenchmarkSearch tells what SEARCH costs over an inbox of 10,000 messages
// whose text is here and in the index.
func BenchmarkSearch(b *testing.B) {
	const n = 10_000
	var index *textindex.Index
	w := newWorld(b, memory.Options{}, func(o *Options) {
		index = textindex.New(o.Store, textindex.Options{})
		o.Text = index
	})
	w.sync()
	inbox := ""
	w.must(w.store.View(b.Context(), func(tx store.Tx) error {
		boxes, err := tx.MailboxesOf(account)
		for _, m := range boxes {
			if m.Role == mail.RoleInbox {
				inbox = m.ID
			}
		}
		return err
	}))
	for from := 0; from < n; from += 100 {
		w.must(w.store.Update(b.Context(), func(tx store.Tx) error {
			for i := from; i < from+100; i++ {
				raw := letter(i)
				if i%100 == 7 {
					raw = bytes.Replace(raw, []byte("<html>"), []byte("<html>quarkzipfel "), 1)
				}
				scanned, err := mime.Scan(bytes.NewReader(raw), int64(len(raw)))
				if err != nil {
					return err
				}
				id := mailbox.MessageID(account, fmt.Sprint(i))
				m := &store.Message{ID: id, Account: account, Thread: "t" + id, In: []string{inbox}, ModSeq: uint64(i + 1),
					Message: mail.Message{ProviderID: id, Size: int64(len(raw)), ReceivedAt: time.Unix(1772355600+int64(i), 0), Keywords: [][]string{nil, {mail.Seen}, {mail.Answered, mail.Seen}}[i%3]}}
				if err := tx.PutMessage(m); err != nil {
					return err
				}
				if err := textindex.Put(tx, account, id, scanned.Text.Encode()); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error)
	go func() { ran <- index.Run(ctx) }()
	for waiting := n; waiting >= 256; {
		w.must(w.store.View(ctx, func(tx store.Tx) error {
			rows, err := tx.DerivedAfter(account, store.DerivedGrams, "", 256)
			waiting = len(rows)
			return err
		}))
	}
	cancel()
	if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	c := w.client()
	c.open("INBOX")
	for _, key := range []string{"UNSEEN", "SINCE 2-Mar-2026", "UID 1:9999", "TEXT quarkzipfel", "TEXT notanywordatall", `SUBJECT "letter 77"`, "SUBJECT letter", "FROM sender7", "SENTON 1-Mar-2026"} {
		b.Run(strings.ReplaceAll(key, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := c.ask("SEARCH "+key, false, false); !strings.HasSuffix(got, "\nOK") {
					b.Fatal(got)
				}
			}
		})
	}
}
