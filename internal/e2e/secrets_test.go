package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// marks are words that must not be found where they do not belong, by what
// they are.
type marks map[string][]byte

// word makes a mark: a random word that nothing else contains.
func (m marks) word(what string) string {
	w := "mk" + strings.ToLower(rand.Text())
	m[what] = []byte(w)
	return w
}

// shapes are tokens that the sandbox gives out, and other secrets that are
// known by how they look. Each begins with a letter that stands for itself:
// without one, a search of megabytes takes long.
var shapes = map[string]*regexp.Regexp{
	"a JSON web token":             regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ`),
	"a refresh token or code":      regexp.MustCompile(`0\.AX[A-Za-z0-9_-]{30,}`),
	"an opaque access token":       regexp.MustCompile(`EwB[A-Za-z0-9_-]{50,}`),
	"a webhook secret":             regexp.MustCompile(`whsec_[A-Za-z0-9+/]{16,}`),
	"a webhook's private key":      regexp.MustCompile(`whsk_[A-Za-z0-9+/]{16,}`),
	"an API key":                   regexp.MustCompile(`psk_[A-Za-z0-9_-]{20,}`),
	"a link for owners":            regexp.MustCompile(`/connect/[A-Z2-7]{30,}`),
	"a signature of a signed link": regexp.MustCompile(`/blobs/[^ "]*[?&](s|sig|signature)=[A-Za-z0-9_-]{16,}`),
}

// bearer is looked for where all letters are small.
var bearer = regexp.MustCompile(`bearer [a-z0-9_-]{20,}`)

// parameters are what must not be seen of a query.
var parameters = func() (all []*regexp.Regexp) {
	for _, name := range []string{"code", "state", "code_verifier", "client_secret", "refresh_token"} {
		for _, before := range []string{`\?`, "&"} {
			all = append(all, regexp.MustCompile(before+name+`=[A-Za-z0-9._%-]{10,}`))
		}
	}
	return all
}()

// search gives what is found in data that should not be: marks in any case of
// letters and in base64, and what has a shape.
func (m marks) search(data []byte) (found []string) {
	lower := bytes.ToLower(data)
	for what, mark := range m {
		at := bytes.Index(lower, bytes.ToLower(mark))
		for shift := range 3 {
			// Base64 of the mark when shift bytes stand before it, without
			// the characters that depend on its neighbours.
			enc := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), mark...))
			enc = enc[[]int{0, 2, 3}[shift] : len(enc)-1]
			if at < 0 {
				at = bytes.Index(data, []byte(enc))
			}
		}
		if at < 0 {
			at = bytes.Index(lower, []byte(hex.EncodeToString(mark)))
		}
		if at >= 0 {
			found = append(found, what+": "+around(data, at))
		}
	}
	for what, shape := range shapes {
		if at := shape.FindIndex(data); at != nil {
			found = append(found, what+": "+around(data, at[0]))
		}
	}
	if at := bearer.FindIndex(lower); at != nil {
		found = append(found, "an Authorization header: "+around(lower, at[0]))
	}
	for _, parameter := range parameters {
		if at := parameter.FindIndex(data); at != nil {
			found = append(found, "a code or state in a query: "+around(data, at[0]))
		}
	}
	return found
}

func around(data []byte, at int) string {
	return fmt.Sprintf("%q", data[max(0, at-150):min(len(data), at+80)])
}

func TestSearchFinds(t *testing.T) {
	m := marks{}
	w := m.word("the mark")
	for _, data := range []string{
		"x" + w, "X" + strings.ToUpper(w), base64.StdEncoding.EncodeToString([]byte("ab" + w + "c")), base64.StdEncoding.EncodeToString([]byte("a" + w)),
		base64.StdEncoding.EncodeToString([]byte(w + "abc")), hex.EncodeToString([]byte(w)),
		"eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln", "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
		"GET /oauth/outlook/callback?code=0.AXabcdefgh&x=y", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "BEARER abcdefghijklmnopqrstuvwxyz", "/x?state=abcdefghij", "/x?a=b&refresh_token=abcdefghij",
	} {
		if len(m.search([]byte(data))) == 0 {
			t.Errorf("not found in %q", data)
		}
	}
	if found := m.search([]byte("GET /oauth/outlook/callback, mk and Bearer, all is well")); len(found) > 0 {
		t.Errorf("found %v where nothing is", found)
	}
}

