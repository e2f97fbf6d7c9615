package outlook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestTokenRefusals(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		kind   mail.Kind
		code   string
	}{
		{400, `{"error":"invalid_grant","error_codes":[50173],"error_description":"AADSTS50173: ada@contoso.example"}`, mail.KindGrantExpired, "AADSTS50173"},
		{400, `{"error":"invalid_grant","error_codes":[700082]}`, mail.KindGrantExpired, "AADSTS700082"},
		{400, `{"error":"invalid_grant","error_codes":[70008]}`, mail.KindGrantExpired, "AADSTS70008"},
		{400, `{"error":"invalid_grant","suberror":"basic_action","error_codes":[50078]}`, mail.KindGrantExpired, "AADSTS50078"},
		{400, `{"error":"interaction_required","error_codes":[70043]}`, mail.KindGrantExpired, "AADSTS70043"},
		{400, `{"error":"invalid_grant","suberror":"consent_required","error_codes":[65001]}`, mail.KindGrantExpired, "AADSTS65001"},
		{400, `{"error":"invalid_grant","error_codes":[53003]}`, mail.KindGrantExpired, "AADSTS53003"},
		{401, `{"error":"invalid_client","error_codes":[7000215]}`, mail.KindMisconfigured, "AADSTS7000215"},
		{401, `{"error":"invalid_client","error_codes":[7000222]}`, mail.KindMisconfigured, "AADSTS7000222"},
		{400, `{"error":"invalid_client","error_codes":[700027]}`, mail.KindMisconfigured, "AADSTS700027"},
		{400, `{"error":"unauthorized_client","error_codes":[700016]}`, mail.KindMisconfigured, "AADSTS700016"},
		{400, `{"error":"invalid_request","error_codes":[50194]}`, mail.KindMisconfigured, "AADSTS50194"},
		{400, `{"error":"invalid_scope","error_codes":[70011]}`, mail.KindMisconfigured, "AADSTS70011"},
		{400, `{"error":"invalid_resource","error_codes":[500011]}`, mail.KindMisconfigured, "AADSTS500011"},
		{400, `{"error":"invalid_grant","error_codes":[50196]}`, mail.KindUnavailable, "AADSTS50196"},
		// Codes beat suberror, suberror beats error, and the text has codes too.
		{400, `{"error":"invalid_grant","suberror":"bad_token","error_codes":[7000215]}`, mail.KindMisconfigured, "AADSTS7000215"},
		{400, `{"error":"invalid_request","suberror":"bad_token"}`, mail.KindGrantExpired, "invalid_request"},
		{400, `{"error":"invalid_grant","error_description":"AADSTS7000222: expired"}`, mail.KindMisconfigured, "AADSTS7000222"},
		{400, `{"error":"invalid_grant","error_codes":[9002313]}`, mail.KindGrantExpired, "AADSTS9002313"},
		{400, `{"error":"invalid_request","error_codes":[9002313]}`, mail.KindMisconfigured, "AADSTS9002313"},
		{400, `{"error":"temporarily_unavailable"}`, mail.KindUnavailable, "temporarily_unavailable"},
		// A status that speaks of the service is no word about the grant.
		{503, `{"error":"invalid_grant","error_codes":[50173]}`, mail.KindUnavailable, "AADSTS50173"},
		{429, ``, mail.KindUnavailable, ""},
		{502, `<html>proxy</html>`, mail.KindUnavailable, ""},
		{403, `<html>proxy</html>`, mail.KindUnavailable, ""},
	} {
		e := refusedToken("op", tc.status, []byte(tc.body), 0)
		if e.Kind != tc.kind || e.Code != tc.code {
			t.Errorf("%d %s: %s %s", tc.status, tc.body, e.Kind, e.Code)
		}
		if strings.Contains(e.Error(), "ada@") {
			t.Errorf("a person is named: %v", e)
		}
	}
}

