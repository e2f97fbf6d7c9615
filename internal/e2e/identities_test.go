package e2e

import "testing"

// TestIdentities: whose provider tells all addresses that an account may send
// from is refused another one before anything is taken; where it does not, the
// provider judges.
func TestIdentities(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for address, known := range map[string]bool{alanAtGmail: true, ada: false} {
		account := d.account(address)
		var got struct {
			Account struct {
				Identities []struct {
					Email   string
					Default bool
				}
			}
		}
		d.query(`query($a: ID!) { account(id: $a) { identities { email default } } }`, map[string]any{"a": account}, &got)
		if l := got.Account.Identities; len(l) != 1 || l[0].Email != address || !l[0].Default {
			t.Errorf("%s may send from %v", address, l)
		}
		submit := func(from string) []gqlError {
			return d.try(`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": map[string]any{
				"account": account, "from": from, "to": []string{grace}, "subject": "from " + from, "text": "x"}}, nil)
		}
		if errs := submit("Me <" + address + ">"); len(errs) > 0 {
			t.Errorf("%s from itself: %v", address, errs)
		}
		errs := submit("The Boss <boss@elsewhere.example>")
		if refused := len(errs) == 1 && errs[0].Extensions.Code == "FORBIDDEN"; refused != known {
			t.Errorf("%s from somebody else: %v", address, errs)
		}
	}
}
