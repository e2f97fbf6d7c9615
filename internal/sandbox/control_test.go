package sandbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestControlUsersAndMessages(t *testing.T) {
	w := empty(t)
	var user struct{ Cloud, ID, Address, Name string }
	w.control(201, "POST", "/control/users", `{"cloud":"microsoft","address":"Mary@fabrikam.example","name":"Mary Somerville"}`, &user)
	if user.ID == "" || user.Cloud != "microsoft" {
		t.Errorf("user %+v", user)
	}
	var users []struct{ Address string }
	if w.control(200, "GET", "/control/users", "", &users); len(users) != 4 {
		t.Errorf("users %v", users)
	}
	raw := letter("a@elsewhere.example", "mary@fabrikam.example", "by hand", "hello\n.dot")
	var made struct{ ID string }
	w.control(201, "POST", "/control/users/mary@fabrikam.example/messages?mailbox=Work/2026&date=2026-01-02T03:04:05Z&keywords=$seen,$flagged,blue&notify=false", raw, &made)
	got := w.messages("mary@fabrikam.example")
	served := strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n")
	sum := sha256.Sum256([]byte(served))
	if len(got) != 1 || got[0].ID != made.ID || got[0].Size != int64(len(served)) || got[0].SHA256 != hex.EncodeToString(sum[:]) {
		t.Fatalf("messages %+v, want the one as served", got)
	}
	for _, k := range []string{"$seen", "$flagged", "blue"} {
		if !slices.Contains(got[0].Keywords, k) {
			t.Errorf("keywords %v lack %s", got[0].Keywords, k)
		}
	}
	tok := w.connect("mary@fabrikam.example")
	r := w.graph(tok, "GET", "/me/messages/"+made.ID+"/$value", "")
	if r.body != served {
		t.Errorf("$value is %q, want %q", r.body, served)
	}
	m := decode[map[string]any](t, w.graph(tok, "GET", "/me/messages/"+made.ID, ""))
	if m["receivedDateTime"] != "2026-01-02T03:04:05Z" || m["isRead"] != true {
		t.Errorf("message %v", m)
	}
	edit := "/control/users/mary@fabrikam.example/messages/" + made.ID
	w.control(204, "PATCH", edit, `{"add_keywords":["$seen","green"],"remove_keywords":["$flagged","blue"],"mailbox":"archive"}`, nil)
	if after := w.messages("mary@fabrikam.example")[0]; !slices.Equal(after.Keywords, []string{"$seen", "green"}) || slices.Equal(after.Mailboxes, got[0].Mailboxes) || after.ID != made.ID {
		t.Errorf("edited: %+v", after)
	}
	w.control(204, "PATCH", edit, `{"remove_keywords":["$seen"]}`, nil)
	if m := decode[map[string]any](t, w.graph(tok, "GET", "/me/messages/"+made.ID, "")); m["isRead"] != false {
		t.Errorf("message %v", m)
	}
	w.control(404, "PATCH", edit+"x", `{}`, nil)
	w.control(204, "DELETE", "/control/users/mary@fabrikam.example/messages/"+made.ID, "", nil)
	if got := w.messages("mary@fabrikam.example"); len(got) != 0 {
		t.Errorf("after delete: %+v", got)
	}
	w.control(404, "DELETE", "/control/users/mary@fabrikam.example/messages/"+made.ID, "", nil)
}

