package session

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// letter is a message as they come from a list or a shop: a header of two
// kilobytes, text and HTML.
func letter(i int) []byte {
	random := rand.New(rand.NewPCG(7, uint64(i)))
	words := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "%x ", random.Uint32()&0xffff)
			if random.IntN(12) == 0 {
				b.WriteString("\r\n")
			}
		}
		return b.String()
	}
	var b bytes.Buffer
	for hop := range 4 {
		fmt.Fprintf(&b, "Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\r\n\tby in%d.example.com with ESMTPS id %x\r\n\tfor <ann@example.com>; Sun, 01 Mar 2026 09:%02d:00 +0000 (UTC)\r\n", hop, hop, hop, hop, random.Uint64(), hop)
	}
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=k1;\r\n\tbh=%x; b=%x%x%x%x\r\n", random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	fmt.Fprintf(&b, "From: \"Sender %d\" <sender%d@example.org>\r\nTo: Ann <ann@example.com>, Ben <ben@example.com>\r\nCc: list@example.org\r\nSubject: Letter %d about %s\r\n", i%97, i%97, i, strings.TrimSpace(words(5)))
	fmt.Fprintf(&b, "Date: Sun, 01 Mar 2026 %02d:%02d:%02d +0000\r\nMessage-ID: <%d.%x@example.org>\r\nIn-Reply-To: <%d@example.org>\r\nReferences: <%d@example.org> <%d@example.org>\r\n", i/3600%24, i/60%60, i%60, i, random.Uint64(), i-1, i-2, i-1)
	fmt.Fprintf(&b, "X-Mailer: Benchmark 1.0\r\nList-Unsubscribe: <https://example.org/u/%x>\r\nX-Spam-Status: No, score=-1.2 required=5.0\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b%d\"\r\n\r\n", random.Uint64(), i)
	text := words(400 + random.IntN(1200))
	fmt.Fprintf(&b, "--b%d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s\r\n--b%d\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>%s</body></html>\r\n--b%d--\r\n", i, text, i, strings.ReplaceAll(text, "\r\n", "<br>\r\n"), i)
	return b.Bytes()
}

// lettersHere puts messages into the store as they are once their bytes are
// here, without the round that brings them.
func (w *fetchWorld) lettersHere(n int) {
	w.t.Helper()
	w.sync()
	for from := 0; from < n; from += 100 {
		type one struct {
			m      store.Message
			rows   []byte
			header []byte
		}
		var some []one
		for i := from; i < min(n, from+100); i++ {
			raw := letter(i)
			ref, err := w.store.Blobs().Put(w.t.Context(), account, bytes.NewReader(raw), false)
			w.must(err)
			scanned, err := mime.Scan(bytes.NewReader(raw), int64(len(raw)))
			w.must(err)
			id := fmt.Sprintf("m_%016x", rand.Uint64())
			scanned.Rows.Digest = ref.Digest
			some = append(some, one{store.Message{ID: id, Account: account, Thread: id, In: []string{w.inbox}, Blob: ref.Digest, ModSeq: uint64(i + 1),
				Message: mail.Message{ProviderID: id, Size: ref.Size, ReceivedAt: time.Unix(1772355600+int64(i), 0).UTC(), Keywords: [][]string{nil, {mail.Seen}, {mail.Answered, mail.Seen}}[i%3]}},
				scanned.Rows.Encode(), scanned.Header})
		}
		w.must(w.store.Update(w.t.Context(), func(tx store.Tx) error {
			for i := range some {
				if err := tx.PutMessage(&some[i].m); err != nil {
					return err
				}
				if err := tx.PutDerived(account, store.DerivedRows, some[i].m.ID, some[i].rows); err != nil {
					return err
				}
				if err := tx.PutDerived(account, store.DerivedHeader, some[i].m.ID, some[i].header); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

// BenchmarkFetch tells what mail programs ask for of 10,000 messages.
func BenchmarkFetch(b *testing.B) {
	const n = 10_000
	w := newFetchWorld(b)
	w.lettersHere(n)
	messages := w.messages()
	if len(messages) != n {
		b.Fatalf("%d messages", len(messages))
	}
	for _, c := range []struct{ name, items string }{
		{"flags-uid-size", "(FLAGS UID RFC822.SIZE)"},
		{"envelope", "(ENVELOPE)"},
		{"bodystructure", "(BODYSTRUCTURE)"},
		{"thunderbird", "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"},
		{"bodies", "(BODY.PEEK[])"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out := &counting{}
				to := wire.NewWriter(out)
				f := w.fetcher(to, c.items, false)
				w.must(f.run(b.Context(), slices.Values(messages)))
				w.must(to.Flush())
				if t := f.answer(); t.Status != OK {
					b.Fatal(t)
				}
				b.SetBytes(out.n)
			}
		})
	}
	b.Run("single-bodies", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range 1000 {
				f := w.fetcher(wire.NewWriter(io.Discard), "(BODY.PEEK[])", true)
				w.must(f.run(b.Context(), slices.Values(messages[i*7:i*7+1])))
				w.must(f.w.Flush())
			}
		}
	})
}

// counting is io.Discard that counts.
type counting struct{ n int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
