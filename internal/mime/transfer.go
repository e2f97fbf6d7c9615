package mime

import (
	"io"
	"strings"
)

// Decoder undoes a transfer encoding (RFC 2045, 6): what breaks its rules is
// decoded as far as it goes. It reports false for an encoding that is not
// known, of which the bytes are given as they are.
func Decoder(encoding string, r io.Reader) (io.Reader, bool) {
	name, _, _ := strings.Cut(encoding, ";")
	switch strings.ToLower(strings.Trim(name, " \t\"'")) {
	case "", "7bit", "8bit", "binary", "quoted-printable", "base64":
		return decoded(encoding, r), true
	}
	return r, false
}