func TestControlRefusesBadInput(t *testing.T) {
	w := empty(t)
	for _, c := range []struct {
		status             int
		method, path, body string
	}{
		{404, "GET", "/control/users/nobody@contoso.example/messages", ""},
		{404, "POST", "/control/users/nobody@contoso.example/revoke", ""},
		{409, "POST", "/control/users", `{"address":"ADA@contoso.example"}`},
		{400, "POST", "/control/users", `{"address":"no address"}`},
		{400, "POST", "/control/users", `{"address":"x@y.example","cloud":"pigeon"}`},
		{400, "POST", "/control/users", `{"adress":"x@y.example"}`},
		{400, "POST", "/control/users", `{`},
		{400, "POST", "/control/users/" + ada + "/messages", ""},
		{400, "POST", "/control/users/" + ada + "/messages?date=yesterday", "Subject: x\r\n\r\n"},
		{400, "POST", "/control/users/" + ada + "/lifecycle", `{"event":"party"}`},
		{400, "POST", "/control/users/" + ada + "/block", `{"code":1}`},
		{400, "PUT", "/control/consent", `{"everybody":true}`},
		{400, "PUT", "/control/faults", `{"status":42}`},
		{400, "PUT", "/control/faults", `{"rate":7}`},
		{400, "PUT", "/control/faults", `{"user":"nobody@contoso.example"}`},
		{400, "PUT", "/control/faults", `{"colour":"red"}`},
		{400, "POST", "/control/apps", `{"redirect_uris":["nonsense"]}`},
		{405, "PATCH", "/control/faults", ""},
	} {
		r := w.do(c.method, w.sb.ControlURL()+c.path, c.body)
		if r.status != c.status || c.status != 405 && !strings.Contains(r.body, `"error"`) {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, r.status, r.body, c.status)
		}
	}
	if r := w.do("POST", w.sb.ControlURL()+"/control/users/"+ada+"/revoke", "", "Sec-Fetch-Site", "cross-site"); r.status != 403 {
		t.Errorf("a web page of another origin was heard: %d", r.status)
	}
}

func TestAppsByControl(t *testing.T) {
	w := empty(t)
	var app struct {
		ClientID string `json:"client_id"`
	}
	w.control(201, "POST", "/control/apps", `{"name":"other","redirect_uris":["http://localhost:9/cb"],"secrets":[{"value":"s"}]}`, &app)
	if app.ClientID == "" {
		t.Fatal("no client id")
	}
	r := w.do("GET", w.sb.State().Authority+"/oauth2/v2.0/authorize?response_type=code&scope=openid&redirect_uri=http%3A%2F%2Flocalhost%3A9%2Fcb&client_id="+app.ClientID, "")
	if r.status != 200 || !strings.Contains(r.body, "other asks for permission") {
		t.Errorf("%d %s", r.status, r.body)
	}
	var apps []any
	if w.control(200, "GET", "/control/apps", "", &apps); len(apps) != 2 {
		t.Errorf("%d apps", len(apps))
	}
}

func TestPage(t *testing.T) {
	w := empty(t)
	post := func(form string) response {
		return w.do("POST", w.sb.ControlURL()+"/", form, "Content-Type", "application/x-www-form-urlencoded")
	}
	if r := post("do=user&address=mary%40fabrikam.example&name=Mary"); r.status != 303 || !strings.Contains(r.header.Get("Location"), "done=") {
		t.Errorf("add: %d %v", r.status, r.header)
	}
	if r := post("do=deliver&to=mary%40fabrikam.example&from=x%40y.example%0D%0ABcc:+z&subject=Hi&text=one%0D%0Atwo"); r.status != 303 || strings.Contains(r.header.Get("Location"), "problem=") && !strings.Contains(r.header.Get("Location"), "problem=&") {
		t.Errorf("deliver: %d %v", r.status, r.header)
	}
	if got := w.messages("mary@fabrikam.example"); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
	if r := post("do=fault&match=token&status=503"); !strings.Contains(r.header.Get("Location"), "done=") {
		t.Errorf("fault: %v", r.header)
	}
	if r := post("do=fault&match=token&status=lots"); !strings.Contains(r.header.Get("Location"), "problem=") {
		t.Errorf("bad fault: %v", r.header)
	}
	body := w.do("GET", w.sb.ControlURL()+"/?problem=%3Cb%3E", "").body
	for _, want := range []string{"mary@fabrikam.example", "<code>token</code>", "status 503", "&lt;b&gt;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "src=", "<link"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %q", never)
		}
	}
	post("do=clear")
	if len(w.sb.Faults().List()) != 0 {
		t.Error("faults were not cleared")
	}
}
