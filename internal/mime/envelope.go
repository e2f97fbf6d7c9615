package mime

import "github.com/postern-mail/postern/plugins/sdk/mail"

// EnvelopeOf gives the ENVELOPE of a message of which only metadata is known.
func EnvelopeOf(m *mail.Message) []byte { return []byte("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)") }
