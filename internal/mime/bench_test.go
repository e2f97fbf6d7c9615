package mime

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-message"
)

// BenchmarkScan makes everything that is stored of a message: rows, header and
// text. The reference is a parser that gives the parts and no more.
func BenchmarkScan(b *testing.B) {
	text := strings.Repeat("A line of a letter, as long as lines are in letters.\r\n", 200)
	large := tricky + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("attached"), 1<<20))
	for _, bb := range []struct{ name, raw string }{
		{"letter", "From: ann@example.org\r\nTo: bob@example.org\r\nSubject: A letter\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n" +
			"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n" + text + "--b\r\nContent-Type: text/html\r\n\r\n" + text + "--b--\r\n"},
		{"nested", tricky},
		{"attachment", strings.Replace(large, "JVBERg==", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("attached"), 1<<20)), 1)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if s := scan(b, bb.raw); len(s.Rows.Parts) == 0 {
					b.Fatal("no parts")
				}
			}
		})
		b.Run(bb.name+"/reference", func(b *testing.B) {
			b.SetBytes(int64(len(bb.raw)))
			b.ReportAllocs()
			for b.Loop() {
				e, err := message.Read(strings.NewReader(bb.raw))
				if err != nil {
					b.Fatal(err)
				}
				err = e.Walk(func(_ []int, e *message.Entity, _ error) error {
					if e.MultipartReader() != nil {
						return nil
					}
					_, err := io.Copy(io.Discard, e.Body)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeRows reads stored rows, as every FETCH does.
func BenchmarkDecodeRows(b *testing.B) {
	rows := scan(b, tricky).Rows.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRows(rows); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse reads a message with a large attachment, against its decoding
// alone by the standard library.
func BenchmarkParse(b *testing.B) {
	body := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("attached"), 1<<20))
	var lines strings.Builder
	for len(body) > 0 {
		n := min(76, len(body))
		lines.WriteString(body[:n] + "\r\n")
		body = body[n:]
	}
	raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n" +
		"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines.String() + "--b--\r\n"
	b.Run("message", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			c, err := Parse(strings.NewReader(raw))
			if err != nil || len(c.Attachments) != 1 || c.Attachments[0].Size != 8<<20 {
				b.Fatal(c, err)
			}
		}
	})
	b.Run("reference", func(b *testing.B) {
		b.SetBytes(int64(lines.Len()))
		for b.Loop() {
			if _, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, strings.NewReader(lines.String()))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