// TestFaultsNameWhatIsWrong: an operator reads which setting to correct.
func TestFaultsNameWhatIsWrong(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"invalid_client","error_codes":[7000215]}`:                     "client secret: it is wrong",
		`{"error":"invalid_client","error_codes":[7000222]}`:                     "client secret: it has expired",
		`{"error":"invalid_grant","error_description":"AADSTS7000222: expired"}`: "client secret: it has expired",
		`{"error":"unauthorized_client","error_codes":[700016]}`:                 "client_id or authority",
		`{"error":"invalid_client"}`:                                             "client id or the client secret",
		`{"error":"invalid_scope","error_codes":[70011]}`:                        "its registration or the settings",
	} {
		if e := refusedToken("op", 400, []byte(body), 0); !strings.Contains(e.Message, want) {
			t.Errorf("%s: %q does not say %q", body, e.Message, want)
		}
	}
}

func goodRequest() *provider.ConfigureRequest {
	return &provider.ConfigureRequest{
		Instance: "outlook", NotifyKey: bytes.Repeat([]byte{1}, 32), NotificationURL: "https://gw.example/notify/outlook",
		Settings: map[string]string{"client_id": "id", "client_secret": "secret"},
	}
}

func TestConfigureRefusals(t *testing.T) {
	for _, tc := range []struct{ set, text string }{
		{"client_id=", "client_id is missing"},
		{"client_secret=", "neither"},
		{"client_certificate=/nowhere.pem", "both"},
		{"client_secret=|client_certificate=/nowhere.pem", "no such file"},
		{"client_secret=|client_certificate=config.go", "no certificates found"},
		{"authority=http://login.example/common", "not an https"},
		{"authority=https://login.example/", "names no tenant"},
		{"authority=https://login.example/common/v2.0", "leave /v2.0 out"},
		{"graph_url=graph.example", "not an https"},
		{"ca_file=/nowhere.pem", "no such file"},
		{"ca_file=config.go", "holds no certificate"},
		{"max_concurrent=0", "from 1 to 64"},
		{"page_size=many", "from 1 to 1000"},
		{"subscription_minutes=1", "from 45"},
		{"scopes=Mail.Read", "offline_access"},
		{"colour=red", "unknown setting"},
	} {
		req := goodRequest()
		for kv := range strings.SplitSeq(tc.set, "|") {
			k, v, _ := strings.Cut(kv, "=")
			req.Settings[k] = v
		}
		_, err := New(Options{}).Configure(t.Context(), req)
		if mail.KindOf(err) != mail.KindMisconfigured || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", tc.set, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret\"") {
			t.Errorf("the secret is told: %v", err)
		}
	}
	req := goodRequest()
	req.NotificationURL = ""
	resp, err := New(Options{}).Configure(t.Context(), req)
	if err != nil || len(resp.Warnings) != 1 {
		t.Errorf("%v %v", resp, err)
	}
}

func TestDescribeAndDefaults(t *testing.T) {
	info, err := New(Options{}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Doc == "" || (s.Required && s.Default != "") {
			t.Errorf("setting %+v", s)
		}
	}
	// The defaults are valid settings themselves.
	req := goodRequest()
	for _, s := range info.Settings {
		if s.Default != "" {
			req.Settings[s.Name] = s.Default
		}
	}
	if _, err := New(Options{}).Configure(t.Context(), req); err != nil {
		t.Error(err)
	}
}

func TestNotify(t *testing.T) {
	p := New(Options{})
	req := goodRequest()
	if _, err := p.Configure(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	good := clientState(req.NotifyKey, req.Instance)
	other := clientState(req.NotifyKey, "outlook-china")
	change := func(state, sub string) string {
		return fmt.Sprintf(`{"subscriptionId":%q,"clientState":%q,"changeType":"created","resource":"x","tenantId":""}`, sub, state)
	}
	lifecycle := func(event string) string {
		return fmt.Sprintf(`{"subscriptionId":"s1","clientState":%q,"lifecycleEvent":%q}`, good, event)
	}
	value := func(entries ...string) string { return `{"value":[` + strings.Join(entries, ",") + `]}` }
	hint := func(k provider.HintKind, sub string) provider.Hint { return provider.Hint{Kind: k, LookupKey: sub} }
	for _, tc := range []struct {
		name, method, path, query, body string
		status                          int
		answer                          string
		hints                           []provider.Hint
	}{
		{name: "validation", query: "validationToken=Validation%3A+abc%20%26", status: 200, answer: "Validation: abc &amp;"},
		{name: "validation of the lifecycle URL", path: "/lifecycle", query: "tag=1&validationToken=x", status: 200, answer: "x"},
		{name: "script as token", query: "validationToken=%3Cscript%3E", status: 200, answer: "&lt;script&gt;"},
		{name: "endless token", query: "validationToken=" + strings.Repeat("x", 5000), status: 400},
		{name: "broken query", query: "validationToken=%zz", status: 400},
		{name: "get", method: "GET", query: "validationToken=x", status: 405},
		{name: "other path", path: "/x", status: 404},
		{name: "change", body: value(change(good, "s1")), status: 202, hints: []provider.Hint{hint(provider.HintChanged, "s1")}},
		{name: "many", body: value(change(good, "s1"), change(good, "s2"), change(good, "s1")), status: 202,
			hints: []provider.Hint{hint(provider.HintChanged, "s1"), hint(provider.HintChanged, "s2")}},
		{name: "forged", body: value(change("guess", "s1")), status: 403},
		{name: "no state", body: value(change("", "s1")), status: 403},
		{name: "state of another instance", body: value(change(other, "s1")), status: 403},
		{name: "a stale one among good ones", body: value(change(other, "s1"), change(good, "s2")), status: 202, hints: []provider.Hint{hint(provider.HintChanged, "s2")}},
		{name: "reauthorize", path: "/lifecycle", body: value(lifecycle("reauthorizationRequired")), status: 202, hints: []provider.Hint{hint(provider.HintRenew, "s1")}},
		{name: "removed", path: "/lifecycle", body: value(lifecycle("subscriptionRemoved")), status: 202, hints: []provider.Hint{hint(provider.HintRemoved, "s1")}},
		{name: "missed", path: "/lifecycle", body: value(lifecycle("missed")), status: 202, hints: []provider.Hint{hint(provider.HintMissed, "s1")}},
		{name: "new kind of event", path: "/lifecycle", body: value(lifecycle("invented")), status: 202, hints: []provider.Hint{hint(provider.HintMissed, "s1")}},
		{name: "forged lifecycle", path: "/lifecycle", body: value(`{"subscriptionId":"s1","clientState":"x","lifecycleEvent":"missed"}`), status: 403},
		{name: "no subscription", body: value(change(good, "")), status: 400},
		{name: "endless subscription", body: value(change(good, strings.Repeat("x", 200))), status: 400},
		{name: "not JSON", body: "hello", status: 400},
		{name: "wrong JSON", body: `{"value":"x"}`, status: 400},
		{name: "nothing", body: `{"value":[]}`, status: 400},
		{name: "empty", status: 400},
		{name: "too large", body: value(change(good, "s1")) + strings.Repeat(" ", maxNotification), status: 413},
	} {
		method := tc.method
		if method == "" {
			method = "POST"
		}
		resp, err := p.Notify(t.Context(), &provider.NotifyRequest{Method: method, Path: tc.path, Query: tc.query, Body: []byte(tc.body)})
		if err != nil {
			t.Fatal(err)
		}
		if resp.Status != tc.status || string(resp.Body) != tc.answer {
			t.Errorf("%s: %d %q", tc.name, resp.Status, resp.Body)
		}
		if diff := cmp.Diff(tc.hints, resp.Hints); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if tc.answer != "" && !strings.HasPrefix(resp.Header["Content-Type"][0], "text/plain") {
			t.Errorf("%s: %v", tc.name, resp.Header)
		}
	}
}

func TestDeltaEntries(t *testing.T) {
	full := `{"id":"m","changeKey":"CK","parentFolderId":"F","conversationId":"C","subject":null,"receivedDateTime":"2026-11-20T10:00:00Z","toRecipients":[],"isRead":true,"isDraft":false,"flag":{"flagStatus":"complete"},"categories":["Red"],"singleValueExtendedProperties":[{"id":"Integer 0xe08","value":"36218"}]}`
	const all = mail.FieldEnvelope | mail.FieldKeywords | mail.FieldMailbox
	verb := func(id, value string) string {
		return strings.Replace(full, `"Integer 0xe08","value":"36218"`, fmt.Sprintf(`%q,"value":%q`, id, value), 1)
	}
	present := func(fields mail.Fields, keywords ...string) mail.Item {
		return mail.Item{Kind: mail.ItemPresent, Mailbox: "F", Fields: fields, Message: mail.Message{
			ProviderID: "m", ProviderThreadID: "C", Mailboxes: []string{"F"}, Keywords: keywords, ReceivedAt: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}}
	}
	for _, tc := range []struct {
		name, json string
		want       mail.Item
	}{
		{"whole", full, mail.Item{Kind: mail.ItemPresent, Mailbox: "F", Fields: all, Message: mail.Message{
			ProviderID: "m", ProviderThreadID: "C", Mailboxes: []string{"F"}, Keywords: []string{mail.Seen, "red"}, ReceivedAt: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}}},
		{"draft", strings.Replace(full, `"isDraft":false`, `"isDraft":true`, 1), mail.Item{Kind: mail.ItemPresent, Mailbox: "F", Fields: all, Message: mail.Message{
			ProviderID: "m", ProviderThreadID: "C", Mailboxes: []string{"F"}, Keywords: []string{mail.Draft, mail.Seen, "red"}, ContentTag: "CK", ReceivedAt: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}}},
		{"read", `{"id":"m","isRead":true}`, mail.Item{Kind: mail.ItemPresent, Mailbox: "F", Fields: mail.FieldSeen | mail.FieldMailbox,
			Message: mail.Message{ProviderID: "m", Mailboxes: []string{"F"}, Keywords: []string{mail.Seen}}}},
		{"unread, with its folder", `{"id":"m","isRead":false,"parentFolderId":"F"}`, mail.Item{Kind: mail.ItemPresent, Mailbox: "F", Fields: mail.FieldSeen | mail.FieldMailbox,
			Message: mail.Message{ProviderID: "m", Mailboxes: []string{"F"}}}},
		{"flagged", `{"id":"m","flag":{"flagStatus":"flagged"}}`, mail.Item{Kind: mail.ItemPresent, Mailbox: "F", Fields: mail.FieldFlagged | mail.FieldMailbox,
			Message: mail.Message{ProviderID: "m", Mailboxes: []string{"F"}, Keywords: []string{mail.Flagged}}}},
		{"removed", `{"id":"m","@removed":{"reason":"deleted"}}`, mail.Item{Kind: mail.ItemAbsent, Mailbox: "F", Message: mail.Message{ProviderID: "m"}}},
		{"changed away", `{"id":"m","@removed":{"reason":"changed"}}`, mail.Item{Kind: mail.ItemAbsent, Mailbox: "F", Message: mail.Message{ProviderID: "m"}}},
		{"in another folder by now", strings.Replace(full, `"F"`, `"G"`, 1), mail.Item{Kind: mail.ItemAbsent, Mailbox: "F", Message: mail.Message{ProviderID: "m"}}},
		{"answered", verb("Integer 0x1081", "102"), present(all, mail.Answered, mail.Seen, "red")},
		{"answered to all, another spelling", verb("integer 0x001081", "103"), present(all, mail.Answered, mail.Seen, "red")},
		{"forwarded", verb("Integer 0x1081", "104"), present(all, mail.Forwarded, mail.Seen, "red")},
		{"opened", verb("Integer 0x1081", "0"), present(all, mail.Seen, "red")},
		{"nobody knows whether it was answered", verb("Integer 0x1082", "102"), present(mail.FieldEnvelope|mail.FieldSeen|mail.FieldFlagged|mail.FieldMailbox, mail.Seen, "red")},
	} {
		var m msgraph.Message
		if err := json.Unmarshal([]byte(tc.json), &m); err != nil {
			t.Fatal(err)
		}
		got := items([]msgraph.Message{m}, "F")
		if diff := cmp.Diff([]mail.Item{tc.want}, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

func TestCategories(t *testing.T) {
	for category, keyword := range map[string]string{
		"red":          "red",
		"Red category": "red_x0020_category",
		"$seen":        "_x0024_seen",
		"a$b":          "a$b",
		"snake_case":   "snake_case",
		"a_x0020_b":    "a_x005f_x0020_b",
		"Müller (x)":   "m_x00fc_ller_x0020__x0028_x_x0029_",
		"😀":            "_x1f600_",
		"[work}":       "[work}", // both may stand in an atom (RFC 9051, 9)
		"tab\tnew":     "tab_x0009_new",
		`q"u*o%t\e`:    "q_x0022_u_x002a_o_x0025_t_x005c_e",
	} {
		if got := categoryKeyword(category); got != keyword {
			t.Errorf("category %q is keyword %q, want %q", category, got, keyword)
		}
		if got := keywordCategory(keyword); got != strings.ToLower(category) {
			t.Errorf("keyword %q is category %q", keyword, got)
		}
	}
	for _, odd := range []string{"_x", "_xzz_", "_x20_", "a_x0020", "_x110000_", "_xd800_"} {
		if got := keywordCategory(odd); got != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
}

