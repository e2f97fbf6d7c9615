package mailbox

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// BenchmarkSearch tells what the first page of a search costs in an account of
// 10,000 messages whose text is here: of a word that all have, one that a
// hundredth has, one in an old message alone, and one in none.
func BenchmarkSearch(b *testing.B) {
	const n = 10_000
	w := newWorld(b, memory.Options{})
	index := w.indexed(256)
	w.rounds()
	text := bytes.Repeat([]byte("A line of a letter, as long as lines are in letters.\r\n"), 30)
	for from := 0; from < n; from += 200 {
		w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
			for i := from; i < from+200; i++ {
				word := ""
				if i%100 == 7 {
					word = "quarkzipfel"
				}
				if i == 100 {
					word = "needlework"
				}
				raw := fmt.Appendf(nil, "Subject: letter %d\r\n\r\n%s%s\r\n", i, text, word)
				scanned, err := mime.Scan(bytes.NewReader(raw), int64(len(raw)))
				if err != nil {
					return err
				}
				id := MessageID(w.account, fmt.Sprint(i))
				m := &store.Message{ID: id, Account: w.account, Thread: "t" + id, In: []string{ID(w.account, "inbox")},
					Message: mail.Message{ProviderID: id, Size: int64(len(raw)), ReceivedAt: time.Unix(1772355600+int64(i), 0)}}
				if err := tx.PutMessage(m); err != nil {
					return err
				}
				if err := textindex.Put(tx, w.account, id, scanned.Text.Encode()); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	w.fold(index, 256)
	for _, c := range []struct {
		query string
		hits  int
	}{{"letter", 50}, {"quarkzipf", 50}, {"needle", 1}, {"notanywordatall", 0}, {"letter quarkzipf", 50}} {
		b.Run(c.query, func(b *testing.B) {
			words, err := queryWords(c.query)
			w.must(err)
			b.ReportAllocs()
			for b.Loop() {
				ids, _, err := w.svc.searchMirror(w.ctx, w.account, words, 50, "")
				if err != nil || len(ids) != c.hits {
					b.Fatal(len(ids), err)
				}
			}
		})
	}
}
