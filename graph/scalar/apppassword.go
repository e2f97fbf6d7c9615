package scalar

import (
	"strings"

	"github.com/99designs/gqlgen/graphql"
)

// The scopes of app passwords have a colon where the schema has `_`.

// MarshalAppPasswordScope writes imap:read as IMAP_READ.
func MarshalAppPasswordScope(s string) graphql.Marshaler {
	return write(strings.ReplaceAll(s, ":", "_"))
}

// UnmarshalAppPasswordScope reads IMAP_READ as imap:read.
func UnmarshalAppPasswordScope(v any) (string, error) {
	s, err := read[string](v)
	return strings.ReplaceAll(s, "_", ":"), err
}
