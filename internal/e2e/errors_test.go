package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/event"
)

// neverProduced lists the codes that no situation here leads to, each with the
// reason. A code that is produced all the same must not stand here.
var neverProduced = map[string]string{}

// post sends a body to the GraphQL door with any key.
func (d *demo) post(key string, body []byte) (status int, errs []gqlError) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.ctx(), http.MethodPost, d.info.GraphQL, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	var got struct{ Errors []gqlError }
	if err := json.Unmarshal(raw, &got); err != nil {
		d.t.Fatalf("%d %s: %v", resp.StatusCode, raw, err)
	}
	return resp.StatusCode, got.Errors
}

// tryMailbox tries to make a mailbox.
func (d *demo) tryMailbox(account, name string) []gqlError {
	d.t.Helper()
	return d.try(`mutation($in: CreateMailboxInput!) { createMailbox(input: $in) { id } }`,
		map[string]any{"in": map[string]any{"account": account, "name": name}}, nil)
}

// fault sets a fault of the sandbox's, until the test has ended or clears all.
func (d *demo) fault(user string, fault map[string]any) {
	d.t.Helper()
	fault["cloud"], fault["user"] = "microsoft", user
	body, err := json.Marshal(fault)
	if err != nil {
		d.t.Fatal(err)
	}
	d.control("PUT", "/control/faults", string(body), nil)
}

func (d *demo) noFaults() {
	d.t.Helper()
	d.control("DELETE", "/control/faults", "", nil)
}

// TestEveryErrorCode brings about a real situation for every code there is.
func TestEveryErrorCode(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	adas := d.account(ada)
	user := func(name string) (address, account string) {
		address = name + "@contoso.example"
		return address, d.connect(address, nil)
	}
	situations := []struct {
		code, what string
		meet       func(t *testing.T) []gqlError
	}{
		{"UNAUTHENTICATED", "a key that nobody has", func(t *testing.T) []gqlError {
			status, errs := d.post("psk_nobody", []byte(`{"query":"{ viewer { id } }"}`))
			if status != http.StatusUnauthorized {
				t.Errorf("status %d", status)
			}
			return errs
		}},
		{"FORBIDDEN", "a link to bytes that somebody has changed", func(t *testing.T) []gqlError {
			c := &changes{demo: d, ada: adas}
			mine, other := c.arrive("mine"), c.arrive("another's")
			return d.refusedLink(t, strings.Replace(mine.Raw, mine.ID, other.ID, 1))
		}},
		{"NOT_FOUND", "an account that is not there", func(*testing.T) []gqlError {
			return d.tryMailbox("anone", "x")
		}},
		{"BAD_INPUT", "a mailbox without a name", func(*testing.T) []gqlError {
			return d.tryMailbox(adas, " ")
		}},
		{"CONFLICT", "two mailboxes of one name", func(t *testing.T) []gqlError {
			if errs := d.tryMailbox(adas, "Twice"); len(errs) > 0 {
				t.Fatal(errs)
			}
			return d.tryMailbox(adas, "Twice")
		}},
		{"THROTTLED", "the provider's 429", func(t *testing.T) []gqlError {
			address, account := user("thea")
			d.fault(address, map[string]any{"match": "POST /me/mailFolders", "status": 429, "retry_after": 45})
			errs := d.tryMailbox(account, "x")
			if len(errs) != 1 || errs[0].Extensions.RetryAfter < 40 || errs[0].Extensions.RetryAfter > 45 {
				t.Errorf("it does not say how long to wait: %+v", errs)
			}
			return errs
		}},
		{"UNAVAILABLE", "the provider's 503", func(*testing.T) []gqlError {
			address, account := user("una")
			d.fault(address, map[string]any{"match": "GET /me/messages$", "status": 503, "retry_after": 45})
			return d.try(`query($id: ID!) { account(id: $id) { search(query: "x") { edges { cursor } } } }`, map[string]any{"id": account}, nil)
		}},
		{"GRANT_EXPIRED", "a consent that its owner took back", func(*testing.T) []gqlError {
			address, account := user("greta")
			d.control("POST", "/control/users/"+address+"/revoke", "", nil)
			return d.tryMailbox(account, "x")
		}},
		{"MISCONFIGURED", "a client secret that has expired", func(*testing.T) []gqlError {
			address, account := user("mina")
			d.control("POST", "/control/users/"+address+"/block", `{"code":7000222}`, nil)
			d.control("POST", "/control/users/"+address+"/expire-tokens", "", nil)
			return d.tryMailbox(account, "x")
		}},
		{"CURSOR_EXPIRED", "a cursor of another life of the store", func(t *testing.T) []gqlError {
			errs := d.try(`query($after: String) { events(after: $after) { edges { cursor } } }`,
				map[string]any{"after": event.Cursor{Epoch: 77, Position: 1}.String()}, nil)
			// What it gives instead works.
			if len(errs) == 1 {
				d.query(`query($after: String) { events(after: $after) { edges { cursor } } }`, map[string]any{"after": errs[0].Extensions.Oldest}, nil)
			}
			return errs
		}},
		{"TOO_LARGE", "a request larger than http.max_body", func(t *testing.T) []gqlError {
			status, errs := d.post(d.info.APIKey, []byte(`{"query":"{ viewer { id } }","variables":{"x":"`+strings.Repeat("x", 41<<20)+`"}}`))
			if status != http.StatusRequestEntityTooLarge {
				t.Errorf("status %d", status)
			}
			return errs
		}},
		{"OVER_QUOTA", "the provider's 507", func(*testing.T) []gqlError {
			address, account := user("olga")
			d.fault(address, map[string]any{"match": "POST /me/mailFolders", "status": 507})
			return d.tryMailbox(account, "x")
		}},
		{"OUTCOME_UNKNOWN", "a connection cut after the request", func(t *testing.T) []gqlError {
			address, account := user("cuno")
			d.fault(address, map[string]any{"match": "POST /me/mailFolders", "cut_after": true})
			errs := d.tryMailbox(account, "Made in the dark")
			// It was made, once, and is found.
			d.eventually("the mailbox is found", func() bool {
				var got struct {
					SyncAccount struct{ Mailboxes []struct{ Name string } }
				}
				d.query(`mutation($id: ID!) { syncAccount(id: $id) { mailboxes { name } } }`, map[string]any{"id": account}, &got)
				return slices.ContainsFunc(got.SyncAccount.Mailboxes, func(m struct{ Name string }) bool { return m.Name == "Made in the dark" })
			})
			return errs
		}},
		{"INTERNAL", "a damaged disk", func(t *testing.T) []gqlError { return d.damaged(t) }},
	}
	produced := map[string]bool{}
	for _, s := range situations {
		t.Run(s.code, func(t *testing.T) {
			outer := d.t
			d.t = t
			defer func() { d.t = outer }()
			errs := s.meet(t)
			d.noFaults()
			if len(errs) != 1 || errs[0].Extensions.Code != s.code || errs[0].Message == "" {
				t.Fatalf("%s: %+v, want %s", s.what, errs, s.code)
			}
			produced[s.code] = true
			t.Logf("%s: %s", s.what, errs[0].Message)
		})
	}
	for _, v := range d.introspect().types["ErrorCode"].EnumValues {
		why, excepted := neverProduced[v.Name]
		switch {
		case produced[v.Name] && excepted:
			t.Errorf("%s was produced, and stands among the exceptions", v.Name)
		case !produced[v.Name] && !excepted:
			t.Errorf("%s was not produced", v.Name)
		case excepted:
			t.Logf("exception: %s: %s", v.Name, why)
		}
	}
	if m := (&changes{demo: d, ada: adas}).arrive("after all that"); m.ID == "" {
		t.Error("mail does not arrive any more")
	}
}

