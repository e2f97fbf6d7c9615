package google

import (
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
)

// Settings are all knobs of this cloud. The zero value is the documented
// behaviour of the real service.
type Settings struct {
	Mail gmail.Settings
}
