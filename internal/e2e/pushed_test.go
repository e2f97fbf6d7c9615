package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/google"

	"github.com/postern-mail/postern/internal/sandbox"
)

// pusher is the service account that pushes are signed as.
const pusher = "pusher@postern-sandbox.iam.gserviceaccount.com"

// pushTo has the sandbox's topic pushed to an address.
func (s *scene) pushTo(address string) {
	s.t.Helper()
	st := s.world.State()
	conf, err := google.JWTConfigFromJSON([]byte(st.GoogleServiceAccount), "https://www.googleapis.com/auth/pubsub")
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"topic": st.GoogleTopic, "pushConfig": map[string]any{
		"pushEndpoint": address, "oidcToken": map[string]any{"serviceAccountEmail": pusher}}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx := context.Background()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, st.Google+"/v1/"+st.GoogleSubscription+"-push", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := conf.Client(ctx).Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		s.t.Fatalf("make a push subscription: %s %s", resp.Status, text)
	}
}

// TestPushIsProven: a notification that comes to the public URL with a signature
// that proves who sent it tells of a change; one that is forged, expired or
// somebody else's is refused and tells nothing.
func TestPushIsProven(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(_ *sandbox.Options, cfg settings) {
		p := cfg.section("providers", "gmail")
		p["push"] = true
		set := p.section("settings")
		set["push_service_account"], set["subscription"], set["service_account"] = pusher, "", ""
	}, "gmail")
	url := baseOf(s.cfg) + "/notify/gmail"
	account := s.join(alanAtGmail)
	s.eventually("changes are pushed", func() bool { state, _ := s.watchState(account); return state == "PUSH" })
	lastHint := func() string {
		t.Helper()
		var got struct {
			Account struct{ Watch struct{ LastHintAt string } }
		}
		s.query(`query($id: ID!) { account(id: $id) { watch { lastHintAt } } }`, map[string]any{"id": account}, &got)
		return got.Account.Watch.LastHintAt
	}
	notice := fmt.Sprintf(`{"emailAddress":%q,"historyId":1}`, alanAtGmail)
	body, err := json.Marshal(map[string]any{"message": map[string]any{"data": []byte(notice), "messageId": "1"}, "subscription": "x"})
	if err != nil {
		t.Fatal(err)
	}
	post := func(token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(s.ctx(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	signed := func(change func(map[string]any)) string {
		t.Helper()
		claims := s.world.Google().PushClaims(url, pusher)
		change(claims)
		token, err := s.world.Google().SignPush(claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	asIs := func(map[string]any) {}
	good := signed(asIs)
	dot := strings.LastIndex(good, ".")
	before := lastHint()
	for name, token := range map[string]string{
		"no token":          "",
		"no signature":      good[:dot+1],
		"another's":         good[:dot+1] + strings.Repeat("A", len(good)-dot-1),
		"expired":           signed(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"another audience":  signed(func(c map[string]any) { c["aud"] = "https://else.example/notify/gmail" }),
		"another's account": signed(func(c map[string]any) { c["email"] = "eve@fabrikam.example" }),
		"another issuer":    signed(func(c map[string]any) { c["iss"] = "https://fabrikam.example" }),
	} {
		if status := post(token); status/100 != 4 {
			t.Errorf("%s: answered %d", name, status)
		}
	}
	// Hints are taken before the answer is given.
	if now := lastHint(); now != before {
		t.Errorf("a notification that was refused is a hint, at %s (before: %q)", now, before)
	}
	// The provider itself tells nobody of it; a poll may be due, but is no hint.
	s.control("POST", "/control/users/"+alanAtGmail+"/messages?notify=false", letter(alanAtGmail, "told to nobody"), nil)
	if status := post(good); status/100 != 2 {
		t.Errorf("a right one was answered %d", status)
	}
	s.eventually("a right one is a hint", func() bool { now := lastHint(); return now != "" && now != before })
	s.eventually("what it told of is there", func() bool { return s.subjects(account)["told to nobody"] != "" })

	// And so it goes where the provider itself pushes.
	s.pushTo(url)
	f := s.follow(account)
	s.deliver(alanAtGmail, "pushed")
	f.until("what was pushed", func(told []toldEvent) bool { return createdOf(told)["pushed"] == 1 })
}