// refusedLink follows a link that must be refused.
func (d *demo) refusedLink(t *testing.T, link string) []gqlError {
	t.Helper()
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Errors []gqlError }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("%s: %s %v", link, resp.Status, err)
	}
	return got.Errors
}

// damaged spoils the second half of a message's bytes on disk and reads them.
func (d *demo) damaged(t *testing.T) []gqlError {
	t.Helper()
	noise := make([]byte, 300<<10)
	_, _ = rand.Read(noise)
	body := base64.StdEncoding.EncodeToString(noise)
	var lines strings.Builder
	for len(body) > 76 {
		lines.WriteString(body[:76] + "\r\n")
		body = body[76:]
	}
	d.control("POST", "/control/users/"+ada+"/messages", letter(ada, "a large one")+lines.String(), nil)
	var id string
	d.eventually("the large one is there", func() bool { id = d.subjects(d.account(ada))["a large one"]; return id != "" })
	read := `query($id: ID!) { message(id: $id) { text } }`
	d.query(read, map[string]any{"id": id}, nil)

	var largest string
	var size int64
	err := filepath.WalkDir(filepath.Join(d.dir, "data", "blobs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(path, "pack") {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil || size < int64(len(noise)) {
		t.Fatalf("the message's bytes are not found: %s %d %v", largest, size, err)
	}
	f, err := os.OpenFile(largest, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 64<<10), size/2); err != nil {
		t.Fatal(err)
	}
	errs := d.try(read, map[string]any{"id": id}, nil)
	// The caller gets no more than an id, under which the log tells the rest.
	if len(errs) == 1 {
		log, err := os.ReadFile(filepath.Join(d.dir, "logs", "gateway.log"))
		if id := errs[0].Extensions.ID; err != nil || id == "" || !bytes.Contains(log, fmt.Appendf(nil, "fault=%s", id)) {
			t.Errorf("the log does not tell of fault %q: %v", id, err)
		}
		if strings.Contains(errs[0].Message, "chunk") {
			t.Errorf("the error tells too much: %s", errs[0].Message)
		}
	}
	return errs
}