// TestNothingLeaks uses a gateway in every way, with faults, at debug level,
// and then looks through the logs, the texts of errors, the metrics and the
// stopped data folder for what belongs in none of them.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	m := marks{}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.eml"), m.letter("loaded mail"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDemo(t, "--mail", dir)
	secrets := d.settings(t.TempDir()).section("providers", "outlook", "settings")
	m["the client secret"] = []byte(secrets["client_secret"].(string))
	m["the API key"] = []byte(d.info.APIKey)
	programs := openDoors(t, d)
	m["an app password"] = []byte(programs.logins[ada].Password)
	m["an app password without dashes"] = bytes.ReplaceAll(m["an app password"], []byte("-"), nil)
	for _, secret := range []string{programs.logins[ada].Password, m.word("a wrong password")} {
		_, _ = programs.login(ada, secret)
		_ = programs.submit(ada, secret)
	}
	masterKey, err := os.ReadFile(filepath.Join(d.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	m["the master key"] = bytes.TrimSpace(masterKey)
	if raw, err := base64.StdEncoding.DecodeString(string(m["the master key"])); err == nil {
		m["the master key's bytes"] = raw
	}

	errs := &texts{}
	d.useEverything(t, m, errs)
	d.breakEverything(t, m, errs)
	metrics := d.page("/metrics")
	ids := []string{d.account(ada), d.account(grace)}
	d.stop()

	if errs.n < 20 {
		t.Errorf("only %d errors were seen: too few for a search", errs.n)
	}
	for what, data := range map[string][]byte{"the texts of errors": errs.b.Bytes(), "the metrics": metrics} {
		for _, found := range m.search(data) {
			t.Errorf("%s hold %s", what, found)
		}
	}
	searched := map[string]int{}
	// kept.json is the demo's own: what its next start prints.
	kept := map[string]bool{"postern.yaml": true, "master.key": true, filepath.Join("data", "admin.key"): true, "kept.json": true}
	var logs, store []byte
	err = filepath.WalkDir(d.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(d.dir, name)
		if err != nil || kept[rel] {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, found := range m.search(data) {
			t.Errorf("%s holds %s", rel, found)
		}
		switch part, _, _ := strings.Cut(rel, string(filepath.Separator)); part {
		case "logs":
			logs = append(logs, data...)
		case "data":
			store = append(store, data...)
			// Who has the folder but not the key does not learn whose mail it is.
			for _, address := range []string{ada, grace, "Ada Lovelace"} {
				if bytes.Contains(data, []byte(address)) {
					t.Errorf("%s holds %q", rel, address)
				}
			}
		}
		searched[filepath.Dir(rel)]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("searched for %d marks in %v, %d errors", len(m), searched, errs.n)
	// What must be there shows that the search looks at the right things.
	for _, want := range []string{"level=DEBUG", "verb=fetch", "verb=modify", "level=WARN", ids[0]} {
		if !bytes.Contains(logs, []byte(want)) {
			t.Errorf("the logs do not hold %q", want)
		}
	}
	for _, id := range ids {
		if !bytes.Contains(store, []byte(id)) {
			t.Errorf("the data folder does not hold account %s", id)
		}
	}
	if !bytes.Contains(metrics, []byte("postern_")) {
		t.Error("the metrics are empty")
	}
	for _, dir := range []string{"logs", "data", filepath.Join("data", "blobs", "pack")} {
		if searched[dir] == 0 {
			t.Errorf("nothing was searched in %s: %v", dir, searched)
		}
	}
}

// texts collects what errors say.
type texts struct {
	mu sync.Mutex
	b  bytes.Buffer
	n  int
}

func (e *texts) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	fmt.Fprintf(&e.b, format+"\n", args...)
}

// letter makes a message of marks.
func (m marks) letter(what string) []byte {
	w := func(part string) string { return m.word(what + ", " + part) }
	attached := base64.StdEncoding.EncodeToString([]byte("attached " + w("attachment")))
	return []byte(strings.ReplaceAll(fmt.Sprintf(`From: %s <%s@fabrikam.example>
To: ada@contoso.example, %s@fabrikam.example
Subject: about %s
Message-ID: <%s@fabrikam.example>
Date: %s
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

dear %s
--b
Content-Type: text/html

<p>%s</p>
--b
Content-Type: text/plain; name=%s.txt
Content-Disposition: attachment; filename=%s.txt
Content-Transfer-Encoding: base64

%s
--b--
`, w("sender's name"), w("sender"), w("recipient"), w("subject"), w("message id"), time.Now().UTC().Format(time.RFC1123Z),
		w("text"), w("html"), w("file name"), w("file name"), attached), "\n", "\r\n"))
}

// each runs a query whatever comes of it, and keeps what errors say.
func (d *demo) each(errs *texts, query string, vars map[string]any, data any) {
	// What waits for a broken provider need not be waited for.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	list, err := d.ask(ctx, query, vars, data)
	if err != nil && ctx.Err() == nil {
		errs.add("%v", err)
	}
	for _, e := range list {
		errs.add("%s %s", e.Extensions.Code, e.Message)
	}
}

// useEverything does what users do, with marked mail.
func (d *demo) useEverything(t *testing.T, m marks, errs *texts) {
	t.Helper()
	hooks := d.receive(nil)
	_, secret := d.endpoint(map[string]any{"url": hooks.URL + "/" + m.word("an endpoint's path"), "payload": "FULL", "description": m.word("an endpoint's description")})
	d.endpoint(map[string]any{"url": hooks.URL + "/signed", "signature": "ED25519", "events": []string{"MESSAGE_CREATED"},
		"headers": []map[string]any{{"name": "Authorization", "value": "Basic " + m.word("an endpoint's header")}}})
	m["a webhook secret in full"] = []byte(secret)
	m["a webhook secret"] = []byte(strings.TrimPrefix(secret, "whsec_"))
	d.control("POST", "/control/users/"+ada+"/messages", string(m.letter("delivered mail")), nil)
	subject := "about " + string(m["delivered mail, subject"])
	hooks.wait("the marked mail", 1, func(h *hook) bool { return h.Body.Data.Envelope.Subject == subject })
	id := d.subjects(d.account(ada))[subject]

	var got struct {
		Message struct {
			Raw         string
			Attachments []struct{ URL string }
		}
	}
	d.query(`query($id: ID!) { message(id: $id) { text html raw headers { name value } attachments { name url } } }`, map[string]any{"id": id}, &got)
	for _, a := range append(got.Message.Attachments, struct{ URL string }{got.Message.Raw}) {
		if _, err := download(a.URL); err != nil {
			t.Error(err)
		}
	}
	d.query(`mutation($id: ID!) { updateMessages(ids: [$id], addKeywords: ["$seen", "`+m.word("a keyword")+`"]) { results { error { code message } } } }`, map[string]any{"id": id}, nil)
	d.query(`query($id: ID!, $q: String!) { account(id: $id) { search(query: $q) { edges { node { id } } } } }`, map[string]any{"id": d.account(ada), "q": m.word("a search")}, nil)
	var made struct{ CreateMailbox struct{ ID string } }
	d.query(`mutation($in: CreateMailboxInput!) { createMailbox(input: $in) { id } }`, map[string]any{"in": map[string]any{"account": d.account(ada), "name": m.word("a mailbox")}}, &made)
	d.query(`mutation($id: ID!, $to: ID!) { moveMessages(ids: [$id], to: $to) { results { error { code message } } } }`, map[string]any{"id": id, "to": made.CreateMailbox.ID}, nil)
	sent := map[string]any{"account": d.account(ada), "to": []map[string]any{{"email": grace, "name": m.word("a recipient's name")}},
		"bcc": []map[string]any{{"email": m.word("a hidden recipient") + "@nowhere.example"}}, "idempotencyKey": m.word("an idempotency key"),
		"subject": m.word("submitted mail, subject"), "text": m.word("submitted mail, text"), "html": "<p>" + m.word("submitted mail, html") + "</p>"}
	d.query(`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": sent}, nil)
	d.eventually("the submitted mail has arrived", func() bool { return d.subjects(d.account(grace))[sent["subject"].(string)] != "" })

	// A link opened and denied; its secrets are the path, the state and the rest.
	link := d.link(map[string]any{"externalId": m.word("an external id")})
	m["a link's token"] = []byte(link[strings.LastIndex(link, "/")+1:])
	browser := d.browser()
	_, at, _ := d.visit(browser, link, nil)
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if v := at.Query().Get(name); v != "" {
			m["the sign-in's "+name] = []byte(v)
		}
	}
	_, at, _ = d.visit(browser, at.String(), url.Values{"user": {ada}, "decision": {"deny"}})
	errs.add("%s %s", at.Query().Get("code"), at.Query().Get("status"))
}

// breakEverything makes errors: wrong input, and a provider with faults.
func (d *demo) breakEverything(t *testing.T, m marks, errs *texts) {
	t.Helper()
	account := d.account(grace)
	for _, in := range []struct {
		query string
		vars  map[string]any
	}{
		{`mutation($in: CreateEndpointInput!) { createEndpoint(input: $in) { secret } }`, map[string]any{"in": map[string]any{"url": "https://someone:" + m.word("a password in a URL") + "@example.com/"}}},
		{`mutation($in: BeginConnectInput!) { beginConnect(input: $in) { url } }`, map[string]any{"in": map[string]any{"provider": "outlook", "redirectUrl": "https://someone:" + m.word("a password in a redirect URL") + "@example.com/"}}},
		{`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": map[string]any{"account": account, "subject": m.word("refused mail, subject"), "text": m.word("refused mail, text"), "to": []map[string]any{{"email": "not an address " + rand.Text()}}}}},
		{`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`, map[string]any{"in": map[string]any{"account": account, "raw": base64.StdEncoding.EncodeToString([]byte(m.word("refused raw mail")))}}},
		{`query($c: String!) { events(after: $c) { edges { cursor } } }`, map[string]any{"c": "no cursor"}},
		{`query { message(id: "mnope") { text } }`, nil},
		{`query { nonsense }`, nil},
	} {
		d.each(errs, in.query, in.vars, nil)
	}
	d.refused(t, m, errs)
	for _, path := range []string{"/oauth/outlook/callback?state=" + m.word("a forged state") + "&code=" + m.word("a forged code"),
		"/connect/" + m.word("a forged link"), "/blobs/raw/x?s=" + m.word("a forged signature")} {
		errs.add("%s", d.page(path))
	}

	var fetched, ids []string // the former were fetched ahead, for an endpoint that gets all
	unread := d.subjects(account)
	const messages = 12
	for i := range messages {
		d.control("POST", "/control/users/"+grace+"/messages", string(bytes.ReplaceAll(m.letter(fmt.Sprintf("mail with faults %d", i)), []byte(ada), []byte(grace))), nil)
	}
	d.eventually("the mail is listed", func() bool {
		listed := d.subjects(account)
		fetched = nil
		for i := range messages {
			if id := listed["about "+string(m[fmt.Sprintf("mail with faults %d, subject", i)])]; id != "" {
				fetched = append(fetched, id)
			}
		}
		return len(fetched) == messages
	})
	for _, id := range unread {
		ids = append(ids, id)
	}
	if len(ids) <= messages {
		t.Fatalf("only %d messages to ask for", len(ids))
	}
	for i, fault := range []string{`"status": 400`, `"status": 403`, `"status": 404`, `"status": 409`, `"status": 500`, `"status": 503`, `"status": 507`, `"cut_after": true`, `"status": 401`, `"status": 429, "retry_after": 1`} {
		d.control("PUT", "/control/faults", `{"user": "`+grace+`", `+fault+`}`, nil)
		vars := map[string]any{"id": ids[i], "fetched": fetched[i], "account": account, "in": map[string]any{"account": account, "to": []map[string]any{{"email": ada}},
			"subject": m.word(fmt.Sprintf("faulty submission %d, subject", i)), "text": m.word(fmt.Sprintf("faulty submission %d, text", i))}}
		var group sync.WaitGroup
		for _, query := range []string{
			`query($id: ID!) { message(id: $id) { text } }`,
			`mutation($fetched: ID!) { updateMessages(ids: [$fetched], addKeywords: ["$flagged"]) { results { error { code message } } } }`,
			`mutation($fetched: ID!) { deleteMessages(ids: [$fetched]) { results { error { code message } } } }`,
			`query($account: ID!) { account(id: $account) { search(query: "` + m.word(fmt.Sprintf("faulty search %d", i)) + `") { edges { node { id } } } } }`,
			`mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id error } }`,
			`mutation($account: ID!) { syncAccount(id: $account) { id } }`,
		} {
			group.Go(func() {
				var got json.RawMessage
				d.each(errs, query, vars, &got)
				errs.results(got)
			})
		}
		group.Wait()
		d.control("DELETE", "/control/faults", "", nil)
	}
	// The grant dies at last.
	d.control("POST", "/control/users/"+grace+"/revoke", "", nil)
	d.each(errs, `query($id: ID!) { message(id: $id) { text } }`, map[string]any{"id": ids[messages]}, nil)
	var stands struct {
		Account  struct{ State, StateReason string }
		Webhooks struct {
			Edges []struct{ Node struct{ LastError string } }
		}
	}
	d.query(`query($id: ID!) { account(id: $id) { state stateReason } webhooks: deliveries { edges { node { lastError } } } }`, map[string]any{"id": account}, &stands)
	errs.add("%v", stands)
}

// results keeps the errors that stand in an answer's data.
func (e *texts) results(data json.RawMessage) {
	if bytes.Contains(data, []byte(`"error":{`)) {
		e.add("%s", data)
	}
}

// refused asks with a wrong key.
func (d *demo) refused(t *testing.T, m marks, errs *texts) {
	t.Helper()
	req, err := http.NewRequestWithContext(d.ctx(), http.MethodPost, d.info.GraphQL, strings.NewReader(`{"query": "{ viewer { id } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+m.word("a wrong key"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	errs.add("%s %s", resp.Status, body)
}

// page reads a page of the gateway.
func (d *demo) page(path string) []byte {
	d.t.Helper()
	resp, err := http.Get(strings.TrimSuffix(d.info.GraphQL, "/graphql") + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return body
}
