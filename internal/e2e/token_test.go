package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestOneRenewal: a hundred calls at once meet an expired access token, and
// one token request leaves, whether it succeeds or is refused. Its answer
// takes half a second, so that all of them wait for it.
func TestOneRenewal(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for _, tc := range []struct {
		name, address, fault string
		outcome              string // of the token request
		code                 string // of every call, empty where it succeeds
		calls                int
	}{
		{"succeeds", ada, `{"user": "` + ada + `", "match": "POST token", "delay_ms": 500}`, "ok", "", 100},
		// 700082: the refresh token has expired.
		{"fails", grace, `{"user": "` + grace + `", "match": "POST token", "delay_ms": 500, "aadsts": 700082}`, "invalid_grant", "GRANT_EXPIRED", 100},
		// Each costs units, of which there are so many in a minute.
		{"succeeds elsewhere", alanAtGmail, `{"user": "` + alanAtGmail + `", "match": "POST token", "delay_ms": 500}`, "ok", "", 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d.onlyWhenAsked(d.account(tc.address))
			for i := range tc.calls {
				d.deliver(tc.address, fmt.Sprintf("%s %d", tc.name, i))
			}
			var ids map[string]string
			d.eventually("all messages are listed", func() bool {
				ids = d.subjects(d.account(tc.address))
				for i := range tc.calls {
					if ids[fmt.Sprintf("%s %d", tc.name, i)] == "" {
						return false
					}
				}
				return true
			})
			d.control("PUT", "/control/faults", tc.fault, nil)
			d.control("DELETE", "/control/counters", "", nil)
			d.control("POST", "/control/users/"+tc.address+"/expire-tokens", "", nil)

			// A message's text is fetched when it is first asked for: each of
			// these calls goes through the plugin to the provider.
			var group sync.WaitGroup
			begin := make(chan struct{})
			for i := range tc.calls {
				subject := fmt.Sprintf("%s %d", tc.name, i)
				group.Go(func() {
					<-begin
					var got struct{ Message struct{ Text string } }
					errs, err := d.ask(d.ctx(), `query($id: ID!) { message(id: $id) { text } }`, map[string]any{"id": ids[subject]}, &got)
					switch {
					case err != nil:
						t.Errorf("%s: %v", subject, err)
					case tc.code == "" && (len(errs) > 0 || !strings.Contains(got.Message.Text, subject)):
						t.Errorf("%s: text %q, errors %v", subject, got.Message.Text, errs)
					case tc.code != "" && (len(errs) != 1 || errs[0].Extensions.Code != tc.code):
						t.Errorf("%s: errors %v, want %s", subject, errs, tc.code)
					}
				})
			}
			close(begin)
			group.Wait()

			var counters struct {
				Tokens   map[string]map[string]int64
				Requests []struct {
					Status int
					Count  int64
				}
				Faults map[string]int64
			}
			d.control("GET", "/control/counters", "", &counters)
			if n := counters.Tokens["refresh_token"]; n[tc.outcome] != 1 || len(n) != 1 || len(counters.Tokens) != 1 {
				t.Errorf("token requests %v, want one refresh_token that ends as %s", counters.Tokens, tc.outcome)
			}
			refused := int64(0)
			for _, r := range counters.Requests {
				if r.Status == 401 {
					refused += r.Count
				}
			}
			if refused == 0 {
				t.Error("no call met the expired token")
			}
			if len(counters.Faults) != 1 {
				t.Errorf("faults met: %v, want the delay", counters.Faults)
			}
		})
	}
	d.eventually("the owner is asked to connect again", func() bool {
		var got struct {
			Account struct{ State, StateReason string }
		}
		d.query(`query($id: ID!) { account(id: $id) { state stateReason } }`, map[string]any{"id": d.account(grace)}, &got)
		return got.Account.State == "GRANT_EXPIRED" && got.Account.StateReason != ""
	})
}
