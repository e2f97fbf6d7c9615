package google

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

const profilePath = "/gmail/v1/users/me/profile"

// TestOneHost: sign-in, Gmail and Pub/Sub answer on one host, each in its own
// words.
func TestOneHost(t *testing.T) {
	w := newWorld(t)
	client := w.config().Client(t.Context(), w.connect(alan))
	if got := w.must(client, "GET", "/gmail/v1/users/me/profile", ""); !strings.Contains(got, `"emailAddress":"alan@gmail.example"`) {
		t.Errorf("profile %s", got)
	}
	if got := w.must(client, "GET", "/v1/userinfo", ""); !strings.Contains(got, alan) {
		t.Errorf("userinfo %s", got)
	}
	if got := w.must(w.defaultRobot(), "GET", "/v1/"+Subscription, ""); !strings.Contains(got, Topic) {
		t.Errorf("subscription %s", got)
	}
	for path, want := range map[string]int{"/gmail/v1/users/me/profile": 401, "/v1/" + Subscription: 401, "/v1/userinfo": 401, "/nothing": 404, "/gmail/v1/nothing": 404} {
		if code, text, err := w.do(http.DefaultClient, "GET", path, ""); err != nil || code != want {
			t.Errorf("%s: %d %s %v", path, code, text, err)
		}
	}
	if code, text, _ := w.do(client, "GET", "/v1/"+Subscription, ""); code != 403 {
		t.Errorf("a mail token at Pub/Sub: %d %s", code, text)
	}
	if code, text, _ := w.do(w.defaultRobot(), "GET", "/gmail/v1/users/me/profile", ""); code != 403 {
		t.Errorf("a service account at Gmail: %d %s", code, text)
	}
}

// TestWithoutGmail: such a user signs in, and has no mail: neither by the API
// nor by the small internet.
func TestWithoutGmail(t *testing.T) {
	w := newWorld(t)
	if _, err := w.s.AddUserWithoutMail("bare@corp.example", "Bare"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.AddUserWithoutMail("BARE@corp.example", "Again"); err == nil {
		t.Error("an address was given twice")
	}
	client := w.config().Client(t.Context(), w.connect("bare@corp.example"))
	code, text, err := w.do(client, "GET", "/gmail/v1/users/me/profile", "")
	if err != nil || code != 400 || !strings.Contains(text, "Mail service not enabled") || !strings.Contains(text, "failedPrecondition") {
		t.Errorf("profile: %d %s %v", code, text, err)
	}
	if _, err := w.s.Deliver(t.Context(), "bare@corp.example", cloud.Delivery{Raw: []byte("Subject: x\r\n\r\n")}); !errors.Is(err, directory.ErrNoMailbox) {
		t.Errorf("delivered: %v", err)
	}
	if got, err := w.s.Messages("bare@corp.example"); err != nil || len(got) != 0 {
		t.Errorf("messages %v %v", got, err)
	}
	if n := len(w.s.Users()); n != 2 {
		t.Errorf("%d users", n)
	}
}

// TestWatchPublishes: a watch brings notifications through the topic to who
// pulls, until it is ended.
func TestWatchPublishes(t *testing.T) {
	w := newWorld(t)
	client, robot := w.config().Client(t.Context(), w.connect(alan)), w.defaultRobot()
	const closed = "projects/postern-sandbox/topics/closed"
	if err := w.s.PubSub().AddTopic(closed); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]string{
		"projects/postern-sandbox/topics/none": "Error sending test message to Cloud PubSub projects/postern-sandbox/topics/none : Resource not found (resource=none).",
		closed:                                 "Error sending test message to Cloud PubSub " + closed + " : User not authorized to perform this action.",
	} {
		code, text, _ := w.do(client, "POST", "/gmail/v1/users/me/watch", `{"topicName":"`+topic+`"}`)
		if code != 404 && code != 403 || !strings.Contains(text, want) {
			t.Errorf("watched %s: %d %s", topic, code, text)
		}
	}
	w.must(client, "POST", "/gmail/v1/users/me/watch", `{"topicName":"`+Topic+`"}`)
	pull := func() string {
		var got struct {
			ReceivedMessages []struct {
				AckID   string `json:"ackId"`
				Message struct{ Data []byte }
			}
		}
		if err := json.Unmarshal([]byte(w.must(robot, "POST", "/v1/"+Subscription+":pull", `{"maxMessages":1}`)), &got); err != nil {
			t.Fatal(err)
		}
		w.must(robot, "POST", "/v1/"+Subscription+":acknowledge", `{"ackIds":["`+got.ReceivedMessages[0].AckID+`"]}`)
		return string(got.ReceivedMessages[0].Message.Data)
	}
	if got := pull(); !strings.Contains(got, `"emailAddress":"alan@gmail.example"`) || !strings.Contains(got, `"historyId":`) {
		t.Errorf("the first notification %s", got)
	}
	w.deliver(alan, "news")
	if got := pull(); !strings.Contains(got, alan) {
		t.Errorf("the notification %s", got)
	}
	if n, err := w.s.Lifecycle(alan, "watch_expired"); err != nil || n != 1 {
		t.Errorf("%d watches ended, %v", n, err)
	}
	w.deliver(alan, "unseen")
	if got := w.must(robot, "POST", "/v1/"+Subscription+":pull", `{"maxMessages":1,"returnImmediately":true}`); strings.Contains(got, "ackId") {
		t.Errorf("after the watch ended: %s", got)
	}
	if n := w.counters.Report(Name, alan).Notifications; n["delivered"] != 2 {
		t.Errorf("counted %v", n)
	}
}

