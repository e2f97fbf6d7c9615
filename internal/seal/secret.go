package seal

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that does not show itself: not in logs, not in errors,
// not in JSON. The zero Secret is empty.
type Secret struct{ s string }

// NewSecret wraps a string.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal gives the string itself. Every call of it is a place to look at.
func (s Secret) Reveal() string { return s.s }

// Empty reports whether there is nothing to hide.
func (s Secret) Empty() bool { return s.s == "" }

// IsZero is Empty, in the spelling that encoders ask for.
func (s Secret) IsZero() bool { return s.s == "" }

// Equal compares in constant time.
func (s Secret) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(s.s), []byte(other)) == 1
}

// String never tells.
func (Secret) String() string { return redacted }

// GoString never tells.
func (Secret) GoString() string { return redacted }

// Format answers every verb alike.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps it out of slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON never tells.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText never tells, to YAML among others.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText reads a secret from configuration.
func (s *Secret) UnmarshalText(text []byte) error {
	s.s = string(text)
	return nil
}
