package mime

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
)

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
