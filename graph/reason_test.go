package graph

import (
	"testing"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestOwnReason: what the gateway itself refuses is not said to be a provider's.
func TestOwnReason(t *testing.T) {
	s := &Server{}
	own := s.describe(t.Context(), &mail.Error{Kind: mail.KindUnavailable, Code: service.CodeDiskFull})
	if own.extensions["reason"] != "disk_full" || own.extensions["providerCode"] != nil {
		t.Errorf("the gateway's own: %v", own.extensions)
	}
	theirs := s.describe(t.Context(), &mail.Error{Kind: mail.KindUnavailable, Code: "ErrorServerBusy"})
	if theirs.extensions["providerCode"] != "ErrorServerBusy" || theirs.extensions["reason"] != nil {
		t.Errorf("a provider's: %v", theirs.extensions)
	}
}
