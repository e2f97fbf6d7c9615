package submission

import (
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestOpeningIsOneForAllReaders: a header of which somebody else may see another
// end, and fields behind it, is refused.
func TestOpeningIsOneForAllReaders(t *testing.T) {
	const head = "From: " + ann + "\r\nTo: " + bob + "\r\n"
	for name, tt := range map[string]struct {
		raw  string
		kind mail.Kind
	}{
		"as it should be":             {head + "\r\nBcc: eve@example.net\r\n", ""},
		"lines with LF":               {strings.ReplaceAll(head, "\r\n", "\n") + "\nx", ""},
		"an empty line behind two CR": {head + "\r\r\nFrom: eve@example.net\r\nBcc: eve@example.net\r\n\r\nx", mail.KindInvalid},
		"at the beginning":            {"\r\r\nFrom: eve@example.net\r\n\r\nx", mail.KindInvalid},
		"a CR at the end":             {head + "\r", mail.KindInvalid},
		"a CR in a field":             {head + "Subject: a\rBcc: eve@example.net\r\n\r\nx", mail.KindInvalid},
		"a line that is no field":     {head + "what is this\r\n\r\nx", mail.KindInvalid},
		"two CR in the body":          {head + "\r\nx\r\r\ny\r\n", ""},
	} {
		if _, err := readOpening(strings.NewReader(tt.raw), int64(len(tt.raw))); mail.KindOf(err) != tt.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}
