// Package scalar turns the scalars and enums of the schema into Go values and
// back. What a client wrote wrongly is answered with mail.KindInvalid.
package scalar

import (
	"fmt"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func invalid(format string, args ...any) error {
	return &mail.Error{Kind: mail.KindInvalid, Message: fmt.Sprintf(format, args...)}
}