// TestPushToken: a pushed message's token verifies by the published keys, and a
// test can have others signed.
func TestPushToken(t *testing.T) {
	w := newWorld(t)
	tokens := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		tokens <- strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}))
	defer hook.Close()
	const email = "push@postern-sandbox.iam.gserviceaccount.com"
	w.must(w.defaultRobot(), "PUT", "/v1/projects/postern-sandbox/subscriptions/pushed",
		`{"topic":"`+Topic+`","pushConfig":{"pushEndpoint":"`+hook.URL+`","oidcToken":{"serviceAccountEmail":"`+email+`","audience":"postern"}}}`)
	if err := w.s.PubSub().Publish(t.Context(), Topic, pushAccount, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	got := w.verify(<-tokens)
	want := w.s.PushClaims("postern", email)
	for _, name := range []string{"aud", "azp", "sub", "email", "email_verified", "iss"} {
		if got[name] != want[name] {
			t.Errorf("claim %s is %v, want %v", name, got[name], want[name])
		}
	}
	want["aud"], want["exp"] = "another", 1
	forged, err := w.s.SignPush(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.verify(forged); got["aud"] != "another" || got["exp"] != float64(1) {
		t.Errorf("signed %v", got)
	}
}

// verify checks a token by the key set, with nothing of the sandbox's own.
func (w *world) verify(token string) map[string]any {
	w.t.Helper()
	var set struct{ Keys []struct{ Kid, N string } }
	if err := json.Unmarshal([]byte(w.must(http.DefaultClient, "GET", "/oauth2/v3/certs", "")), &set); err != nil {
		w.t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		w.t.Fatalf("no token: %q", token)
	}
	raw := make([][]byte, 3)
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			w.t.Fatal(err)
		}
	}
	n, err := base64.RawURLEncoding.DecodeString(set.Keys[0].N)
	if err != nil || !bytes.Contains(raw[0], []byte(`"kid":"`+set.Keys[0].Kid+`"`)) {
		w.t.Fatalf("header %s, keys %v, %v", raw[0], set, err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, crypto.SHA256, sum[:], raw[2]); err != nil {
		w.t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw[1], &claims); err != nil {
		w.t.Fatal(err)
	}
	return claims
}

// TestFaults: by user, at each of the hosts, counted with what the client got.
func TestFaults(t *testing.T) {
	w := newWorld(t)
	tok := w.connect(alan)
	client := w.config().Client(t.Context(), tok)
	put := func(f traffic.Fault) {
		w.faults.Clear()
		f.Cloud, f.User = Name, alan
		if err := w.faults.Put(f); err != nil {
			t.Fatal(err)
		}
	}
	const profile = profilePath
	for _, status := range []int{401, 403, 404, 429, 500, 503} {
		put(traffic.Fault{Match: "profile", Status: status})
		code, text, err := w.do(client, "GET", profile, "")
		if err != nil || code != status || !strings.Contains(text, `"error":{"code":`) {
			t.Errorf("%d: %d %s %v", status, code, text, err)
		}
	}
	put(traffic.Fault{Match: "profile", CutAfter: true})
	if code, _, err := w.do(client, "GET", profile, ""); err == nil {
		t.Errorf("cut after: %d", code)
	}
	put(traffic.Fault{Match: "profile", Body: traffic.BodyGarbage})
	if _, text, err := w.do(client, "GET", profile, ""); err != nil || json.Valid([]byte(text)) {
		t.Errorf("garbage: %s %v", text, err)
	}
	for status, want := range map[int]string{400: "invalid_grant", 401: "invalid_client", 429: "rate_limit_exceeded", 500: "internal_failure", 503: "temporarily_unavailable"} {
		put(traffic.Fault{Match: "POST token", Status: status})
		_, err := w.config().TokenSource(t.Context(), &oauth2.Token{RefreshToken: tok.RefreshToken}).Token()
		var re *oauth2.RetrieveError
		if !errors.As(err, &re) || re.Response.StatusCode != status || re.ErrorCode != want {
			t.Errorf("token endpoint: %v", err)
		}
	}
	report := w.counters.Report(Name, alan)
	// A client asks once more where a connection that it kept was cut.
	if n := report.Count("GET", profilePath, 0); n < 1 {
		t.Errorf("cut %d times; %+v", n, report.Requests)
	}
	if report.Count("POST", "/token", 503) != 1 || report.Faults["profile"] < 8 {
		t.Errorf("counted %+v", report)
	}
}