func FuzzCategories(f *testing.F) {
	f.Add("Red category")
	f.Add("_x0020_$")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToLower(strings.ToValidUTF8(s, "?"))
		if strings.ToLower(s) != s {
			return
		}
		k := categoryKeyword(s)
		if got := keywordCategory(k); got != s {
			t.Errorf("%q by %q became %q", s, k, got)
		}
		for _, r := range k {
			if r <= ' ' || r > '~' {
				t.Errorf("%q has %q", k, r)
			}
		}
	})
}

func TestSecond(t *testing.T) {
	at := func(text string) *time.Time {
		d, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return &d
	}
	for _, tc := range []struct{ in, want *time.Time }{
		{nil, &time.Time{}},
		{at("1601-01-01T00:00:00Z"), &time.Time{}},
		{at("2024-05-06T07:08:09.5+02:00"), at("2024-05-06T05:08:09Z")},
		{at("0102-07-23T03:26:35+10:00"), at("0102-07-22T17:26:35Z")},
	} {
		var in *msgraph.Time
		if tc.in != nil {
			in = &msgraph.Time{Time: *tc.in}
		}
		if got := second(in); !got.Equal(*tc.want) {
			t.Errorf("%v: %v, want %v", tc.in, got, tc.want)
		}
	}
}
