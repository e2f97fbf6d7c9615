package pluginhost

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// TestJudgeIdentities: what is no address is left out, and so is what was there
// before; a list that cannot be one is refused.
func TestJudgeIdentities(t *testing.T) {
	long := strings.Repeat("x", maxAddress)
	resp := &provider.IdentitiesResponse{Partial: true, Identities: []mail.Identity{
		{Email: "ann@example.com", Name: "Ann", Default: true}, {Email: "ANN@example.com"}, {Email: "sales@example.com", Default: true},
		{}, {Email: "@example.com"}, {Email: "nobody@"}, {Email: "nobody"}, {Email: long + "@example.com"},
		{Email: "a@example.com", ReplyTo: long + "@"}, {Email: "b@example.com", Name: strings.Repeat("x", maxID+1)},
	}}
	want := []mail.Identity{{Email: "ann@example.com", Name: "Ann", Default: true}, {Email: "sales@example.com"}}
	if err := judgeIdentities(resp); err != nil || !resp.Partial {
		t.Fatal(err, resp.Partial)
	}
	if d := cmp.Diff(want, resp.Identities); d != "" {
		t.Error(d)
	}
	resp.Identities = make([]mail.Identity, maxIdentities+1)
	if err := judgeIdentities(resp); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("too many: %v", err)
	}
}
