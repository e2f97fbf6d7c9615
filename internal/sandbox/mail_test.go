package sandbox_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/mailfile"
)

func TestMailGoesFromUserToUser(t *testing.T) {
	w := empty(t)
	adas, graces := w.connect(ada), w.connect(grace)
	body := `{"message":{"subject":"Moth","body":{"contentType":"text","content":"found one"},"toRecipients":[{"emailAddress":{"address":"Grace@contoso.example"}},{"emailAddress":{"address":"nobody@nowhere.example"}}]}}`
	if r := w.graph(adas, "POST", "/me/sendMail", body); r.status != 202 {
		t.Fatalf("sendMail: %d %s", r.status, r.body)
	}
	if got := w.subjects(graces, "inbox"); !slices.Equal(got, []string{"Moth"}) {
		t.Errorf("grace has %q", got)
	}
	if got := w.subjects(adas, "sentitems"); !slices.Equal(got, []string{"Moth"}) {
		t.Errorf("sent: %q", got)
	}
	if got := w.subjects(adas, "inbox"); !slices.Equal(got, []string{"Undeliverable: Moth"}) {
		t.Errorf("ada has %q", got)
	}
	r := w.counters("")
	if r.MessagesSent != 1 || r.Mail["delivered"] != 2 || r.Mail["bounced"] != 1 || r.Count("POST", "/me/sendMail", 202) != 1 {
		t.Errorf("counters %+v", r)
	}
	id := decode[listed](t, w.graph(adas, "GET", "/me/mailFolders/inbox/messages", "")).Value[0].ID
	dsn := w.graph(adas, "GET", "/me/messages/"+id+"/$value", "").body
	for _, want := range []string{"Return-Path: <>", "report-type=delivery-status", "Final-Recipient: rfc822; nobody@nowhere.example", "Status: 5.1.1", "Subject: Moth"} {
		if !strings.Contains(dsn, want) {
			t.Errorf("the bounce lacks %q:\n%s", want, dsn)
		}
	}
	id = decode[listed](t, w.graph(graces, "GET", "/me/messages", "")).Value[0].ID
	copied := w.graph(graces, "GET", "/me/messages/"+id+"/$value", "").body
	if !strings.HasPrefix(copied, "Return-Path: <ada@contoso.example>\r\nReceived: from microsoft by mx.sandbox.example") {
		t.Errorf("grace's copy:\n%s", copied)
	}
}

func TestMessageIDsAreKeptOrRewritten(t *testing.T) {
	for _, rewrite := range []bool{false, true} {
		w := start(t, sandbox.Options{NoSeed: true, RewriteMessageIDs: rewrite})
		client, err := smtp.Dial(w.sb.State().SMTP)
		if err != nil {
			t.Fatal(err)
		}
		sendSMTP(t, client, "x@elsewhere.example", letter("x@elsewhere.example", ada, "kept", "text"), ada)
		tok := w.connect(ada)
		m := decode[struct{ Value []map[string]any }](t, w.graph(tok, "GET", "/me/messages", "")).Value[0]
		if got := m["internetMessageId"] == "<kept@test.example>"; got == rewrite {
			t.Errorf("rewrite %v: %v", rewrite, m["internetMessageId"])
		}
		raw := w.graph(tok, "GET", "/me/messages/"+m["id"].(string)+"/$value", "").body
		if rewrite != strings.Contains(raw, "X-Original-Message-ID: <kept@test.example>") {
			t.Errorf("rewrite %v:\n%s", rewrite, raw)
		}
	}
}

func sendSMTP(t *testing.T, c *smtp.Client, from, raw string, to ...string) {
	t.Helper()
	defer func() {
		if err := c.Quit(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Mail(from); err != nil {
		t.Fatal(err)
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt); err != nil {
			t.Fatal(err)
		}
	}
	body, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(body, raw); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSMTPIn(t *testing.T) {
	w := empty(t)
	c, err := smtp.Dial(w.sb.State().SMTP)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("x@elsewhere.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("nobody@contoso.example"); err == nil || !strings.HasPrefix(err.Error(), "550 ") || !strings.Contains(err.Error(), "5.1.1 ") {
		t.Errorf("unknown recipient: %v", err)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	sendSMTP(t, c, "x@elsewhere.example", letter("x@elsewhere.example", ada, "by SMTP", "one\n.\ntwo"), "ADA@contoso.example", grace)
	for _, user := range []string{ada, grace} {
		tok := w.connect(user)
		page := decode[listed](t, w.graph(tok, "GET", "/me/messages", ""))
		if len(page.Value) != 1 || page.Value[0].Subject != "by SMTP" || !strings.Contains(page.Value[0].Preview, "two") {
			t.Errorf("%s has %+v", user, page)
		}
	}
}

// Every file of the corpus is served, byte for byte.
func TestCorpusIsServedAsItIs(t *testing.T) {
	dir := corpus(t)
	w := start(t, sandbox.Options{Mail: dir})
	loaded, _, err := mailfile.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]int{}
	for _, m := range w.messages(ada) {
		served[m.SHA256]++
	}
	for _, m := range loaded {
		sum := sha256.Sum256(m.Raw)
		if served[hex.EncodeToString(sum[:])] == 0 {
			t.Errorf("%s is not served as it is", m.Path)
		}
		served[hex.EncodeToString(sum[:])]--
	}
	r := w.graph(w.connect(ada), "GET", "/me/mailFolders/inbox", "")
	if n := decode[map[string]any](t, r)["totalItemCount"]; n != float64(len(loaded)) {
		t.Errorf("the inbox has %v, want %d", n, len(loaded))
	}
}

func corpus(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	found := filepath.Join(filepath.Dir(dir), "shared", "corpus", "mail")
	if _, err := os.Stat(found); err != nil {
		t.Skip("../shared is not present")
	}
	return found
}
