package outlook

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func TestIdentities(t *testing.T) {
	me := &msgraph.User{DisplayName: "Ada", Mail: "Ada@contoso.example", UserPrincipalName: "ada.l@contoso.example",
		ProxyAddresses: []string{"smtp:countess@contoso.example", "SMTP:ada@contoso.example", "SIP:ada@contoso.example", "X500:/o=contoso/cn=ada", "smtp:", "nonsense"}}
	want := []mail.Identity{{Email: "Ada@contoso.example", Name: "Ada", Default: true}, {Email: "countess@contoso.example", Name: "Ada"}}
	if d := cmp.Diff(want, identities(me)); d != "" {
		t.Error(d)
	}
	me = &msgraph.User{UserPrincipalName: "mary@outlook.example"}
	if d := cmp.Diff([]mail.Identity{{Email: "mary@outlook.example", Default: true}}, identities(me)); d != "" {
		t.Error(d)
	}
	if got := identities(&msgraph.User{}); len(got) != 0 {
		t.Errorf("nobody: %v", got)
	}
}