// TestBatchIsCounted: each item is a request of its own, and one that is cut
// cuts the batch.
func TestBatchIsCounted(t *testing.T) {
	w := newWorld(t)
	client := w.config().Client(t.Context(), w.connect(alan))
	item := "--b\r\nContent-Type: application/http\r\nContent-ID: <item-1>\r\n\r\nGET /gmail/v1/users/me/profile HTTP/1.1\r\n\r\n"
	post := func() (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.base+"/batch/gmail/v1", strings.NewReader(item+item+"--b--\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", `multipart/mixed; boundary=b`)
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if n := bytes.Count(text, []byte(alan)); n != 2 {
			t.Errorf("%d answers in %s", n, text)
		}
		return resp.StatusCode, err
	}
	if code, err := post(); err != nil || code != 200 {
		t.Fatalf("batch: %d %v", code, err)
	}
	if n := w.counters.Report(Name, alan).Count("GET", profilePath, 200); n != 2 {
		t.Errorf("%d items counted", n)
	}
	if err := w.faults.Put(traffic.Fault{User: alan, Match: "profile", CutAfter: true, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if code, err := post(); err == nil {
		t.Errorf("a cut item left the batch whole: %d", code)
	}
}

// TestStates: the states of a user that the control API sets.
func TestStates(t *testing.T) {
	w := newWorld(t)
	tok := w.connect(alan)
	refresh := func(token string) string {
		_, err := w.config().TokenSource(t.Context(), &oauth2.Token{RefreshToken: token}).Token()
		var re *oauth2.RetrieveError
		if errors.As(err, &re) {
			return re.ErrorCode
		}
		return ""
	}
	works := func(token string) bool {
		code, _, err := w.do(oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})), "GET", "/gmail/v1/users/me/profile", "")
		return err == nil && code == 200
	}
	for _, step := range []struct {
		do            func(string) error
		refresh       string
		access, again bool
	}{
		{w.s.ExpireTokens, "", false, false},
		{func(a string) error { return w.s.Block(a, int(oauth.AdminPolicy)) }, "admin_policy_enforced", true, false},
		{func(a string) error { return w.s.Block(a, 0) }, "", true, false},
		{w.s.ChangePassword, "invalid_grant", true, true},
		{func(a string) error { return w.s.Revoke(a, true) }, "invalid_grant", true, true},
		{func(a string) error { return w.s.Revoke(a, false) }, "invalid_grant", false, true},
	} {
		if err := step.do(alan); err != nil {
			t.Fatal(err)
		}
		if got := refresh(tok.RefreshToken); got != step.refresh {
			t.Errorf("refresh: %q, want %q", got, step.refresh)
		}
		if got := works(tok.AccessToken); got != step.access {
			t.Errorf("access token works: %v, want %v", got, step.access)
		}
		if err := w.s.Block(alan, 0); err != nil {
			t.Fatal(err)
		}
		tok = w.connect(alan)
		if err := step.do("nobody@gmail.example"); err == nil {
			t.Error("nobody's state was set")
		}
	}
}

// TestSaveLoad: users, grants and topics outlive the process.
func TestSaveLoad(t *testing.T) {
	w := newWorld(t)
	tok := w.connect(alan)
	if _, err := w.s.AddUserWithoutMail("bare@corp.example", "Bare"); err != nil {
		t.Fatal(err)
	}
	id := w.deliver(alan, "kept")
	dir := t.TempDir()
	if err := w.s.Save(dir); err != nil {
		t.Fatal(err)
	}
	next, err := New(Settings{}, Options{Key: worldtest.Key(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Load(dir); err != nil {
		t.Fatal(err)
	}
	messages, err := next.Messages(alan)
	if err != nil || len(messages) != 1 || messages[0].ID != id {
		t.Errorf("messages %v %v", messages, err)
	}
	if len(next.Users()) != 2 {
		t.Errorf("users %v", next.Users())
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}, "client_id": {oauth.DefaultAppID}, "client_secret": {oauth.DefaultAppSecret}}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	next.Handler().ServeHTTP(rec, r)
	if rec.Code != 200 {
		t.Errorf("refresh: %d %s", rec.Code, rec.Body)
	}
}

// TestRunEnds: a pull that waits is answered when the server ends, and does
// not hold it up; nor does a client that keeps its connection.
func TestRunEnds(t *testing.T) {
	w := newWorld(t)
	robot := w.defaultRobot()
	w.must(robot, "GET", "/v1/"+Topic, "")
	select {
	case <-w.looked:
	default:
	}
	answers := make(chan string, 1)
	go func() {
		_, text, err := w.do(robot, "POST", "/v1/"+Subscription+":pull", `{"maxMessages":1}`)
		if err != nil {
			text = err.Error()
		}
		answers <- strings.TrimSpace(text)
	}()
	<-w.looked // its token was looked up: the request is under way
	w.stop()
	if got := <-answers; got != "{}" {
		t.Errorf("the pull that waited got %q", got)
	}
}
